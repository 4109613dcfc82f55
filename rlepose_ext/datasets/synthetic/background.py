"""What stands behind and in front of the people."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from rlepose_ext.datasets.synthetic.canvas import Canvas, capsules, hull

# On top of everything; body parts use the ids below.
OCCLUDER = 255


def sample_backdrop(rng: np.random.Generator) -> np.ndarray:
    """A small random picture, (h, w, 3) uint8 BGR, to be stretched over the image.

    Smooth gradients, cloudy or fine-grained textures, stripes, and a wall above a floor.
    """
    kind = rng.integers(5)
    # Mostly muted colours, as outdoors and in rooms.
    base = rng.uniform(60, 200) + rng.uniform(-1, 1, 3) * rng.choice((15.0, 30.0, 60.0))
    if kind == 0:  # gradient
        small = base + rng.uniform(-40, 40, (3, 3, 1)) + rng.uniform(-25, 25, (3, 3, 3))
    elif kind == 1:  # clouds
        small = base + rng.uniform(-30, 30, (9, 8, 1)) + rng.uniform(-15, 15, (9, 8, 3))
    elif kind == 2:  # fine grain
        small = base + rng.uniform(-30, 30, (48, 40, 1)) + rng.uniform(-8, 8, (48, 40, 3))
    elif kind == 3:  # stripes
        count = int(rng.integers(6, 24))
        stripes = rng.uniform(-25, 25, (count, 1, 1)) + rng.uniform(-12, 12, (count, 1, 3))
        small = np.repeat(base + stripes, 4, axis=0)
        small = np.repeat(small, 4, axis=1)
        if rng.random() < 0.5:
            small = small.transpose(1, 0, 2)
    else:  # wall and floor
        small = np.empty((32, 6, 3))
        horizon = int(rng.integers(16, 29))
        small[:horizon] = base
        small[horizon:] = rng.uniform(50, 190) + rng.uniform(-25, 25, 3)
        small += rng.uniform(-10, 10, (32, 6, 1))
    return np.ascontiguousarray(np.clip(small, 0, 255), dtype=np.uint8)


def draw_clutter(rng: np.random.Generator, canvas: Canvas, most: int) -> None:
    """Up to ``most`` boxes, ellipses and bars behind the people."""
    for _ in range(int(rng.integers(most + 1))):
        size = rng.uniform(0.05, 0.35, 2) * (canvas.width, canvas.height)
        centre = rng.uniform(0, 1, 2) * (canvas.width, canvas.height)
        _thing(rng, canvas, centre, size, 0)


def draw_occluder(
    rng: np.random.Generator, canvas: Canvas, box: tuple[float, float, float, float]
) -> None:
    """One object in front of the person whose extent is ``box`` (left, top, right, bottom)."""
    low, high = np.array(box[:2]), np.array(box[2:])
    span = high - low
    size = rng.uniform(0.15, 0.4, 2) * np.maximum(span, 0.4 * span.max())
    centre = low + rng.uniform(0.1, 0.9, 2) * span
    _thing(rng, canvas, centre, size, OCCLUDER)


def _thing(
    rng: np.random.Generator, canvas: Canvas, centre: np.ndarray, size: np.ndarray, ident: int
) -> None:
    """A box, an ellipse or a bar of ``size`` (width, height) pixels."""
    kind, angle = rng.integers(3), rng.normal(0, 0.25)
    colour = tuple(rng.uniform(20, 235, 3).tolist())
    dark = tuple(c * 0.6 for c in colour)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if kind == 0:
        shape = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * size / 2
    elif kind == 1:
        shape = hull(np.zeros((1, 2)), np.ones(1)) * size / 2
    else:
        axis = np.array([[0.0, size[1]]])
        width = np.array([size[0] * 0.25])
        shape = capsules(-axis, axis, width, width)[0]
    shape = shape @ turn.T
    canvas.fill(centre + shape, dark, ident)
    canvas.fill(centre + shape * 0.92, colour, ident)


@lru_cache(maxsize=4)
def _noise_field(sigma: float) -> np.ndarray:
    field = np.random.default_rng(20240229).normal(0, sigma, (640, 640, 3))
    return np.rint(field).astype(np.int16)


def add_noise(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    """Pixel noise of ``sigma`` grey levels: a random window of one fixed field (for speed)."""
    if sigma <= 0:
        return image
    field = _noise_field(float(sigma))
    rows, columns = image.shape[:2]
    if max(rows, columns) > 512:
        field = np.tile(field, (rows // 640 + 2, columns // 640 + 2, 1))
    top, left = rng.integers(0, 128, 2).tolist()
    window = field[top : top + rows, left : left + columns]
    return cv2.add(image, window, dtype=cv2.CV_8U)
