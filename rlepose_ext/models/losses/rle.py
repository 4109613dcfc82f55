"""Residual log-likelihood estimation: regression that learns the shape of its own error.

Li, Bian, Zeng, Wang, Pang, Liu, Lu, *Human Pose Regression with Residual Log-likelihood
Estimation*, ICCV 2021, arXiv 2107.11291.

Why. Every regression loss is the negative logarithm of an assumed error density: L2
assumes a Gaussian, L1 a Laplace. The true density of a joint's error is neither, it
varies from joint to joint and from image to image, and the closer the assumption, the
better the trained coordinates. So learn the density together with the coordinates.

How, in three steps.

1. *Reparameterise.* The head predicts a mean mu and a scale sigma per coordinate. One
   density phi for all joints of all images describes the standardised error

       e = (mu - g) / sigma,    so that    log p(g) = log phi(e) - log sigma_x - log sigma_y

   (change of variables from g to e). What varies with the image is in mu and sigma, what
   is common to all is in phi.
2. *Learn phi* by a normalising flow G in the plane, trained by the same maximum likelihood.
   mu gets its gradient through e; at test time the flow is not needed.
3. *Help the start.* At first the flow knows nothing, and its gradient would be poor. So -log Q0
   of a plain density at unit scale, Laplace or normal, is added.

The loss of one joint, as implemented by the paper's authors and by MMPose, is

    sum over d in {x, y} of  [ log sigma_d - log G(e) ]  +  [ log sigma_d - log Q0(e_d) ]

log sigma_d comes twice, and so does log G(e), which is one number per joint. Hence it is

    2 [ log sigma_x + log sigma_y - log G(e) ]  -  log Q0(e)

twice the negative log-likelihood of step 2 with phi = G, and a penalty: |e_x| + |e_y| for
Laplace, |e|^2 / 2 for a normal Q0.

The paper means G to be a residual, phi = Q0 G / Z with Z the integral of Q0 G,
and drops log Z. But Z depends on the flow, and is all through which Q0 could reach it:
as implemented, Q0 has no gradient for the flow, and G alone is the density of e.

The likelihood does not fix the scale that all sigmas have in common: c sigma with a flow
narrower by c is the same density. Nor does Q0, whose penalty falls with growing sigma; the
common scale is where initialisation and optimiser leave it. :func:`learned_spread` takes it out.

The loss is the logarithm of a density: it goes below zero as soon as the typical error
is small, and that is no fault. Watch ``acc_pose`` beside it.

Differences d = mu - g and scales sigma are in units of the crop (normalised space).
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.flows import RealNVP
from rlepose_ext.models.flows.real_nvp import log_standard_normal
from rlepose_ext.registry import MODELS

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


# Farther out the flow sees the error no more (Q does): its square must stay in float32.
MAX_FLOW_ERROR = 1e5


@MODELS.register_module()
class RLELoss(nn.Module):
    """Residual log-likelihood loss with a RealNVP as the learnt density.

    Arguments, interface and state dict are MMPose's; equal numbers too, wherever sigma is
    above 1e-4. What is different cannot be seen until something goes wrong: joints without
    weight and labels out of range are masked before the flow, the latter are counted, and
    everything is computed in float32 (or float64) regardless of autocast. It compiles to one
    graph and never waits for the device.

    Args:
        use_target_weight: multiply the loss of each joint by its weight, leave joints of
            weight 0 out.
        size_average: divide the sum over joints by the batch size N (and not by the
            number of joints).
        residual: add ``log sigma_d - log Q0(e_d)``. The flow's gradients are the same with
            and without. Without, log sigma counts once and log G twice, so that larger
            sigmas with a narrower flow are always better.
        q_distribution: 'laplace' or 'gaussian', as in MMPose, or 'official', as in the
            paper's repository (see :func:`official_nll`). Its targets are x / W - 0.5;
            the loss knows targets through mu - g only, so that MMPose's x / W does as
            well (see ``norm_linear`` of :class:`rlepose_ext.models.heads.RLEHead`).
        prior_mean: of the flow's prior, see :class:`rlepose_ext.models.flows.RealNVP`.

    Attributes:
        num_out_of_range: (2,), labels met so far in this process that are not finite or more
            than 10 crop sizes off the crop: all, and those of them that count by their
            weight. :class:`rlepose_ext.engine.hooks.OutOfRangeLabelsHook` logs their sum
            over the processes.

    Raises:
        UserError: unknown ``q_distribution``.
    """

    def __init__(
        self,
        use_target_weight: bool = False,
        size_average: bool = True,
        residual: bool = True,
        q_distribution: str = 'laplace',
        prior_mean: float = 0.0,
    ) -> None:
        super().__init__()
        if q_distribution not in Q_DISTRIBUTIONS:
            raise UserError(
                f'RLELoss: q_distribution is {q_distribution!r}, expected one of '
                f'{sorted(Q_DISTRIBUTIONS)}. Correct it in the loss of the head.'
            )
        self.use_target_weight = use_target_weight
        self.size_average = size_average
        self.residual = residual
        self.q_distribution = q_distribution
        self.flow_model = RealNVP(prior_mean)
        # No buffer: DistributedDataParallel may overwrite buffers with those of rank 0.
        self.num_out_of_range = torch.zeros(2, dtype=torch.int64, device='cpu')

    def forward(
        self, pred: Tensor, sigma: Tensor, target: Tensor, target_weight: Tensor | None = None
    ) -> Tensor:
        """Sum the loss over joints and coordinates, average it over the batch.

        Args:
            pred: predicted coordinates mu, normalised by the crop, shape (N, K, 2).
            sigma: *logits* of the predicted scale, shape (N, K, 2); the sigmoid is
                applied here.
            target: labels g, normalised, shape (N, K, 2).
            target_weight: shape (N, K), (N, K, 1) or (N, K, 2); 0 for unlabelled.

        Returns:
            Scalar. Zero, with zero gradients, if no joint counts.

        Raises:
            UserError: weights are wanted and missing, or shapes do not fit.
        """
        weight = self._check(pred, sigma, target, target_weight)
        # Wide before anything is computed; autocast touches nothing here but the flow's matrix
        # products, and the flow switches it off.
        dtype = torch.promote_types(pred.dtype, torch.float32)
        ignored = self._ignored(target, weight)[..., None]
        # Masked before the flow: an infinite loss times zero would be nan, and a nan in the
        # backward pass spoils every weight of the model.
        pred, sigma, target, weight = (
            values.masked_fill(ignored, 0).to(dtype).flatten(0, 1)
            for values in (pred, sigma, target, weight)
        )
        sigma = bounded_sigma(sigma)
        difference = pred - target
        error = (difference / (sigma + EPS)).clamp(-MAX_FLOW_ERROR, MAX_FLOW_ERROR)

        loss = sigma.log() - self.flow_model.log_prob(error)[:, None]
        if self.residual:
            loss = loss + Q_DISTRIBUTIONS[self.q_distribution](difference, sigma)
        loss = (loss * weight).sum()
        return loss / max(len(ignored), 1) if self.size_average else loss

    def _check(self, pred: Tensor, sigma: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """Weights as (N, K, 1) or (N, K, 2); ones where they are not wanted."""
        if pred.ndim != 3 or pred.shape[-1] != 2 or not pred.shape == sigma.shape == target.shape:
            raise UserError(
                'RLELoss: expected coordinates, sigma logits and labels of one shape (N, K, 2), '
                f'got {tuple(pred.shape)}, {tuple(sigma.shape)} and {tuple(target.shape)}. If the '
                "second numbers differ, the head's num_joints does not fit the data set; the flow "
                'is two-dimensional, 3-D labels do not go in.'
            )
        if not self.use_target_weight:
            return torch.ones_like(target[..., :1])
        if weight is not None and weight.ndim == 2:
            weight = weight[..., None]
        if weight is None or weight.shape not in (pred.shape, (*pred.shape[:2], 1)):
            raise UserError(
                'RLELoss: use_target_weight=True needs weights of shape (N, K) or (N, K, 1) beside '
                f'labels {tuple(target.shape)}, got {weight if weight is None else weight.shape}. '
                'Pack keypoint_weights, or set use_target_weight=False.'
            )
        return weight

    def _ignored(self, target: Tensor, weight: Tensor) -> Tensor:
        """Joints without weight or with a label out of range, (N, K); the latter are counted."""
        bad, visible = out_of_range(target), (weight > 0).any(-1)
        if self.num_out_of_range.device != target.device:
            self.num_out_of_range = self.num_out_of_range.to(target.device)
        self.num_out_of_range += torch.stack([bad.sum(), (bad & visible).sum()])
        return bad | ~visible


# The noise z is summed on a square grid of this half width and this many points a side.
HALF_WIDTH = 6.0
POINTS = 121
# Gain of the flow's initialisation, see models/flows/real_nvp.py.
_INITIAL_GAIN = 0.01


def learned_covariance(loss: RLELoss) -> np.ndarray | None:
    """Covariance of the learnt density of the error, in sigmas.

    Sigma is a scale, not a standard deviation: the density of e is that of the flow, which may be
    much narrower than 1. The covariance of a joint's error is ``diag(sigma) C diag(sigma)``, with
    one C for the whole model.

    The flow maps noise z ~ N(0, I) to e, so that moments of e are expectations over z. They are
    summed on a grid in z, which the flow takes to wherever e is, be that narrow or wide. Within
    0.3 % of 4 million samples; 20,000 samples are 2.5 % off where a few errors are large.

    Args:
        loss: of a trained head, with its flow.

    Returns:
        C, (2, 2), or ``None`` if the flow is as it was initialised, because the checkpoint does
        not have it.
    """
    flow = loss.flow_model
    if not _is_trained(flow):
        return None
    device = next(flow.parameters()).device
    axis = torch.linspace(-HALF_WIDTH, HALF_WIDTH, POINTS, device=device)
    z = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        error = flow(z + flow.loc)[0].double()
    weight = torch.softmax(log_standard_normal(z).double(), dim=0)
    error = error - weight @ error
    return (error.T @ (weight[:, None] * error)).cpu().numpy()


def learned_spread(loss: RLELoss) -> np.ndarray | None:
    """Standard deviations (2,) in x and y of :func:`learned_covariance`, or ``None``."""
    covariance = learned_covariance(loss)
    return None if covariance is None else np.sqrt(np.diag(covariance))


def _is_trained(flow: nn.Module) -> bool:
    """Whether some weight is larger than Xavier's uniform initialisation allows."""
    for module in flow.modules():
        if isinstance(module, nn.Linear):
            bound = _INITIAL_GAIN * math.sqrt(6 / (module.in_features + module.out_features))
            if module.weight.abs().max() > 1.01 * bound:
                return True
    return False
