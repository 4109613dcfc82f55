"""The flip test of UDP's regressed targets calls ``view`` on the head's maps.

``mmpose.models.utils.tta.flip_heatmaps`` splits the channels with ``Tensor.view``, which is an
error for maps that are stored channels-last, as CPU runs of this package and every model under
``model.to(memory_format=torch.channels_last)`` have them. The maps are copied into NCHW first; no
value changes. All versions of MMPose need it; it can go when MMPose writes ``reshape``.
"""

from __future__ import annotations

import functools
from types import ModuleType

from rlepose_ext.imports import Patch, rebind, when_imported


def _patch_tta(module: ModuleType) -> None:
    flip_heatmaps = module.flip_heatmaps

    @functools.wraps(flip_heatmaps)
    def flip_in_any_layout(heatmaps, *args, **kwargs):
        return flip_heatmaps(heatmaps.contiguous(), *args, **kwargs)

    rebind(flip_heatmaps, flip_in_any_layout, 'mmpose')


PATCH = Patch(
    name='flip_layout',
    breaks="the flip test of UDP's regressed targets on maps that are stored channels-last",
    since='always',
    until='MMPose splits channels with reshape',
    install=lambda: when_imported('mmpose.models.utils.tta', _patch_tta),
)
