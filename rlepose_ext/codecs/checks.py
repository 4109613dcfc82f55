"""What top-down codecs ask of the keypoints that they encode."""

from __future__ import annotations

import numpy as np

from rlepose_ext.errors import UserError


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
