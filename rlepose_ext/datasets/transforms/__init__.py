"""Transforms that MMPose lacks, registered under ``rlepose_ext.registry.TRANSFORMS``."""

from rlepose_ext.datasets.transforms.random_blur import RandomBlur, RandomMedianBlur
from rlepose_ext.datasets.transforms.random_erase import RandomErase

__all__ = ['RandomBlur', 'RandomErase', 'RandomMedianBlur']
