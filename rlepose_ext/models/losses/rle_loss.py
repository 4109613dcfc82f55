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
2. *Learn phi* by a normalising flow in the plane, trained by the same maximum likelihood.
   mu gets its gradient through e; at test time the flow is not needed.
3. *Residual.* At first the flow knows nothing, and its gradient would be poor. A plain
   density Q, Laplace or Gaussian, is set beside it, phi = Q * G / const, and the flow has
   only to learn the correction G, the residual log-likelihood. The constant is dropped.

The loss of one joint, as implemented by the paper's authors and by MMPose, is

    sum over d in {x, y} of  [ log sigma_d - log G(e) ]  +  [ log sigma_d - log Q(e_d) ]

Two habits of these implementations are kept, since released models were trained with
them: log sigma_d comes twice, and log G(e), one number per joint, counts once for each
coordinate.

The loss is the logarithm of a density: it goes below zero as soon as the typical error
is small, and that is no fault. Watch ``acc_pose`` beside it.
"""

import logging

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.flows import RealNVP
from rlepose_ext.models.losses.rle_functional import (
    EPS,
    MAX_LABEL_DISTANCE,
    Q_DISTRIBUTIONS,
    absurd_labels,
    bounded_sigma,
)
from rlepose_ext.registry import MODELS

# Farther out the flow sees the error no more (Q does): its square must stay in float32.
MAX_FLOW_ERROR = 1e5


@MODELS.register_module()
class RLELoss(nn.Module):
    """Residual log-likelihood loss with a RealNVP as the learnt density.

    Arguments, interface and state dict are MMPose's; equal numbers too, wherever sigma is
    above 1e-4. What is different cannot be seen until something goes wrong: only joints
    that count enter the flow, absurd labels are left out and counted, everything is
    computed in float32 (or float64) whatever autocast says.

    Args:
        use_target_weight: multiply the loss of each joint by its weight, leave joints of
            weight 0 out.
        size_average: divide the sum over joints by the batch size N (and not by the
            number of joints).
        residual: add Q. Without it the flow has to learn the whole density.
        q_distribution: 'laplace' or 'gaussian', as in MMPose, or 'official', as in the
            paper's repository (see :mod:`.rle_functional`). Its targets are x / W - 0.5;
            the loss knows targets through mu - g only, so that MMPose's x / W does as
            well (see ``norm_linear`` of :class:`rlepose_ext.models.heads.RLEHead`).

    Attributes:
        num_absurd: absurd labels met so far in this process, not finite or more than
            10 crop sizes off the crop, whether marked visible or not.
        num_absurd_visible: those of them that were marked visible.

    Raises:
        UserError: unknown ``q_distribution``.
    """

    def __init__(
        self,
        use_target_weight: bool = False,
        size_average: bool = True,
        residual: bool = True,
        q_distribution: str = 'laplace',
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
        self.flow_model = RealNVP()
        self.num_absurd = 0
        self.num_absurd_visible = 0
        self._reported: set[int] = set()

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
        rows = self._joints_that_count(target, weight)
        pred_, sigma_, target_ = (
            values.flatten(0, 1).index_select(0, rows).to(dtype) for values in (pred, sigma, target)
        )
        sigma_ = bounded_sigma(sigma_)
        difference = pred_ - target_
        error = (difference / (sigma_ + EPS)).clamp(-MAX_FLOW_ERROR, MAX_FLOW_ERROR)

        loss = sigma_.log() - self.flow_model.log_prob(error)[:, None]
        if self.residual:
            loss = loss + Q_DISTRIBUTIONS[self.q_distribution](difference, sigma_)
        if weight is not None:
            loss = loss * weight.flatten(0, 1).index_select(0, rows).to(dtype)
        if self.size_average:
            loss = loss / max(len(pred), 1)
        return loss.sum()

    def _check(
        self, pred: Tensor, sigma: Tensor, target: Tensor, weight: Tensor | None
    ) -> Tensor | None:
        """Weights as (N, K, 1) or (N, K, 2), or None where they are not wanted."""
        if pred.ndim != 3 or pred.shape[-1] != 2 or not pred.shape == sigma.shape == target.shape:
            raise UserError(
                'RLELoss: expected coordinates, sigma logits and labels of one shape (N, K, 2), '
                f'got {tuple(pred.shape)}, {tuple(sigma.shape)} and {tuple(target.shape)}. If the '
                "second numbers differ, the head's num_joints does not fit the data set; the flow "
                'is two-dimensional, 3-D labels do not go in.'
            )
        if not self.use_target_weight:
            return None
        if weight is not None and weight.ndim == 2:
            weight = weight[..., None]
        if weight is None or weight.shape not in (pred.shape, (*pred.shape[:2], 1)):
            raise UserError(
                'RLELoss: use_target_weight=True needs weights of shape (N, K) or (N, K, 1) beside '
                f'labels {tuple(target.shape)}, got {weight if weight is None else weight.shape}. '
                'Pack keypoint_weights, or set use_target_weight=False.'
            )
        return weight

    def _joints_that_count(self, target: Tensor, weight: Tensor | None) -> Tensor:
        """Row numbers, in (N * K), of joints of positive weight with a sane label.

        They are selected before the flow: multiplied by zero after it, an infinite loss
        would be nan, and a nan in the backward pass spoils every weight of the model.
        """
        absurd = absurd_labels(target)
        visible = torch.ones_like(absurd) if weight is None else (weight > 0).any(-1)
        if absurd.any():
            self._report(target, absurd, visible)
        return (visible & ~absurd).flatten().nonzero()[:, 0]

    def _report(self, target: Tensor, absurd: Tensor, visible: Tensor) -> None:
        """Count absurd labels; log the first ones, loudly unless they look like placeholders."""
        count, count_visible = int(absurd.sum()), int((absurd & visible).sum())
        self.num_absurd += count
        self.num_absurd_visible += count_visible
        # COCO stores unlabelled joints as (0, 0), which may lie far from a small crop.
        harmless = count_visible == 0 and bool(target.isfinite().all())
        level = logging.INFO if harmless else logging.WARNING
        if level not in self._reported:
            self._reported.add(level)
            print_log(
                f'RLELoss: {count} of {absurd.numel()} labels of this batch are not finite or more '
                f'than {MAX_LABEL_DISTANCE:g} crop sizes off the crop, {count_visible} of them '
                'marked visible. They are left out of the loss and counted in '
                'RLELoss.num_absurd; this is said once. '
                + (
                    'None is marked visible: no harm.'
                    if harmless
                    else 'Check the keypoints and boxes of the annotation file (nan, inf, another '
                    'unit or image, boxes of almost no size), and custom transforms.'
                ),
                logger='current',
                level=level,
            )
