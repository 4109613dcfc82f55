from rlepose_ext.models.estimators.shared_gau import SharedGAUPoseEstimator

__all__ = ['SharedGAUPoseEstimator']
