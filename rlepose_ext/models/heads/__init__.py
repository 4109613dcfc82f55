from rlepose_ext.models.heads.adaptive_pose_head import AdaptivePoseHead
from rlepose_ext.models.heads.dekr_head import DEKRHead
from rlepose_ext.models.heads.heatmap_heads import HeatmapGAUHead, SigmoidHeatmapHead
from rlepose_ext.models.heads.integral import DebiasedIntegralHead
from rlepose_ext.models.heads.movenet_head import MoveNetHead, MoveNetMultiPoseHead
from rlepose_ext.models.heads.posefix_head import PoseFixHead
from rlepose_ext.models.heads.poseur_head import PoseurHead
from rlepose_ext.models.heads.rle_head import RLEHead
from rlepose_ext.models.heads.simcc_rle import SimCCRLEHead
from rlepose_ext.models.heads.skps_head import SKPSHead
from rlepose_ext.models.heads.token_pose_head import TokenPoseHead
from rlepose_ext.models.heads.token_simcc_head import TokenSimCCHead
from rlepose_ext.models.heads.yolopose_head import YOLOPoseHead

__all__ = [
    'AdaptivePoseHead',
    'DEKRHead',
    'DebiasedIntegralHead',
    'HeatmapGAUHead',
    'MoveNetHead',
    'MoveNetMultiPoseHead',
    'PoseFixHead',
    'PoseurHead',
    'RLEHead',
    'SKPSHead',
    'SigmoidHeatmapHead',
    'SimCCRLEHead',
    'TokenPoseHead',
    'TokenSimCCHead',
    'YOLOPoseHead',
]
