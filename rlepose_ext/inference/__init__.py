"""Poses of images and videos: detect, crop, run, decode, track, draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlepose_ext.inference.estimator import PoseEstimator
    from rlepose_ext.inference.types import PoseResult

__all__ = ['PoseEstimator', 'PoseResult']
_HOMES = {'PoseEstimator': 'estimator', 'PoseResult': 'types'}


def __getattr__(name: str) -> Any:
    """Import on first use: the estimator needs torch and MMPose, the types do not."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module

    return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)
