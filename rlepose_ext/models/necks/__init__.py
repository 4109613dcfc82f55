from rlepose_ext.models.necks.attention import LSKNeck, SKNeck

__all__ = ['LSKNeck', 'SKNeck']
