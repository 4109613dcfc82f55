"""What top-down codecs ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlepose_ext.errors import UserError


def check_sizes(codec: str, input_size: Sequence[int], heatmap_size: Sequence[int]) -> None:
    """See that both sizes are a width and a height, px.

    Raises:
        UserError: one is not; names ``codec`` and the argument.
    """
    for name, size in (('input_size', input_size), ('heatmap_size', heatmap_size)):
        if np.shape(size) != (2,) or not all(side > 0 for side in size):
            raise UserError(
                f'{codec}: {name} is {size!r}, expected (width, height) in px, such as '
                'input_size=(256, 256), heatmap_size=(64, 64).'
            )


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
