"""What numpy 2 and numpy 2.4 refuse, and the frozen stack still does.

- numpy 2: ``np.array(x, copy=False)`` raises where a copy is needed; it used to copy.
  MMPose's 2-D and 3-D visualizers call it on the keypoints, so lists cannot be drawn.
- numpy 1.24: ``np.float`` is gone; mmcv's ``pixel_group`` and mmdet's ``ytviseval`` use it.
- numpy 2.4: an array of one element is no number any more; MMPose's visualizer hands
  ``radius=np.array([r])`` to its OpenCV backend, which calls ``int(radius)``.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from rlepose_ext.imports import Patch, when_imported

_MODULES = (
    'mmpose.visualization.local_visualizer',
    'mmpose.visualization.local_visualizer_3d',
    'mmcv.ops.pixel_group',
    'mmdet.evaluation.functional.ytviseval',
)
_BACKEND = 'mmpose.visualization.opencv_backend_visualizer'


class _OldNumpy:
    """numpy, as one module of upstream sees it: with the old ``array`` and ``float``."""

    float = float

    def __init__(self, numpy: ModuleType) -> None:
        self._numpy = numpy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numpy, name)

    def array(self, value: Any, *args: Any, copy: bool | None = True, **kwargs: Any) -> Any:
        if copy is False:
            # None has meant "only if needed" since numpy 2; before, False did.
            copy = None if int(self._numpy.__version__.split('.')[0]) >= 2 else False
        return self._numpy.array(value, *args, copy=copy, **kwargs)


def _use_old_numpy(module: ModuleType) -> None:
    if not isinstance(module.np, _OldNumpy):
        module.np = _OldNumpy(module.np)


def _accept_array_radius(module: ModuleType) -> None:
    visualizer = module.OpencvBackendVisualizer
    original = visualizer.draw_circles

    @functools.wraps(original)
    def draw_circles(self, center, radius, *args, **kwargs):
        if self.backend == 'opencv' and getattr(radius, 'size', None) == 1:
            radius = radius.item()
        return original(self, center, radius, *args, **kwargs)

    visualizer.draw_circles = draw_circles


def install() -> None:
    """Mend the modules concerned once they are imported."""
    for name in _MODULES:
        when_imported(name, _use_old_numpy)
    when_imported(_BACKEND, _accept_array_radius)


PATCH = Patch(
    name='numpy2',
    breaks="drawing fails: 'Unable to avoid copy while creating an array', 'only 0-dimensional "
    "arrays can be converted to Python scalars'",
    since='numpy 2.0 (copy=False), 2.4 (scalars), 1.24 (np.float)',
    until='MMPose uses np.asarray and mmcv and mmdet use float',
    install=install,
)
