from rlepose_ext.models.backbones.movenet import MoveNetFeatures, MoveNetFPN
from rlepose_ext.models.necks.attention import LSKNeck, SKNeck
from rlepose_ext.models.necks.channel_mapper import ChannelMapper
from rlepose_ext.models.necks.yolov5_pafpn import YOLOv5PAFPN

__all__ = [
    'ChannelMapper',
    'LSKNeck',
    'MoveNetFPN',
    'MoveNetFeatures',
    'SKNeck',
    'YOLOv5PAFPN',
]
