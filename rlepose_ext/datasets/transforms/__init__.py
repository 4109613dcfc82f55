"""Transforms that MMPose lacks, registered under ``rlepose_ext.registry.TRANSFORMS``."""

from rlepose_ext.datasets.transforms.aid import AIDCutout, AIDHideAndSeek
from rlepose_ext.datasets.transforms.mosaic_affine import MosaicAffine
from rlepose_ext.datasets.transforms.pack_image_pyramid import PackImagePyramid
from rlepose_ext.datasets.transforms.random_blur import RandomBlur, RandomMedianBlur
from rlepose_ext.datasets.transforms.random_erase import RandomErase
from rlepose_ext.datasets.transforms.random_hsv_gain import RandomHSVGain
from rlepose_ext.datasets.transforms.stretch_resize import StretchResize
from rlepose_ext.datasets.transforms.synthesize_pose_errors import SynthesizePoseErrors
from rlepose_ext.datasets.transforms.to_gray import ToGray

__all__ = [
    'AIDCutout',
    'AIDHideAndSeek',
    'MosaicAffine',
    'PackImagePyramid',
    'RandomBlur',
    'RandomErase',
    'RandomHSVGain',
    'RandomMedianBlur',
    'StretchResize',
    'SynthesizePoseErrors',
    'ToGray',
]
