"""Metrics that MMPose lacks, and scores of result files."""

from rlepose_ext.evaluation.coco_submission import CocoSubmission
from rlepose_ext.evaluation.input_pose_coco_metric import InputPoseCocoMetric
from rlepose_ext.evaluation.joint_subset_coco_metric import JointSubsetCocoMetric
from rlepose_ext.evaluation.lip_pckh import LIPPCKh
from rlepose_ext.evaluation.pose_baselines import PoseBaselines
from rlepose_ext.evaluation.wflw_subset_nme import WFLWSubsetNME

__all__ = [
    'CocoSubmission',
    'InputPoseCocoMetric',
    'JointSubsetCocoMetric',
    'LIPPCKh',
    'PoseBaselines',
    'WFLWSubsetNME',
]
