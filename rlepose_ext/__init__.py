"""Pose estimation by residual log-likelihood and its relatives, as an MMPose 1.x plugin.

Importing this package makes the frozen OpenMMLab stack run on today's Python and
torch (see :mod:`rlepose_ext.compat`) and gives training features to every run (see
:mod:`rlepose_ext.engine.equip`). It imports neither torch nor mmcv nor mmpose
itself: what they need is mended at the moment they are imported.
"""

from typing import TYPE_CHECKING, Any

from rlepose_ext import patches
from rlepose_ext.version import __version__

if TYPE_CHECKING:
    from rlepose_ext.inference.pose import Pose

__all__ = ['Pose', '__version__']

patches.install()


def __getattr__(name: str) -> Any:
    """``Pose`` is imported on first use: it needs torch and MMPose."""
    if name != 'Pose':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from rlepose_ext.inference.pose import Pose

    return Pose
