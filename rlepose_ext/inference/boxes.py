"""Boxes of persons: what a user may give, how much they overlap, and which of several are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError

# Image px; far above any image, and small enough that no crop overflows.
MAX_COORDINATE = 1e6


def as_boxes(boxes: Any, what: str = 'boxes') -> np.ndarray:
    """Check boxes and make them (N, 4) float32.

    Args:
        boxes: N boxes x1, y1, x2, y2 in image px; an empty list means no person.
        what: what to call them in an error.

    Raises:
        UserError: another shape, numbers that are not finite or huge, or boxes without area.
    """
    try:
        with np.errstate(over='ignore'):
            array = np.asarray(boxes, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f'{what}: expected numbers x1, y1, x2, y2, got {boxes!r}') from error
    if array.size == 0:
        return np.zeros((0, 4), np.float32)
    if array.ndim == 1 and len(array) == 4:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != 4:
        raise UserError(f'{what}: expected shape (N, 4) as x1, y1, x2, y2, got {array.shape}')
    # NaN compares as false, so it is wrong too; so is what would overflow in the crop.
    wrong = ~(np.abs(array) <= MAX_COORDINATE).all(1) | (array[:, 2:] <= array[:, :2]).any(1)
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        raise UserError(
            f'{what}: expected finite x1 < x2 and y1 < y2 in image px (at most '
            f'{MAX_COORDINATE:g}), got '
            f'{array[index].tolist()} (number {index})'
        )
    return array


def as_scores(scores: Any, count: int) -> np.ndarray:
    """Check the scores of boxes and make them (N,) float32.

    Args:
        scores: N numbers; ``None`` is 1 for each.
        count: N, of the boxes.

    Raises:
        UserError: no numbers, or another count.
    """
    if scores is None:
        return np.ones(count, np.float32)
    try:
        array = np.asarray(scores, np.float32).reshape(-1)
    except (TypeError, ValueError) as error:
        raise UserError(f'box_scores: expected numbers, got {scores!r}') from error
    if len(array) != count:
        raise UserError(f'expected a score for each of {count} boxes, got {len(array)}')
    return array


def find_boxes(
    detector: Any, frames: Sequence[np.ndarray], names: Sequence[str]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes (N, 4) in image px and scores (N,) of each frame.

    Args:
        detector: see :mod:`.detectors`; or a :class:`.predictors.Predictor`, whose joints are left
            out.
        frames: (H, W, 3) uint8 BGR.
        names: of the frames, by which files of boxes know them.
    """
    if hasattr(detector, 'predict'):
        return [(each.boxes, each.box_scores) for each in detector.predict(frames, names)]
    return detector(frames, names)


def best_of(boxes: np.ndarray, scores: np.ndarray, bbox_thr: float, nms_thr: float) -> np.ndarray:
    """Indices of the boxes that are kept, best first: of low score, without area and repeated go.

    The overlap is that of MMPose's ``nms``, which counts a box's last pixel in.

    Args:
        boxes: (N, 4) x1, y1, x2, y2.
        scores: (N,).
        bbox_thr: lowest score, not included.
        nms_thr: largest IoU of two boxes that are kept.
    """
    good = (scores > bbox_thr) & (boxes[:, 2:] > boxes[:, :2]).all(1) & np.isfinite(boxes).all(1)
    left = np.flatnonzero(good)
    left = left[np.argsort(scores[left])[::-1]]
    area = (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.maximum(high - low + 1, 0).prod(1)
        left = left[shared / (area[best] + area[left] - shared) <= nms_thr]
    return np.array(kept, dtype=int)


def overlaps(first: np.ndarray, second: np.ndarray, mode: str = 'iou') -> np.ndarray:
    """Overlap of every box with every other, by MMPose's ``bbox_overlaps``.

    Args:
        first: (N, 4) x1, y1, x2, y2.
        second: (M, 4).
        mode: ``'iou'``, or ``'iof'``: the share of the first box that lies in the second.

    Returns:
        (N, M).
    """
    # not above: what only reads boxes does without them
    import torch
    from mmpose.structures.bbox import bbox_overlaps

    pair = (torch.from_numpy(np.asarray(boxes, np.float64)) for boxes in (first, second))
    return bbox_overlaps(*pair, mode=mode).numpy()
