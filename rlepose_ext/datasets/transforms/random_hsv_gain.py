"""Other light: hue, saturation and brightness times random factors."""

# ruff: noqa: NPY002  (MMEngine seeds NumPy's global generator in every loader worker)

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from rlepose_ext.checks import check_factors
from rlepose_ext.registry import TRANSFORMS


def apply_hsv_gain(image: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Multiply hue (around the circle), saturation and value (cut off at 255).

    Args:
        image: (H, W, 3), BGR, uint8.
        gains: (3,), 1 changes nothing.
    """
    values = np.arange(256)
    hue = (values * gains[0] % 180).astype(np.uint8)
    others = [np.clip(values * gain, 0, 255).astype(np.uint8) for gain in gains[1:]]
    table = np.stack([hue, *others], -1)[None]
    return cv2.cvtColor(cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), table), cv2.COLOR_HSV2BGR)


@TRANSFORMS.register_module()
class RandomHSVGain(BaseTransform):
    """YOLOv5's change of colours: each channel of HSV times 1 + a uniform number.

    MMPose's ``YOLOXHSVRandomAug`` adds numbers instead, the same to dark and to bright pixels.

    Args:
        hue: largest magnitude of the number for hue.
        saturation: of that for saturation.
        value: of that for value.

    Raises:
        UserError: one is negative.
    """

    def __init__(self, hue: float = 0.015, saturation: float = 0.7, value: float = 0.4) -> None:
        super().__init__()
        check_factors('RandomHSVGain', hue=hue, saturation=saturation, value=value)
        self.most = np.array([hue, saturation, value])

    @cache_randomness
    def _draw(self) -> np.ndarray:
        return 1 + np.random.uniform(-1, 1, 3) * self.most

    def transform(self, results: dict) -> dict:
        results['img'] = apply_hsv_gain(results['img'], self._draw())
        return results

    def __repr__(self) -> str:
        hue, saturation, value = self.most.tolist()
        return f'{type(self).__name__}(hue={hue}, saturation={saturation}, value={value})'
