from rlepose_ext.models.backbones.movenet import MoveNetFeatures, MoveNetFPN
from rlepose_ext.models.necks.attention import LSKNeck, SKNeck

__all__ = ['LSKNeck', 'MoveNetFPN', 'MoveNetFeatures', 'SKNeck']
