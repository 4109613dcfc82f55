from rlepose_ext.models.losses.per_sample_loss import PerSampleLoss
from rlepose_ext.models.losses.rle_loss import RLELoss
from rlepose_ext.models.losses.skps_loss import AdaptiveWingLoss

__all__ = ['AdaptiveWingLoss', 'PerSampleLoss', 'RLELoss']
