"""Augmentation by Information Dropping: hide parts of a person, so that context must serve.

Huang et al., *AID: Pushing the Performance Boundary of Human Pose Estimation with Information
Dropping Augmentation*, arXiv 2008.07139. Dropped from the start it slows learning down and gains
little, so it belongs into a second training that starts from a finished model
(``configs/aid/``).

Top-down, :class:`AIDCutout` hides one ellipse with axes along the image's. With centre c and
semi-axes r, all in input px and pixel centres at whole numbers, pixel (x, y) is hidden where

    ((x - c_x) / r_x)^2 + ((y - c_y) / r_y)^2 <= 1
    c_x ~ U[0, width),  c_y ~ U[0, height)
    r_x, r_y ~ radius * width * (1 + U[0, 1))              radius = 0.2, independent

Both semi-axes are fractions of the width. Bottom-up, :class:`AIDHideAndSeek` (after Singh and
Lee, ICCV 2017) lays a grid of square cells over the image and hides each on its own with
probability 0.5. The side of the cells is drawn from (0, 16, 32, 44, 56) px; 0 leaves the
image alone.

Both belong after the affine transform and before normalisation: the fill 0 is black. Keypoints
stay as they are; a hidden joint is still a target.
"""

# ruff: noqa: NPY002  (MMEngine seeds NumPy's global generator in every loader worker)

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from rlepose_ext.registry import TRANSFORMS


def ellipse_mask(
    size: tuple[int, int], center: tuple[float, float], radii: tuple[float, float]
) -> np.ndarray:
    """Pixels inside of an ellipse or on it; the module's docstring has the inequality.

    Args:
        size: height, width of the image in px.
        center: x, y in px.
        radii: semi-axes along x and y in px, above 0.

    Returns:
        (height, width), True where a pixel is hidden.
    """
    y, x = np.ogrid[: size[0], : size[1]]
    return ((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2 <= 1


def cell_mask(size: tuple[int, int], hidden: np.ndarray, side: int) -> np.ndarray:
    """Pixels in the hidden cells of a square grid.

    Args:
        size: height, width of the image in px.
        hidden: (rows, columns), True for the cells that are hidden. The grid begins at
            pixel (0, 0) and covers the image; cells at the far border may be cut.
        side: of a cell in px.

    Returns:
        (height, width), True where a pixel is hidden.
    """
    return np.kron(hidden, np.ones((side, side), dtype=bool))[: size[0], : size[1]]


class _MaskedFill(BaseTransform):
    """Paint over a random part of ``img``; subclasses say which part."""

    def __init__(self, prob: float, fill: float) -> None:
        super().__init__()
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in [0, 1], got {prob}')
        self.prob = prob
        self.fill = fill

    def mask(self, height: int, width: int) -> np.ndarray | None:
        """(height, width), True where a pixel is hidden; None if the image is left alone."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        mask = self.mask(*results['img'].shape[:2])
        if mask is not None:
            results['img'] = results['img'].copy()
            results['img'][mask] = self.fill
        return results


@TRANSFORMS.register_module()
class AIDCutout(_MaskedFill):
    """Hide one ellipse of the input crop, as AID does for top-down models.

    Put it after ``TopdownAffine``. Required and modified key: ``img``.

    Args:
        prob: how often an image is touched.
        radius: least semi-axis as a fraction of the image's width; the greatest is twice
            as long.
        fill: value painted, in all channels.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, prob: float = 1.0, radius: float = 0.2, fill: float = 0) -> None:
        super().__init__(prob, fill)
        if not 0 < radius < np.inf:
            raise ValueError(f'radius must be a number above 0, got {radius}')
        self.radius = radius

    @cache_randomness
    def _draw(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Centre and semi-axes, both (x, y) in px; None if the image is left alone."""
        if np.random.rand() >= self.prob:
            return None
        center = np.random.rand(2) * (width, height)
        return center, self.radius * width * (1 + np.random.rand(2))

    def mask(self, height: int, width: int) -> np.ndarray | None:
        drawn = self._draw(height, width)
        return None if drawn is None else ellipse_mask((height, width), *drawn)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, radius={self.radius}, fill={self.fill})'


@TRANSFORMS.register_module()
class AIDHideAndSeek(_MaskedFill):
    """Hide cells of a random grid, as AID does for bottom-up models.

    Put it after the affine transform. Required and modified key: ``img``.

    Args:
        prob: how often an image is touched.
        grid_sizes: sides of the cells in px to draw from, each equally likely; 0 leaves
            the image alone.
        hide_prob: how often a cell is hidden.
        fill: value painted, in all channels.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        prob: float = 1.0,
        grid_sizes: Sequence[int] = (0, 16, 32, 44, 56),
        hide_prob: float = 0.5,
        fill: float = 0,
    ) -> None:
        super().__init__(prob, fill)
        if not 0 <= hide_prob <= 1:
            raise ValueError(f'hide_prob must lie in [0, 1], got {hide_prob}')
        if not grid_sizes or any(int(side) != side or side < 0 for side in grid_sizes):
            raise ValueError(f'grid_sizes must be whole numbers of px >= 0, got {grid_sizes}')
        self.grid_sizes = tuple(int(side) for side in grid_sizes)
        self.hide_prob = hide_prob

    @cache_randomness
    def _draw(self, height: int, width: int) -> tuple[np.ndarray, int] | None:
        """Hidden cells (rows, columns) and their side; None if the image is left alone."""
        if np.random.rand() >= self.prob:
            return None
        side = int(np.random.choice(self.grid_sizes))
        if not side:
            return None
        cells = -(-height // side), -(-width // side)
        return np.random.rand(*cells) < self.hide_prob, side

    def mask(self, height: int, width: int) -> np.ndarray | None:
        drawn = self._draw(height, width)
        return None if drawn is None else cell_mask((height, width), *drawn)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, grid_sizes={self.grid_sizes}, '
            f'hide_prob={self.hide_prob}, fill={self.fill})'
        )
