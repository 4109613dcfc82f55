"""The log says how many labels RLE's loss leaves out.

With it every run has a :class:`rlepose_ext.engine.hooks.OutOfRangeLabelsHook`. Can go when
MMPose checks labels when it reads them.
"""

from __future__ import annotations

from rlepose_ext.compat._hooks import register_everywhere
from rlepose_ext.compat._imports import Patch

PATCH = Patch(
    name='out_of_range_labels',
    breaks="labels that RLE's loss leaves out (NaN, far off the crop) are not in the log",
    since='always',
    until='MMPose checks labels when it reads them',
    install=lambda: register_everywhere('OutOfRangeLabelsHook'),
)
