from rlepose_ext.models.heads.rle_head import RLEHead

__all__ = ['RLEHead']
