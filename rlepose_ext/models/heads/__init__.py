from rlepose_ext.models.heads.dekr_head import DEKRHead
from rlepose_ext.models.heads.heatmap_heads import HeatmapGAUHead, SigmoidHeatmapHead
from rlepose_ext.models.heads.integral import DebiasedIntegralHead
from rlepose_ext.models.heads.movenet_head import MoveNetHead, MoveNetMultiPoseHead
from rlepose_ext.models.heads.posefix_head import PoseFixHead
from rlepose_ext.models.heads.rle_head import RLEHead
from rlepose_ext.models.heads.simcc_rle import SimCCRLEHead
from rlepose_ext.models.heads.skps_head import SKPSHead
from rlepose_ext.models.heads.token_simcc_head import TokenSimCCHead

__all__ = [
    'DEKRHead',
    'DebiasedIntegralHead',
    'HeatmapGAUHead',
    'MoveNetHead',
    'MoveNetMultiPoseHead',
    'PoseFixHead',
    'RLEHead',
    'SKPSHead',
    'SigmoidHeatmapHead',
    'SimCCRLEHead',
    'TokenSimCCHead',
]
