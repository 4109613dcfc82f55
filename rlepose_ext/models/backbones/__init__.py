from rlepose_ext.models.backbones.alexnet import AlexNet
from rlepose_ext.models.backbones.hrnet_lite import HRNetLite
from rlepose_ext.models.backbones.hrnet_lite_gau import HRNetLiteGAU
from rlepose_ext.models.backbones.identity import IdentityBackbone
from rlepose_ext.models.backbones.movenet import MoveNetBackbone
from rlepose_ext.models.backbones.posefix_resnet import PoseFixResNet
from rlepose_ext.models.backbones.scnet import SCNet
from rlepose_ext.models.backbones.vit import ViTBackbone

__all__ = [
    'AlexNet',
    'HRNetLite',
    'HRNetLiteGAU',
    'IdentityBackbone',
    'MoveNetBackbone',
    'PoseFixResNet',
    'SCNet',
    'ViTBackbone',
]
