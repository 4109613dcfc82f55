"""The same training samples for less time.

Decoding a JPEG costs what it costs: OpenCV, Pillow, torchvision and simplejpeg take the same time
for the same pixels, and most of it is Huffman decoding, which a smaller output does not save.
:mod:`rlepose_ext.engine.image_cache` does it once. The rest of what MMPose does to a sample can be
cheaper with the same result:

- An image is flipped as a view, and OpenCV copies a view value by value, all of it, before it
  warps. :func:`warp_affine` cuts out what the crop shows, and flips that.
- ``copy.deepcopy`` of annotations and metainfo, several times a sample: :func:`copied`.
- Four random numbers from ``scipy.stats.truncnorm``: :func:`truncated_normal`.
- Hue, saturation and value in 16-bit arithmetic: :func:`shifted_hsv` stays in 8.

Samples are the same to the last bit. ``benchmarks/data_path.py`` measures.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from rlepose_ext.engine import image_cache
from rlepose_ext.imports import when_imported

_ATOMS = frozenset({bool, int, float, complex, str, bytes, type(None)})


def install() -> None:
    """Put the functions of this module into MMPose's data sets and transforms."""
    transforms = 'mmpose.datasets.transforms'
    when_imported('mmpose.datasets.datasets.base.base_coco_style_dataset', _equip_dataset)
    when_imported('mmengine.structures.base_data_element', _equip_samples)
    when_imported(f'{transforms}.common_transforms', _equip_augmentation)
    when_imported(f'{transforms}.topdown_transforms', _equip_warp)
    when_imported(f'{transforms}.formatting', _equip_packing)
    when_imported(f'{transforms}.loading', image_cache.equip)


def copied(value: Any) -> Any:
    """``copy.deepcopy`` for annotations: lists, tuples, dicts, arrays, numbers and text."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is list or kind is tuple:
        return kind([item if type(item) in _ATOMS else copied(item) for item in value])
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    if kind is np.ndarray and not value.dtype.hasobject:
        return value.copy(order='K')
    return copy.deepcopy(value)


def warp_affine(
    image: np.ndarray, matrix: np.ndarray, size: Sequence[int], **options: Any
) -> np.ndarray:
    """``cv2.warpAffine``, but of a flipped view only the part that is seen is copied.

    Args:
        image: (H, W) or (H, W, C).
        matrix: (2, 3), from image px to input px.
        size: width and height of the crop, input px.
        **options: as of OpenCV, without ``WARP_INVERSE_MAP``; what lies outside is constant.
    """
    import cv2

    if image.ndim < 2 or image.strides[1] > 0 or image.strides[0] < 0:
        return cv2.warpAffine(image, matrix, size, **options)
    height, width = image.shape[:2]
    ends = np.float64([[0, 0], [1, 0], [0, 1], [1, 1]]) * (size[0] - 1, size[1] - 1)
    inverse = cv2.invertAffineTransform(np.float64(matrix))
    seen = ends @ inverse[:, :2].T + inverse[:, 2]
    if not np.isfinite(seen).all():
        return cv2.warpAffine(image, matrix, size, **options)
    # Two pixels more than bilinear interpolation reads.
    left, top = np.clip(np.floor(seen.min(0)) - 2, 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(seen.max(0)) + 3, (left + 1, top + 1), (width, height))
    # In its place, so that OpenCV rounds alike; what is not seen is not filled in.
    flipped = np.empty((int(bottom), int(right), *image.shape[2:]), image.dtype)
    part = image[:, ::-1][top : int(bottom), width - int(right) : width - left]
    cv2.flip(part, 1, dst=flipped[top:, left:])
    return cv2.warpAffine(flipped, matrix, size, **options)


def truncated_normal(
    low: float = -1.0, high: float = 1.0, size: int | Sequence[int] = ()
) -> np.ndarray:
    """Draw from a standard normal between two bounds, as ``scipy.stats.truncnorm.rvs`` does.

    The uniform numbers are the same ones of NumPy's global generator, mapped by the inverse of
    the distribution function; float32.
    """
    from scipy.special import ndtr, ndtri

    below, above = ndtr(low), ndtr(high)
    uniform = np.random.uniform(size=size)  # noqa: NPY002  (MMEngine seeds it in every worker)
    return ndtri(below + uniform * (above - below)).astype(np.float32)


def shifted_hsv(image: np.ndarray, gains: Sequence[int]) -> np.ndarray:
    """Add to hue (modulo 180), saturation and value (cut at 0 and 255).

    Args:
        image: (H, W, 3) BGR, uint8.
        gains: what is added to each of the three.
    """
    import cv2

    hue, saturation, value = (int(gain) for gain in gains)
    hsv = cv2.add(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), (0, saturation, value, 0))
    if hue:
        table = ((np.arange(256) + hue) % 180).astype(np.uint8)
        cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, 0), table), hsv, 0)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def planes(image: np.ndarray) -> np.ndarray:
    """(H, W, C) as (C, H, W), contiguous."""
    import cv2

    out = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    cv2.split(image, list(out))
    return out


def _equip_dataset(module: ModuleType) -> None:
    module.deepcopy = copied


def _equip_samples(module: ModuleType) -> None:
    def set_metainfo(self, metainfo: dict) -> None:
        if not isinstance(metainfo, dict):
            raise TypeError(f'metainfo must be a dict, got {type(metainfo)}')
        for name, value in metainfo.items():
            self.set_field(name=name, value=copied(value), field_type='metainfo', dtype=None)

    functools.update_wrapper(set_metainfo, module.BaseDataElement.set_metainfo)
    module.BaseDataElement.set_metainfo = set_metainfo


def _equip_augmentation(module: ModuleType) -> None:
    module.RandomBBoxTransform._truncnorm = staticmethod(truncated_normal)
    original = module.YOLOXHSVRandomAug.transform

    @functools.wraps(original)
    def transform(self, results: dict) -> dict:
        if results['img'].dtype != np.uint8:
            return original(self, results)
        results['img'] = shifted_hsv(results['img'], self._get_hsv_gains())
        return results

    module.YOLOXHSVRandomAug.transform = transform


def _equip_packing(module: ModuleType) -> None:
    import torch

    original = module.image_to_tensor

    @functools.wraps(original)
    def image_to_tensor(image: Any) -> torch.Tensor:
        if isinstance(image, np.ndarray) and image.ndim == 3 and image.dtype == np.uint8:
            return torch.from_numpy(planes(image))
        return original(image)

    module.image_to_tensor = image_to_tensor


class _Cv2:
    """OpenCV, with our way to warp."""

    warpAffine = staticmethod(warp_affine)

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _equip_warp(module: ModuleType) -> None:
    module.cv2 = _Cv2(module.cv2)
