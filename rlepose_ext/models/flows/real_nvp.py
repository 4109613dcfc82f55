"""RealNVP in the plane: a density that can be evaluated exactly and learnt by gradient.

Dinh, Sohl-Dickstein, Bengio, *Density estimation using Real NVP*, ICLR 2017,
arXiv 1605.08803.

The idea. Take noise z with a density known in closed form, z ~ N(0, I), and bend the
plane with an invertible map g, x = g(z). Probability mass is conserved, so

    log p(x) = log N(z; 0, I) + log |det dz/dx|,    z = g^-1(x)      (change of variables)

Any g will do whose inverse and whose determinant are cheap. A *coupling layer* has both.
It keeps one coordinate and moves the other, by a scale and a shift which may depend on
the kept coordinate in any way:

    x_kept  = z_kept
    x_moved = z_moved * exp(s(z_kept)) + t(z_kept)

Its Jacobian is triangular, log |det dx/dz| = s(z_kept), and its inverse needs no inverse
of s and t, which are therefore free to be neural networks:

    z_moved = (x_moved - t(x_kept)) * exp(-s(x_kept))

The next layer keeps the other coordinate. Six layers in a row can shape a density with skew,
correlation and a peak much narrower than its flanks. Scales are bounded here, so that x grows
at most linearly with z: far out the density falls as a normal one does. The choice of coordinates
is a binary mask m (1 where z is kept), as in the paper:

    x = z * exp((1 - m) s(m z)) + (1 - m) t(m z)

This module knows nothing about poses. In residual log-likelihood estimation
(:mod:`rlepose_ext.models.losses.rle`) x is a standardised prediction error.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlepose_ext.registry import MODELS

HIDDEN = 64
# Of the six layers: 1 at the coordinate that is kept.
MASK = [[0.0, 1.0], [1.0, 0.0]] * 3
LOG_2PI = math.log(2 * math.pi)


def log_standard_normal(z: Tensor) -> Tensor:
    """Log-density of N(0, I): ``-|z|^2 / 2 - D/2 log(2 pi)``.

    Args:
        z: points, shape (..., D).

    Returns:
        Shape (...).
    """
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * LOG_2PI)


@MODELS.register_module()
class RealNVP(nn.Module):
    """Six coupling layers over a normal of unit covariance in two dimensions.

    Each layer has two nets of 2-64-64-2 with LeakyReLU; that of the log-scale s ends with
    tanh, so that one layer stretches by a factor between 1/e and e. 53,784 parameters.

    State-dict keys are those of MMPose's class of this name: ``s.*``, ``t.*``, and the
    buffers ``loc`` and ``cov`` (mean and covariance of the prior) and ``mask`` (one row per
    layer, 1 at the kept coordinate).

    Everything is computed in float32 at least, autocast or not: a log-determinant sums
    small numbers of both signs. float64 stays float64.

    Args:
        prior_mean: mean of the prior on both axes; its covariance is the identity.
    """

    def __init__(self, prior_mean: float = 0.0) -> None:
        super().__init__()
        self.register_buffer('loc', torch.full((2,), float(prior_mean)))
        self.register_buffer('cov', torch.eye(2))
        self.register_buffer('mask', torch.tensor(MASK))
        self.s = nn.ModuleList(_net(nn.Tanh()) for _ in MASK)
        self.t = nn.ModuleList(_net() for _ in MASK)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw tiny weights (Xavier uniform, gain 0.01): s and t start almost constant.

        The flow then starts within a small shift and stretch of the identity, and p(x)
        near the standard normal.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, gain=0.01)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map noise to data, x = g(z): feed it ``torch.randn(M, 2) + loc`` to sample p(x).

        Args:
            z: shape (M, 2).

        Returns:
            x, shape (M, 2), and log |det dx/dz|, shape (M,).
        """
        with _full_precision(z):
            x = self._promoted(z)
            log_det = x.new_zeros(len(x))
            for layer in range(len(MASK)):
                log_scale, shift = self._coupling(layer, x)
                x = x * log_scale.exp() + shift
                log_det = log_det + log_scale.sum(-1)
            return x, log_det

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to noise, z = g^-1(x): the layers undone, last one first.

        Args:
            x: shape (M, 2).

        Returns:
            z, shape (M, 2), and log |det dz/dx|, shape (M,).
        """
        with _full_precision(x):
            z = self._promoted(x)
            log_det = z.new_zeros(len(z))
            for layer in reversed(range(len(MASK))):
                log_scale, shift = self._coupling(layer, z)
                z = (z - shift) * (-log_scale).exp()
                log_det = log_det - log_scale.sum(-1)
            return z, log_det

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of data points by the change of variables.

        Args:
            x: shape (M, 2).

        Returns:
            log p(x), shape (M,).
        """
        z, log_det = self.inverse(x)
        return log_standard_normal(z - self.loc) + log_det

    def _coupling(self, layer: int, points: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale and shift of a layer, shape (M, 2) each; 0 at the kept coordinate."""
        kept = self.mask[layer] > 0
        masked = points.where(kept, 0)
        log_scale, shift = _apply(self.s[layer], masked), _apply(self.t[layer], masked)
        return log_scale.where(~kept, 0), shift.where(~kept, 0)

    def _promoted(self, points: Tensor) -> Tensor:
        """The points in the type of the parameters, float32 at least."""
        dtype = torch.promote_types(points.dtype, self.s[0][0].weight.dtype)
        return points.to(torch.promote_types(dtype, torch.float32))

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, extra, errors):
        mask = state_dict.get(f'{prefix}mask')
        # Not compared with the buffer, which has no values in a model built on 'meta'.
        if mask is not None and mask.tolist() != MASK:
            errors.append(
                f'{prefix}mask is {mask.tolist()}, expected {MASK}: the checkpoint '
                'belongs to a flow whose layers keep other coordinates'
            )
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, extra, errors)


def _net(*last: nn.Module) -> nn.Sequential:
    """A net of 2-64-64-2; 4,482 parameters."""
    return nn.Sequential(
        nn.Linear(2, HIDDEN),
        nn.LeakyReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.LeakyReLU(),
        nn.Linear(HIDDEN, 2),
        *last,
    )


def _apply(net: nn.Sequential, x: Tensor) -> Tensor:
    """``net(x)`` in the type of ``x``; the parameters may be of another."""
    for layer in net:
        if isinstance(layer, nn.Linear):
            x = F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))
        else:
            x = layer(x)
    return x


def _full_precision(tensor: Tensor) -> torch.autocast:
    """Switch autocast off on the device of ``tensor``."""
    return torch.autocast(tensor.device.type, enabled=False)
