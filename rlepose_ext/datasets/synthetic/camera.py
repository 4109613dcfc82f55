"""How a drawn picture is taken: brightness, focus and noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from rlepose_ext.datasets.synthetic.background import add_noise


@dataclass(frozen=True)
class Exposure:
    """Settings of the camera: factor and addend of grey levels, soft focus."""

    gain: float
    offset: float
    is_soft: bool


def sample_exposure(rng: np.random.Generator) -> Exposure:
    """A random brightness, and a soft focus now and then."""
    gain, offset, soft = rng.uniform(0.8, 1.15), rng.uniform(-15, 20), rng.random()
    return Exposure(gain, max(offset, 0), soft < 0.2)


def photograph(
    rng: np.random.Generator, image: np.ndarray, exposure: Exposure, noise: float
) -> np.ndarray:
    """Exposure, focus, and sensor noise.

    Args:
        rng: source of the noise.
        image: (height, width, 3) uint8 BGR.
        exposure: the settings.
        noise: standard deviation, grey levels.
    """
    image = cv2.convertScaleAbs(cv2.max(image, 0), alpha=exposure.gain, beta=exposure.offset)
    if exposure.is_soft:
        image = cv2.GaussianBlur(image, (3, 3), 0)
    return add_noise(rng, image, noise)
