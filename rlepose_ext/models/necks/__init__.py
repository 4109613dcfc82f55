from rlepose_ext.models.necks.lsk_neck import LSKNeck
from rlepose_ext.models.necks.sk_neck import SKNeck

__all__ = ['LSKNeck', 'SKNeck']
