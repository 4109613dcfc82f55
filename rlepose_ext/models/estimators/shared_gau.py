"""A top-down estimator whose backbone and head share one gated attention unit."""

from typing import Any

from mmpose.models.pose_estimators import TopdownPoseEstimator

from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class SharedGAUPoseEstimator(TopdownPoseEstimator):
    """MMPose's ``TopdownPoseEstimator`` that hands the head's unit to the backbone.

    The unit is one module with one set of weights, used twice in a forward pass: gradients
    of both uses add up. It is saved and counted once, as ``head.gau``.

    Args:
        backbone: config of a backbone with ``share_gau``, such as ``HRNetLiteGAU``.
        head: config of a head with ``gau``, such as ``TokenSimCCHead``.
        **options: further arguments of ``TopdownPoseEstimator``.

    Raises:
        UserError: one of the two lacks what is to be shared.
    """

    def __init__(self, backbone: dict, head: dict, **options: Any) -> None:
        super().__init__(backbone=backbone, head=head, **options)
        if not hasattr(self.backbone, 'share_gau') or getattr(self.head, 'gau', None) is None:
            raise UserError(
                'SharedGAUPoseEstimator: expected a backbone with share_gau and a head with a '
                f'gau, got {type(self.backbone).__name__} and {type(self.head).__name__}. Take '
                'rlepose_ext.HRNetLiteGAU, and rlepose_ext.TokenSimCCHead with gau=dict(...).'
            )
        self.backbone.share_gau(self.head.gau)
