"""Blur the input now and then: people in video and in small crops are not sharp."""

# ruff: noqa: NPY002  (MMEngine seeds NumPy's global generator in every loader worker)

from __future__ import annotations

from abc import abstractmethod

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from rlepose_ext.registry import TRANSFORMS


class RandomKernelFilter(BaseTransform):
    """Apply a filter with a random odd kernel size to ``img``; keypoints stay as they are.

    Put it after ``TopdownAffine``: the kernel's size is in input px.

    Args:
        prob: how often an image is touched.
        kernel: least and greatest side of the square kernel, in px; both odd, so that
            the image does not move by half a pixel.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, prob: float = 0.1, kernel: tuple[int, int] = (3, 7)) -> None:
        super().__init__()
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in [0, 1], got {prob}')
        if not 3 <= kernel[0] <= kernel[1] or not kernel[0] % 2 or not kernel[1] % 2:
            raise ValueError(f'kernel must be two odd sizes (least, greatest) >= 3, got {kernel}')
        self.prob = prob
        self.kernel = tuple(kernel)

    @abstractmethod
    def blur(self, image: np.ndarray, kernel: int) -> np.ndarray:
        """The filtered image, same shape and type."""

    @cache_randomness
    def _draw(self) -> int:
        """A kernel size; 0 if the image is left alone."""
        if np.random.rand() >= self.prob:
            return 0
        return int(np.random.choice(np.arange(self.kernel[0], self.kernel[1] + 1, 2)))

    def transform(self, results: dict) -> dict:
        kernel = self._draw()
        if kernel:
            results['img'] = self.blur(results['img'], kernel)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, kernel={self.kernel})'


@TRANSFORMS.register_module()
class RandomBlur(RandomKernelFilter):
    """Box filter; arguments as in :class:`RandomKernelFilter`."""

    def blur(self, image: np.ndarray, kernel: int) -> np.ndarray:
        return cv2.blur(image, (kernel, kernel))


@TRANSFORMS.register_module()
class RandomMedianBlur(RandomKernelFilter):
    """Median filter for 8-bit images; arguments as in :class:`RandomKernelFilter`."""

    def blur(self, image: np.ndarray, kernel: int) -> np.ndarray:
        return cv2.medianBlur(image, kernel)
