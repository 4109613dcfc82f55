"""Pose estimation by residual log-likelihood and its relatives, as an MMPose 1.x plugin.

Importing this package makes the frozen OpenMMLab stack run on today's Python and
torch (see :mod:`rlepose_ext.compat`) and gives training features to every run (see
:mod:`rlepose_ext.engine.equip`). It imports neither torch nor mmcv nor mmpose
itself: what they need is mended at the moment they are imported.
"""

from rlepose_ext import patches
from rlepose_ext.version import __version__

__all__ = ['__version__']

patches.install()
