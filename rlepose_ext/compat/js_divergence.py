"""Gradients of ``JSDiscretLoss``, the heatmap loss of DSNT, that are numbers.

MMPose's loss multiplies the predicted maps with the weights of the joints and asks
``torch.nn.KLDivLoss`` for the divergence, with the prediction in the place of the target:
p log(p / m). Where p = 0 its value is 0, but torch now differentiates ``xlogy(p, p)`` by parts,
and p / p is not a number. One joint without a label, or one pixel where the softmax
underflows, makes every gradient of the model nan. Older releases had a derivative of their own for
the target, which was 0 there.

With this patch the value is the same everywhere and the gradient at p = 0 is 0, the limit of what
arrives behind the softmax: p log p.

Since torch composes ``kl_div`` of ``xlogy``; seen with 2.11. Can go when MMPose masks zeros itself.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from rlepose_ext.imports import Patch, when_imported

if TYPE_CHECKING:
    from torch import Tensor

# MMPose's
_EPS = 1e-24


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """The terms p log(p / q), pixel by pixel; 0 with a gradient of 0 where p = 0.

    Args:
        p: shares of the pixels, at least 0, any shape.
        q: shares, at least 0, of the same shape. As in MMPose 1e-24 is added to them.
    """
    import torch

    positive = p > 0
    # 1 where the logarithm would be infinite: torch.where hides values, not gradients
    ratio = torch.where(positive, p, 1.0).log() - torch.where(positive, q + _EPS, 1.0).log()
    return torch.where(positive, p * ratio, 0.0)


def _patch_losses(module: ModuleType) -> None:
    module.JSDiscretLoss.kl = lambda self, p, q: divergence(p, q)


PATCH = Patch(
    name='js_divergence',
    breaks='DSNT and debiased integral regression: nan gradients from unlabelled joints',
    since='torch composes kl_div of xlogy (seen with 2.11)',
    until='MMPose masks zeros in JSDiscretLoss',
    install=lambda: when_imported('mmpose.models.losses.classification_loss', _patch_losses),
)
