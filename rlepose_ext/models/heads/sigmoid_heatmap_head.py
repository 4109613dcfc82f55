"""Heatmaps between 0 and 1: the simple baseline's head with a sigmoid behind it.

Three transposed convolutions with batch norm and ReLU, each doubling the resolution, and a 1 x 1
convolution to one map per joint (Xiao et al., *Simple Baselines for Human Pose Estimation and
Tracking*, ECCV 2018, arXiv 1804.06208, section 2) are MMPose's ``HeatmapHead``. There the maps
are unbounded; here

    heatmaps = sigmoid(z),   z = Conv1x1(Deconv^3(features))

so that a peak's height is a number in (0, 1), which a threshold of confidence can be held against.
The squared error of a sigmoid has the gradient 2 (h - t) h (1 - h) with respect to z: it vanishes
on both flat ends, and a head that starts at h = 1/2 first learns that maps are mostly empty.
"""

from mmpose.models.heads import HeatmapHead
from torch import Tensor

from rlepose_ext.registry import MODELS


@MODELS.register_module()
class SigmoidHeatmapHead(HeatmapHead):
    """MMPose's ``HeatmapHead`` with activated maps; arguments, loss and log names are MMPose's.

    The loss, prediction and export all take :meth:`forward`, the one place with the sigmoid. So
    the loss must be one that takes heatmaps, such as ``KeypointMSELoss``, and not one with a
    sigmoid of its own.

    State dicts of ``HeatmapHead`` load, both ways: the sigmoid has no weights.
    """

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Heatmaps in (0, 1), shape (B, K, h, w), from the last of the feature maps."""
        return super().forward(feats).sigmoid()

    def activate(self, outputs: Tensor) -> Tensor:
        """What the decoder and an exported model take: the maps as :meth:`forward` gives them."""
        return outputs
