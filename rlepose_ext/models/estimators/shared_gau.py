"""A top-down estimator whose backbone and head share one gated attention unit."""

from typing import Any

from mmpose.models.pose_estimators import TopdownPoseEstimator

from rlepose_ext.errors import UserError
from rlepose_ext.models.heads.token_blocks import TokenGAU
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class SharedGAUPoseEstimator(TopdownPoseEstimator):
    """MMPose's ``TopdownPoseEstimator`` that hands the head's unit to the backbone.

    The unit is one module with one set of weights, used twice in a forward pass: gradients
    of both uses add up. It is saved and counted once, as the head's block.

    Args:
        backbone: config of a backbone with ``share_gau``, such as ``HRNetLiteGAU``.
        head: config of a head with one ``GAU`` among its ``blocks``, such as ``TokenSimCCHead``.
        **options: further arguments of ``TopdownPoseEstimator``.

    Raises:
        UserError: one of the two lacks what is to be shared.
    """

    def __init__(self, backbone: dict, head: dict, **options: Any) -> None:
        super().__init__(backbone=backbone, head=head, **options)
        units = [b for b in getattr(self.head, 'blocks', ()) if isinstance(b, TokenGAU)]
        if not hasattr(self.backbone, 'share_gau') or len(units) != 1:
            raise UserError(
                'SharedGAUPoseEstimator: expected a backbone with share_gau and a head with one '
                f'GAU among its blocks, got {type(self.backbone).__name__} and '
                f'{type(self.head).__name__} with {len(units)}. Take rlepose_ext.HRNetLiteGAU, and '
                "rlepose_ext.TokenSimCCHead with blocks=[dict(type='GAU', ...)]."
            )
        self.backbone.share_gau(units[0])
