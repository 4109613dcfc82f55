from rlepose_ext.models.losses.rle_loss import RLELoss
from rlepose_ext.models.losses.skps_loss import AdaptiveWingLoss

__all__ = ['AdaptiveWingLoss', 'RLELoss']
