from rlepose_ext.models.losses.adaptive_wing import AdaptiveWingLoss
from rlepose_ext.models.losses.joint_offset import JointOffsetLoss
from rlepose_ext.models.losses.per_sample_loss import PerSampleLoss
from rlepose_ext.models.losses.rle import RLELoss
from rlepose_ext.models.losses.yolopose import YOLOPoseLoss

__all__ = [
    'AdaptiveWingLoss',
    'JointOffsetLoss',
    'PerSampleLoss',
    'RLELoss',
    'YOLOPoseLoss',
]
