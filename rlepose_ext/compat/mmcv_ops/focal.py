"""Sigmoid focal loss (Lin et al. 2017, eq. 5), with class labels.

For logit x, p = sigmoid(x), and y = 1 in the column of the label, 0 elsewhere::

    y = 1: -alpha       (1 - p)^gamma log(p)
    y = 0: -(1 - alpha)  p^gamma      log(1 - p)

The logarithms are taken as log-sigmoids, so that logits of any size stay exact; the
compiled op floors p at the smallest float instead.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rlepose_ext.compat.mmcv_ops._dtypes import compute_dtype

__all__ = ['sigmoid_focal_loss_backward', 'sigmoid_focal_loss_forward']


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` with the loss of every element.

    Args:
        input: (N, C) logits.
        target: (N,) int64; a label outside [0, C), such as C for background, matches
            no column.
        weight: (C,) factor by the row's label, 1 for background; empty for none.
        output: (N, C), overwritten.
        gamma: focusing exponent.
        alpha: weight of the matching column.
    """
    x = input.to(compute_dtype(input))
    matches, factor = _classes(x, target, weight)
    # The two cases are one formula in the logit of the right answer.
    z = torch.where(matches, x, -x)
    balance = torch.where(matches, alpha, 1 - alpha)
    output.copy_(-balance * factor * torch.sigmoid(-z).pow(gamma) * logsigmoid(z))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, C) with d loss / d logit; arguments as in the forward pass.

    With z the logit of the right answer and q = sigmoid(z):
    d/dz of -(1 - q)^gamma log(q) is (1 - q)^gamma (gamma q log(q) - (1 - q)).
    """
    x = input.to(compute_dtype(input))
    matches, factor = _classes(x, target, weight)
    z = torch.where(matches, x, -x)
    balance = torch.where(matches, alpha, alpha - 1)
    wrong = torch.sigmoid(-z)
    slope = wrong.pow(gamma) * (gamma * torch.sigmoid(z) * logsigmoid(z) - wrong)
    grad_input.copy_(balance * factor * slope)


def _classes(x: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Where the label's column is, (N, C) bool, and the factor of each row, (N, 1)."""
    num_classes = x.size(1)
    matches = target[:, None] == torch.arange(num_classes, device=x.device)
    if weight.numel() == 0:
        return matches, x.new_ones(len(x), 1)
    known = (target >= 0) & (target < num_classes)
    factor = weight.to(x.dtype)[target.clamp(0, num_classes - 1)]
    return matches, torch.where(known, factor, torch.ones_like(factor))[:, None]
