"""Pose estimation by residual log-likelihood and its relatives, as an MMPose 1.x plugin.

Importing this package makes the frozen OpenMMLab stack run on today's Python and
torch (see :mod:`rlepose_ext.compat`). It imports neither torch nor mmcv nor mmpose
itself: what they need is mended at the moment they are imported.
"""

from rlepose_ext import compat
from rlepose_ext.version import __version__

__all__ = ['__version__']

compat.install()
