"""The formulas of residual log-likelihood estimation, as functions of tensors.

:mod:`rlepose_ext.models.losses.rle_loss` tells what they are for and puts them together.
Differences d = mu - g and scales sigma are in units of the crop (normalised space).
"""

import math

import torch
from torch import Tensor

EPS = 1e-9
# Keeps e = d / sigma and its gradients, which grow with 1 / sigma, finite in float32.
MIN_SIGMA = 1e-4
# Farther out of the crop, in crop sizes, a label is a mistake or a placeholder.
MAX_LABEL_DISTANCE = 10.0


def bounded_sigma(logit: Tensor) -> Tensor:
    """Scale of the error from the head's logit: the sigmoid, at least ``MIN_SIGMA``."""
    return logit.sigmoid().clamp(min=MIN_SIGMA)


def laplace_nll(difference: Tensor, sigma: Tensor) -> Tensor:
    """MMPose's 'laplace': ``log(2 sigma) + |d| / sigma``, exactly -log of a Laplace density.

    Args:
        difference: d = mu - g, any shape.
        sigma: scale, same shape and unit.

    Returns:
        Same shape.
    """
    return torch.log(2 * sigma) + difference.abs() / (sigma + EPS)


def gaussian_nll(difference: Tensor, sigma: Tensor) -> Tensor:
    """MMPose's 'gaussian': ``log(sigma sqrt(2 pi)) + (d / sigma)^2 / 2``, exactly a normal."""
    return torch.log(sigma * math.sqrt(2 * math.pi)) + 0.5 * (difference / (sigma + EPS)).square()


def official_nll(difference: Tensor, sigma: Tensor) -> Tensor:
    """Q of the paper's repository: ``log(sigma sqrt(2 pi)) + |d| / (sqrt(2) sigma + 1e-9)``.

    The exponent of a Laplace density of standard deviation 2 sigma with the constant of
    a normal one: not a density, but a constant does not change a gradient.
    """
    return torch.log(sigma * math.sqrt(2 * math.pi)) + difference.abs() / (
        math.sqrt(2) * sigma + EPS
    )


Q_DISTRIBUTIONS = {'laplace': laplace_nll, 'gaussian': gaussian_nll, 'official': official_nll}


def out_of_range(target: Tensor) -> Tensor:
    """Find labels that are not finite or more than 10 crop sizes off the crop.

    Args:
        target: normalised labels, the crop is [0, 1] x [0, 1]; shape (..., 2).

    Returns:
        Boolean, shape (...).
    """
    # A comparison with nan is false, so this is one test for all.
    inside = (target >= -MAX_LABEL_DISTANCE) & (target <= 1 + MAX_LABEL_DISTANCE)
    return ~inside.all(-1)
