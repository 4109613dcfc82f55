"""Non-maximum suppression of axis-aligned boxes: greedy, soft and grouping.

Boxes are ``(x1, y1, x2, y2)`` in pixels, all classes of one image in one list
(``mmcv.ops.batched_nms`` shifts the classes apart before it calls these). With
``offset`` = 1 a box covers its last pixel: width = x2 - x1 + 1. The overlap of two
boxes without area is 0, so they never suppress each other. Among equal scores the
earlier box comes first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlepose_ext.compat.mmcv_ops._dtypes import compute_dtype
from rlepose_ext.compat.mmcv_ops._torchvision import torchvision_ops

__all__ = ['nms', 'nms_match', 'softnms']


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy suppression of what overlaps a better box by more than ``iou_threshold``.

    Args:
        boxes: (N, 4) in pixels, N may be 0.
        scores: (N,).
        iou_threshold: an overlap equal to it does not suppress.
        offset: 0 or 1, added to widths and heights.

    Returns:
        Indices of the kept boxes, int64, best score first.
    """
    if boxes.numel() == 0:
        return boxes.new_empty(0, dtype=torch.long)
    dtype = compute_dtype(boxes, scores)
    boxes = _half_open(boxes.to(dtype), offset)
    return torchvision_ops().nms(boxes, scores.to(dtype), _round(iou_threshold, dtype))


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes that overlap better ones (Bodla et al. 2017, eqs. 1 to 3).

    Repeatedly takes the best box and multiplies every other score by a weight of their
    overlap u: ``method`` 0 (naive) 0 if u >= threshold; 1 (linear) 1 - u if
    u >= threshold; 2 (gaussian) exp(-u^2 / sigma). A box whose score falls below
    ``min_score`` leaves; the very first one is never tested.

    Args:
        boxes: (N, 4) in pixels.
        scores: (N,).
        dets: (N, 5), floating; filled with the kept boxes and their lowered scores.
        iou_threshold: of methods 0 and 1.
        sigma: of method 2.
        min_score: see above.
        method: 0, 1 or 2.
        offset: 0 or 1, added to widths and heights.

    Returns:
        Indices of the K kept boxes, int64, in the order of ``dets[:K]``.
    """
    if method not in (0, 1, 2):
        raise ValueError(f'soft-nms method: expected 0, 1 or 2, got {method}')
    if not dets.is_floating_point():
        raise TypeError(f'soft-nms needs floating-point boxes, got {dets.dtype}')
    dtype = compute_dtype(boxes, scores)
    rest, score = _half_open(boxes.to(dtype), offset), scores.to(dtype)
    index = torch.arange(len(boxes), device=boxes.device)
    threshold = _round(iou_threshold, dtype)
    kept: list[Tensor] = []
    while index.numel():
        best = int(score.argmax())
        dets[len(kept), :4] = boxes[index[best]].to(dets.dtype)
        dets[len(kept), 4] = score[best].to(dets.dtype)
        kept.append(index[best])

        overlap = _iou(rest[best], rest)
        if method == 2:
            weight = torch.exp(-overlap.square() / sigma)
        else:
            lowered = torch.zeros_like(overlap) if method == 0 else 1 - overlap
            weight = torch.where(overlap >= threshold, lowered, torch.ones_like(overlap))
        score = score * weight
        stays = score >= min_score
        stays[best] = False
        rest, score, index = rest[stays], score[stays], index[stays]
    return torch.stack(kept) if kept else index


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Greedy suppression that remembers who suppressed whom.

    Args:
        dets: (N, 5) boxes in pixels with their scores.
        iou_threshold: an overlap equal to it suppresses (unlike in :func:`nms`).

    Returns:
        One list per kept box, best first: its index, then those it suppressed, each
        in the order of their scores.
    """
    dtype = compute_dtype(dets)
    boxes, threshold = dets[:, :4].to(dtype), _round(iou_threshold, dtype)
    order = dets[:, 4].sort(descending=True, stable=True).indices
    groups: list[list[int]] = []
    while order.numel():
        best, others = order[:1], order[1:]
        matched = _iou(boxes[best[0]], boxes[others]) >= threshold
        groups.append(torch.cat([best, others[matched]]).tolist())
        order = others[~matched]
    return groups


def _half_open(boxes: Tensor, offset: int) -> Tensor:
    return torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)


def _round(threshold: float, dtype: torch.dtype) -> float:
    # The compiled op compares float32 with float32. Against a double, a float32 overlap
    # of 0.6 would exceed a threshold of 0.6.
    return float(torch.tensor(threshold, dtype=dtype))


def _iou(box: Tensor, boxes: Tensor) -> Tensor:
    """Overlap of one box (4,) with boxes (N, 4): intersection over union, (N,)."""
    size = (torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])).clamp(0)
    inter = size.prod(dim=1)
    area = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return (inter / (area - inter)).nan_to_num(nan=0.0)
