"""What the SimCC + RLE head computes from its vectors, as functions of tensors.

:mod:`rlepose_ext.models.heads.simcc_rle_head` tells what they are for.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlepose_ext.geometry.spaces import normalise


def soft_argmax(pred_x: Tensor, pred_y: Tensor) -> Tensor:
    """The mean of the distributions whose logits are given, as a point.

    Args:
        pred_x: logits over the bins of the width, shape (..., W s).
        pred_y: logits over the bins of the height, shape (..., H s).

    Returns:
        Coordinates normalised by the crop, shape (..., 2), in float32 at least: bins are
        counted in hundreds, which half precision cannot tell apart.
    """
    means = []
    for pred in (pred_x, pred_y):
        dtype = torch.promote_types(pred.dtype, torch.float32)
        bins = torch.arange(pred.shape[-1], dtype=dtype, device=pred.device)
        means.append((pred.to(dtype).softmax(-1) * bins).sum(-1))
    return normalise(torch.stack(means, dim=-1), (pred_x.shape[-1], pred_y.shape[-1]))


def drop_bad_rows(labels: Sequence[Tensor], weights: Tensor) -> tuple[list[Tensor], Tensor]:
    """Zero the label vectors of joints that cannot enter the SimCC term.

    A weight of zero is not enough: zero times nan is nan, in every weight of the model.

    Args:
        labels: x and y vectors, (N, K, W s) and (N, K, H s).
        weights: (N, K).

    Returns:
        The vectors and the weights, both zero where the weight is not positive or a vector
        is not finite; as they are elsewhere.
    """
    good = weights > 0
    for vectors in labels:
        good = good & vectors.isfinite().all(-1)
    zero = weights.new_zeros(())
    return [torch.where(good[..., None], v, zero.to(v)) for v in labels], weights.where(good, zero)
