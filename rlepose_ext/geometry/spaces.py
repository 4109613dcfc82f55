"""The coordinate ladder: image px <-> input px <-> heatmap px <-> normalised, and flips.

Every function takes points as a numpy array or a torch tensor of shape (..., 2), x before
y, and gives the same kind back; nothing is changed in place. Sizes are (width, height).

Pixels are counted as MMPose counts them: the centre of the first pixel is 0, that of the
last is width - 1. Hence a picture of width W is mirrored by x -> W - 1 - x.

- *image px*: the photograph as read from disk.
- *input px*: the crop the network sees, ``input_size``.
- *heatmap px*: a map the network gives out, ``heatmap_size``.
- *normalised*: input px divided by ``input_size``; the last pixel centre is 1 - 1 / W.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = [
    'denormalise',
    'flip_normalised',
    'flip_points',
    'heatmap_to_input',
    'image_to_input',
    'input_to_heatmap',
    'input_to_image',
    'normalise',
    'swap_sides',
]

Points = TypeVar('Points', np.ndarray, 'torch.Tensor')
Size = Sequence[float]


def image_to_input(points: Points, center: Size, scale: Size, input_size: Size) -> Points:
    """Photograph to upright crop: the box ``scale`` around ``center`` fills the input.

    Args:
        points: image px.
        center: centre of the box, image px.
        scale: width and height of the box, image px.
        input_size: width and height of the crop, input px.
    """

    def formula(x: Points, center: float, scale: float, size: float) -> Points:
        return (x - center) / scale * size + 0.5 * size

    return _per_axis(formula, points, center, scale, input_size)


def input_to_image(points: Points, center: Size, scale: Size, input_size: Size) -> Points:
    """Upright crop to photograph; the inverse of :func:`image_to_input`."""

    def formula(x: Points, center: float, scale: float, size: float) -> Points:
        return (x - 0.5 * size) / size * scale + center

    return _per_axis(formula, points, center, scale, input_size)


def input_to_heatmap(
    points: Points, input_size: Size, heatmap_size: Size, unbiased: bool = False
) -> Points:
    """Crop to a map of another resolution.

    Args:
        points: input px.
        input_size: width and height of the crop.
        heatmap_size: width and height of the map.
        unbiased: how the two grids lie on each other. False, as in MMPose's MSRA codec:
            by the ratio of the sizes. True, as in UDP: first pixel on first and last on
            last, the ratio of the sizes less one, which commutes with mirroring.
    """
    return _resample(points, heatmap_size, input_size, unbiased)


def heatmap_to_input(
    points: Points, input_size: Size, heatmap_size: Size, unbiased: bool = False
) -> Points:
    """Map to crop; the inverse of :func:`input_to_heatmap`."""
    return _resample(points, input_size, heatmap_size, unbiased)


def normalise(points: Points, input_size: Size) -> Points:
    """Input px to normalised: divide by the size, as MMPose's ``RegressionLabel`` does."""
    return _per_axis(operator.truediv, points, input_size)


def denormalise(points: Points, input_size: Size) -> Points:
    """Normalised to input px."""
    return _per_axis(operator.mul, points, input_size)


def flip_points(points: Points, width: float) -> Points:
    """Mirror left and right in pixel space (image, input or heatmap px): x -> W - 1 - x."""
    return _with_x(points, width - 1 - points[..., :1])


def flip_normalised(points: Points, width: float | None = None) -> Points:
    """Mirror left and right in normalised space.

    Args:
        points: normalised; further columns after x (y, sigma) are kept as they are.
        width: width of the crop in input px. With it x -> 1 - x - 1 / W, which is
            W - 1 - x in pixels: what mirroring the picture does. Without it x -> 1 - x,
            a pixel off (MMPose's ``shift_coords=False``).
    """
    x = 1.0 - points[..., :1]
    return _with_x(points, x if width is None else x - 1.0 / width)


def swap_sides(values: Points, flip_indices: Sequence[int]) -> Points:
    """Give each joint the values of its mirror partner.

    Args:
        values: shape (..., K, D).
        flip_indices: for each joint the index of its partner (itself on the body's axis).
    """
    return values[..., list(flip_indices), :]


def _per_axis(formula: Callable[..., Points], points: Points, *values: Size) -> Points:
    """``formula(points, *values)`` for x and for y.

    In torch each axis is computed with plain numbers: a tensor of them would be copied to the
    device, which waits for it, in every forward.
    """
    if isinstance(points, np.ndarray):
        kind = points.dtype if points.dtype.kind == 'f' else np.float64
        return formula(points, *(np.asarray(value, dtype=kind) for value in values))
    if not points.is_floating_point():
        raise TypeError(f'points are {points.dtype}, expected floating point')
    from torch import stack

    pairs = zip(points.unbind(-1), *values, strict=True)
    return stack([formula(x, *map(float, numbers)) for x, *numbers in pairs], dim=-1)


def _resample(points: Points, to_size: Size, from_size: Size, unbiased: bool) -> Points:
    less = 1 if unbiased else 0

    def formula(x: Points, to_side: float, from_side: float) -> Points:
        return x * ((to_side - less) / (from_side - less))

    return _per_axis(formula, points, to_size, from_size)


def _with_x(points: Points, x: Points) -> Points:
    """``points`` with another first column."""
    if isinstance(points, np.ndarray):
        return np.concatenate([x, points[..., 1:]], axis=-1)
    from torch import cat

    return cat([x, points[..., 1:]], dim=-1)
