"""``FigureCanvasAgg.tostring_rgb``, which matplotlib 3.10 removed.

MMPose's ``Pose3dLocalVisualizer`` reads its figure with it, so no 3-D pose can be drawn. The
canvas gets the method back where that visualizer is imported too; where matplotlib has it, nothing
changes.
"""

from __future__ import annotations

from types import ModuleType

from rlepose_ext.imports import Patch, when_imported


def _give_back(module: ModuleType) -> None:
    import numpy as np

    canvas = module.FigureCanvasAgg

    def tostring_rgb(self) -> bytes:
        return np.asarray(self.buffer_rgba())[..., :3].tobytes()

    if not hasattr(canvas, 'tostring_rgb'):
        canvas.tostring_rgb = tostring_rgb


def _wait_for_canvas(module: ModuleType) -> None:
    when_imported('matplotlib.backends.backend_agg', _give_back)


PATCH = Patch(
    name='matplotlib_canvas',
    breaks="3-D poses cannot be drawn: 'FigureCanvasAgg' object has no attribute 'tostring_rgb'",
    since='matplotlib 3.10',
    until='MMPose reads figures with buffer_rgba',
    install=lambda: when_imported('mmpose.visualization.local_visualizer_3d', _wait_for_canvas),
)
