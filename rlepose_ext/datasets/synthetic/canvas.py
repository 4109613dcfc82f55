"""A picture under construction: colours and, per pixel, which thing is on top.

The canvas has twice the final resolution and four channels: blue, green, red and the id
of what was drawn last there. One fill thus writes both the picture and the truth about
occlusion, and averaging 2x2 pixels gives smooth edges. Coordinates given to it are
image pixels, where pixel (0, 0) has its centre at (0, 0).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

SUPERSAMPLE = 2
# Sub-pixel bits of OpenCV's fixed-point polygon corners.
_BITS = 4
_SWEEP = np.linspace(-1.0, 1.0, 8)
Colour = tuple[float, float, float]


class Canvas:
    """An image of ``width`` x ``height`` pixels on which polygons are filled.

    Args:
        width: image width in pixels.
        height: image height in pixels.
        background: (h, w, 3) uint8 BGR of any size, stretched over the image.
    """

    def __init__(self, width: int, height: int, background: np.ndarray) -> None:
        self.width, self.height = width, height
        size = (width * SUPERSAMPLE, height * SUPERSAMPLE)
        grown = cv2.resize(background, size, interpolation=cv2.INTER_LINEAR)
        self._pixels = cv2.cvtColor(grown, cv2.COLOR_BGR2BGRA)
        self._pixels[..., 3] = 0

    def fill(self, polygon: np.ndarray, colour: Colour, ident: int) -> None:
        """Fill a convex polygon, (n, 2) in image pixels, and put ``ident`` on top there."""
        corners = to_fixed(polygon)
        cv2.fillConvexPoly(self._pixels, corners, (*colour, ident), cv2.LINE_8, _BITS)

    def fill_fixed(self, corners: np.ndarray, colour: Colour, ident: int) -> None:
        """As :meth:`fill`, with corners that :func:`to_fixed` has converted."""
        cv2.fillConvexPoly(self._pixels, corners, (*colour, ident), cv2.LINE_8, _BITS)

    def ids(self) -> np.ndarray:
        """(height, width) uint8: what is on top at each pixel; 0 is the background."""
        return self._pixels[::SUPERSAMPLE, ::SUPERSAMPLE, 3]

    def image(self) -> np.ndarray:
        """(height, width, 3) uint8 BGR at the final resolution."""
        small = cv2.resize(self._pixels, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_BGRA2BGR)


def to_fixed(points: np.ndarray) -> np.ndarray:
    """Image pixels, (..., 2), to the fixed-point super-sampled grid."""
    offset = (SUPERSAMPLE - 1) / 2
    fixed = (np.asarray(points, dtype=np.float64) * SUPERSAMPLE + offset) * (1 << _BITS)
    return np.rint(fixed).astype(np.int32)


def capsules(
    start: np.ndarray, end: np.ndarray, start_radius: np.ndarray, end_radius: np.ndarray
) -> np.ndarray:
    """Outlines of the convex hulls of pairs of discs (tapered limbs).

    Args:
        start: (n, 2) centres of the first discs.
        end: (n, 2) centres of the second discs.
        start_radius: (n,) radii of the first discs.
        end_radius: (n,) radii of the second discs.

    Returns:
        (n, 16, 2) convex polygons.
    """
    axis = end - start
    length = np.maximum(np.hypot(axis[:, 0], axis[:, 1]), 1e-9)
    heading = np.arctan2(axis[:, 1], axis[:, 0])
    # The common tangents touch both discs at this angle from the axis.
    tangent = np.arccos(np.clip((start_radius - end_radius) / length, -1.0, 1.0))
    at_end = heading[:, None] + _SWEEP * tangent[:, None]
    at_start = heading[:, None] + np.pi + _SWEEP * (np.pi - tangent[:, None])
    angle = np.concatenate([at_end, at_start], axis=1)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    centre = np.repeat(np.stack([end, start], axis=1), 8, axis=1)
    radius = np.repeat(np.stack([end_radius, start_radius], axis=1), 8, axis=1)
    return centre + ring * radius[..., None]


@lru_cache(maxsize=8)
def _circle(corners: int) -> np.ndarray:
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def hull(centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Convex hull of several discs: (n, 2) centres and (n,) radii to (m, 2) corners."""
    points = centres[:, None] + _circle(12) * radii[:, None, None]
    return cv2.convexHull(points.reshape(-1, 2).astype(np.float32))[:, 0]
