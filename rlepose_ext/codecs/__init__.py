"""Keypoints to targets, outputs to keypoints."""

from rlepose_ext.codecs.adaptive_pose_label import AdaptivePoseLabel
from rlepose_ext.codecs.lip_heatmap import LIPHeatmap
from rlepose_ext.codecs.movenet_label import MoveNetLabel
from rlepose_ext.codecs.posefix_label import PoseFixLabel
from rlepose_ext.codecs.simcc_rle_label import SimCCRLELabel
from rlepose_ext.codecs.skps_heatmap import SKPSHeatmap
from rlepose_ext.codecs.yolopose_label import YOLOPoseLabel

__all__ = [
    'AdaptivePoseLabel',
    'LIPHeatmap',
    'MoveNetLabel',
    'PoseFixLabel',
    'SKPSHeatmap',
    'SimCCRLELabel',
    'YOLOPoseLabel',
]
