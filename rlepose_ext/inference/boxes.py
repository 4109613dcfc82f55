"""How much boxes overlap."""

from __future__ import annotations

import numpy as np
import torch
from mmpose.structures.bbox import bbox_overlaps


def overlaps(first: np.ndarray, second: np.ndarray, mode: str = 'iou') -> np.ndarray:
    """Overlap of every box with every other, by MMPose's ``bbox_overlaps``.

    Args:
        first: (N, 4) x1, y1, x2, y2.
        second: (M, 4).
        mode: ``'iou'``, or ``'iof'``: the share of the first box that lies in the second.

    Returns:
        (N, M).
    """
    pair = (torch.from_numpy(np.asarray(boxes, np.float64)) for boxes in (first, second))
    return bbox_overlaps(*pair, mode=mode).numpy()
