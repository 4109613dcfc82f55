"""How far off a joint is, in units of RLE's sigma.

RLE's sigma is a scale, not a standard deviation: the density of the error e = (mu - g) / sigma
is what the flow has learnt, p(e) ~ Q(e) G(e) (Li et al., ICCV 2021, equation 8), and it may be
much narrower than 1. Its standard deviation, one number per axis for the whole model, turns
sigma into pixels that mean something: a joint's typical error is ``spread * sigma``.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from rlepose_ext.models.losses.rle_loss import Q_DISTRIBUTIONS, RLELoss

# The density is summed on a square grid of this half width, in sigmas, and this many steps.
HALF_WIDTH = 6.0
STEPS = 601
# Gain of the flow's initialisation, see models/flows/real_nvp.py.
_INITIAL_GAIN = 0.01


def learned_spread(loss: RLELoss) -> np.ndarray | None:
    """Standard deviation of the learnt density of the error, in sigmas.

    Args:
        loss: of a trained head, with its flow.

    Returns:
        (2,) for x and y, or ``None`` if the flow is as it was initialised, because the
        checkpoint does not have it.
    """
    if not _is_trained(loss.flow_model):
        return None
    device = next(loss.flow_model.parameters()).device
    axis = torch.linspace(-HALF_WIDTH, HALF_WIDTH, STEPS, device=device)
    errors = torch.stack(torch.meshgrid(axis, axis, indexing='xy'), dim=-1).reshape(-1, 2)
    with torch.no_grad():
        log_density = loss.flow_model.log_prob(errors)
        if loss.residual:
            one = torch.ones_like(errors)
            log_density = log_density - Q_DISTRIBUTIONS[loss.q_distribution](errors, one).sum(-1)
    return standard_deviation(errors, log_density).cpu().numpy()


def standard_deviation(points: Tensor, log_density: Tensor) -> Tensor:
    """Standard deviation of a density that is known on a grid, up to a factor.

    Args:
        points: (M, D) of a regular grid.
        log_density: (M,).

    Returns:
        (D,).
    """
    weight = torch.softmax(log_density.double(), dim=0)[:, None]
    mean = (weight * points).sum(0)
    return (weight * (points - mean) ** 2).sum(0).sqrt()


def _is_trained(flow: nn.Module) -> bool:
    """Whether some weight is larger than Xavier's uniform initialisation allows."""
    for module in flow.modules():
        if isinstance(module, nn.Linear):
            bound = _INITIAL_GAIN * math.sqrt(6 / (module.in_features + module.out_features))
            if module.weight.abs().max() > 1.01 * bound:
                return True
    return False
