from rlepose_ext.models.losses.rle_loss import RLELoss

__all__ = ['RLELoss']
