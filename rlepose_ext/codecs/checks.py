"""What top-down codecs ask of their arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError


def check_sizes(codec: str, input_size: Sequence[int], heatmap_size: Sequence[int]) -> None:
    """See that both sizes are a width and a height, whole px.

    Raises:
        UserError: one is not; names ``codec`` and the argument.
    """
    check_size(codec, 'input_size', input_size, such_as=(256, 256))
    check_size(codec, 'heatmap_size', heatmap_size, such_as=(64, 64))


def check_size(codec: str, name: str, size: Sequence[int], such_as: tuple[int, int]) -> None:
    """See that a size is a width and a height, whole px.

    Raises:
        UserError: it is not; names ``codec``, the argument ``name``, and ``such_as``, an example.
    """
    pair = isinstance(size, Sequence) and not isinstance(size, str) and len(size) == 2
    if not pair or not all(isinstance(side, Integral) and side > 0 for side in size):
        raise UserError(
            f'{codec}: {name} is {size!r}, expected (width, height) in whole px, such as '
            f'{name}={such_as}.'
        )


def check_positive(codec: str, **values: Any) -> None:
    """See that values are finite numbers above 0.

    Raises:
        UserError: one is not; names ``codec`` and the argument.
    """
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < math.inf:
            raise UserError(f'{codec}: {name} is {value!r}, expected a number of more than 0.')


def check_one_person(codec: str, keypoints: np.ndarray) -> None:
    """See that keypoints are those of one person, (1, K, 2).

    Raises:
        UserError: they are not; names ``codec``.
    """
    if keypoints.ndim != 3 or keypoints.shape[0] != 1 or keypoints.shape[2] != 2:
        raise UserError(
            f'{codec}: expected the keypoints of one person, shape (1, K, 2), got '
            f'{keypoints.shape}. Its maps have room for one: use a top-down data set '
            "(data_mode='topdown')."
        )
