r"""What the bins of SimCC say beside their peak: how sure they are, and how far off they may be.

SimCC (Li et al., ECCV 2022, arXiv 2107.03332) gives logits l over the bins of an axis. Its loss is
a cross entropy between p = softmax(beta l) and q(i - g), the distribution of a label at bin g, and
is least where p is the mean of q over the labels g that the picture leaves possible:

.. math:: p(i) = E_g[q(i - g)], \qquad \mathrm{Var}\, p = \mathrm{Var}\, g + \mathrm{Var}\, q.

*Sigma* is the standard deviation of g, a bin at least, and so less than that of p: a label with a
sigma of 6 bins is as wide even if nothing is uncertain. What q has in every bin of the crop is
taken off p before (of RTMPose's labels, which are a softmax themselves, 1 in 200 lies there).

The *score* is, of x times that of y, with m the bin of the peak and k(d) = exp(-d^2 / 2 t^2),

.. math:: \frac{\sum_i p(i)\, k(m - i)}{\sum_i q(i)\, k(i)}
          = E_g\left[\frac{(q * k)(m - g)}{(q * k)(0)}\right],

1 for a certain joint, 0 for a lost one. OKS has this form, and so has what a heatmap's peak
estimates; t is the sigma of MMPose's heatmaps, 1/32 of the longer side of the crop, so that scores
of all these heads are on one scale. The peak of p is not: it is at most 0.07 with labels of 6 bins.
Neither are logits, MMPose's score: adding a number to all of them changes nothing for the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmpose.codecs import SimCCLabel
from mmpose.models.losses import KLDiscretLoss
from torch import Tensor, nn

from rlepose_ext.checks import check_choice
from rlepose_ext.codecs import SimCCRLELabel

SCORES = ('softmax', 'logit')


@dataclass(frozen=True)
class BinReading:
    """How the bins of one head are read, see the module's docstring; pairs are x and y.

    Attributes:
        split: bins per px of the crop.
        beta: factor of the logits in the loss.
        reach: t in bins.
        top: sum of q k.
        floor: lowest value of q.
        variance: of q without its floor, bins^2.
        score: whether scores are those of the docstring; else they are the codec's.
        sigma: whether sigma is wanted.
    """

    split: float
    beta: float
    reach: float
    top: Sequence[float]
    floor: Sequence[float]
    variance: Sequence[float]
    score: bool
    sigma: bool

    def __call__(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """What is wanted of logits (N, K, W s) and (N, K, H s).

        Returns:
            ``keypoint_scores`` (N, K), 0 where no logit of an axis is above 0, for there MMPose
            decodes no point; ``sigma`` (N, K, 2), px of the crop.
        """
        found = {}
        axes = [(pred.float() * self.beta).softmax(-1) for pred in (x, y)]
        if self.score:
            near = [_near_peak(p, self.reach) / top for p, top in zip(axes, self.top, strict=True)]
            has_point = torch.minimum(x.amax(-1), y.amax(-1)) > 0
            found['keypoint_scores'] = near[0].clamp(max=1) * near[1].clamp(max=1) * has_point
        if self.sigma:
            excess = [
                _variance(p, floor) - of_label
                for p, floor, of_label in zip(axes, self.floor, self.variance, strict=True)
            ]
            found['sigma'] = torch.stack(excess, dim=-1).clamp_min(1).sqrt() / self.split
        return found


def bin_reading(
    head: nn.Module, test_cfg: dict[str, Any] | None = None, calibrated: bool = False
) -> BinReading | None:
    """How the bins of a head are to be read; ``None`` for heads of other kinds.

    Args:
        head: MMPose's ``SimCCHead``, ``RTMCCHead``, or any with the codec ``SimCCLabel`` or
            ``SimCCRLELabel``. The latter has a sigma of its own, and only scores are read.
        test_cfg: ``score``: ``'softmax'`` (default), or ``'logit'`` for MMPose's; ``sigma``: give
            it without a calibration too.
        calibrated: whether sigma has been calibrated.

    Raises:
        UserError: another score.
    """
    test_cfg = test_cfg or {}
    codec = getattr(head, 'decoder', None)
    own_sigma = isinstance(codec, SimCCRLELabel)
    codec = codec.simcc if own_sigma else codec
    if not isinstance(codec, SimCCLabel):
        return None
    score = test_cfg.get('score', 'softmax')
    check_choice(type(head).__name__, 'test_cfg.score', score, SCORES)
    losses = [part for part in head.loss_module.modules() if isinstance(part, KLDiscretLoss)]
    labels = _labels(codec, losses[0] if losses else None)
    reach = max(codec.input_size) / 32 * codec.simcc_split_ratio
    return BinReading(
        split=float(codec.simcc_split_ratio),
        beta=float(losses[0].beta) if losses else 1.0,
        reach=float(reach),
        top=[float(_near_peak(q, reach)) for q in labels],
        floor=[float(q.min()) for q in labels],
        variance=[float(_variance(q, float(q.min()))) for q in labels],
        score=score == 'softmax',
        sigma=not own_sigma and bool(calibrated or test_cfg.get('sigma', False)),
    )


def _labels(codec: SimCCLabel, loss: KLDiscretLoss | None) -> list[Tensor]:
    """The distribution of a label in the middle of the crop, over x and over y."""
    middle = np.float32(codec.input_size)[None, None] / 2
    encoded = codec.encode(middle, np.ones((1, 1), np.float32))
    labels = [torch.from_numpy(encoded[f'keypoint_{axis}_labels'][0, 0]) for axis in 'xy']
    if loss is not None and loss.label_softmax:
        return [(label * loss.label_beta).softmax(-1) for label in labels]
    return [label / label.sum() for label in labels]


def _near_peak(p: Tensor, reach: float) -> Tensor:
    """Sum of p (..., W) times k around its greatest bin."""
    bins = torch.arange(p.shape[-1], device=p.device)
    away = (bins - p.argmax(-1, keepdim=True)).to(p.dtype)
    return (p * torch.exp(-away.square() / (2 * reach**2))).sum(-1)


def _variance(p: Tensor, floor: float) -> Tensor:
    """Variance of p (..., W) without its floor, bins^2."""
    p = (p - floor).clamp_min(0)
    p = p / p.sum(-1, keepdim=True).clamp_min(1e-12)
    bins = torch.arange(p.shape[-1], dtype=p.dtype, device=p.device)
    mean = (p * bins).sum(-1, keepdim=True)
    return (p * (bins - mean).square()).sum(-1)
