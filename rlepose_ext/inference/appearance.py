"""What clothes look like: colours of the upper and the lower half of a person.

A histogram over L*a*b* of a strip in the middle of each half. Two are compared by the Bhattacharyya
coefficient, the sum of sqrt(p q) over bins: 1 for the same colours, 0 for none in common.
"""

from __future__ import annotations

import cv2
import numpy as np

# Shares of the box, x1, y1, x2, y2: chest to hips, and thighs to shins.
_STRIPS = np.array([[0.3, 0.2, 0.7, 0.5], [0.3, 0.55, 0.7, 0.85]])
_BINS = (6, 12, 12)
# OpenCV's L*a*b* has grey at 128; clothes are rarely more than 64 from it.
_RANGES = (0, 256, 64, 192, 64, 192)
# Of one person.
SHAPE = (len(_STRIPS), _BINS[0] * _BINS[1] * _BINS[2])


def clothes(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) the part of each box (N, 4), x1, y1, x2, y2, that :func:`appearance` looks at."""
    sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.tile(boxes[:, :2], 2) + sizes * [*_STRIPS[0, :2], *_STRIPS[-1, 2:]]


def appearance(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Square roots of the histograms of each person.

    Args:
        image: (H, W, 3) uint8 BGR.
        boxes: (N, 4) x1, y1, x2, y2 in image px.

    Returns:
        (N, *SHAPE); a strip that is outside the image is 0.
    """
    found = np.zeros((len(boxes), *SHAPE), np.float32)
    height, width = image.shape[:2]
    for index, box in enumerate(np.asarray(boxes, float)):
        low, size = box[:2], box[2:] - box[:2]
        for part, strip in enumerate(_STRIPS):
            x1, y1 = np.maximum(low + strip[:2] * size, 0).astype(int)
            x2, y2 = np.minimum(np.ceil(low + strip[2:] * size), (width, height)).astype(int)
            if x2 > x1 and y2 > y1:
                pixels = cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_BGR2LAB)
                counts = cv2.calcHist([pixels], [0, 1, 2], None, _BINS, _RANGES).ravel()
                found[index, part] = np.sqrt(counts / max(counts.sum(), 1))
    return found


def alikeness(first: np.ndarray, second: np.ndarray, unknown: float) -> np.ndarray:
    """How similar persons look, from 0 to 1.

    Args:
        first: (N, *SHAPE) of :func:`appearance`.
        second: (M, *SHAPE).
        unknown: what stands for strips that one of both lacks.

    Returns:
        (N, M), means over the strips.
    """
    both = first.any(2)[:, None] & second.any(2)[None]
    return np.where(both, np.einsum('nsb,msb->nms', first, second), unknown).mean(-1)


def learn(known: np.ndarray, found: np.ndarray, rate: float) -> np.ndarray:
    """A look that is a mixture of both, (*SHAPE); strips that ``found`` lacks stay."""
    mixed = known + rate * (found - known)
    mixed /= np.maximum(np.linalg.norm(mixed, axis=-1, keepdims=True), 1e-9)
    return np.where(found.any(-1, keepdims=True), mixed, known)
