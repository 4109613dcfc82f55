from rlepose_ext.models.estimators.image_pyramid import (
    PyramidDataPreprocessor,
    PyramidPoseEstimator,
)
from rlepose_ext.models.estimators.posefix import PoseFixEstimator, PoseFixPreprocessor
from rlepose_ext.models.estimators.quant_estimator import QuantPoseEstimator
from rlepose_ext.models.estimators.shared_gau import SharedGAUPoseEstimator

__all__ = [
    'PoseFixEstimator',
    'PoseFixPreprocessor',
    'PyramidDataPreprocessor',
    'PyramidPoseEstimator',
    'QuantPoseEstimator',
    'SharedGAUPoseEstimator',
]
