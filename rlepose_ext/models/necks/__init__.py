from rlepose_ext.models.backbones.movenet import MoveNetFPN
from rlepose_ext.models.necks.attention import LSKNeck, SKNeck

__all__ = ['LSKNeck', 'MoveNetFPN', 'SKNeck']
