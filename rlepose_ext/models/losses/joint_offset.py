r"""Errors of joints and of bones, as AdaptivePose's code averages them.

With offsets :math:`o_k` of K joints, labels :math:`t_k` and weights :math:`w_k`, 0 without a label,
over all persons,

.. math::

   L_{joint} = \frac{\sum_k w_k |o_k - t_k|}{2 \sum_k w_k + 10^{-4}}, \qquad
   L_{bone} = \frac{\sum_{(i, j)} w_i w_j |(o_i - o_j) - (t_i - t_j)|}
                   {2 \sum_{(i, j)} w_i w_j + 10^{-4}},

where \|.\| is the sum over x and y. Two joints that are off by the same amount cost the first loss
and not the second, which asks for poses that hold together.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS

# Makes the mean of nothing 0.
EPSILON = 1e-4


def masked_l1(pred: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean of absolute errors where there are labels.

    Args:
        pred: (..., K, 2).
        target: of that shape.
        weights: (..., K), 0 or 1.

    Returns:
        Scalar, 0 if nothing has a label.
    """
    weights = weights[..., None].expand_as(pred)
    error = (weights * (pred - target).abs()).sum()
    return error / (weights.sum() + EPSILON)


@MODELS.register_module()
class JointOffsetLoss(nn.Module):
    """:math:`L_{joint}`, or with bones :math:`(L_{joint} + L_{bone}) / 2`.

    Args:
        bones: pairs of joint indices.
        loss_weight: factor of the whole.

    Raises:
        UserError: a bone is no pair.
    """

    def __init__(
        self, bones: Sequence[Sequence[int]] | None = None, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if bones is not None and any(len(bone) != 2 for bone in bones):
            raise UserError(f'JointOffsetLoss: expected bones as pairs of joints, got {bones}.')
        self.ends = None if bones is None else tuple(zip(*bones, strict=True))
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        """The loss of M persons.

        Args:
            pred: (M, K, 2).
            target: of that shape.
            weights: (M, K), 0 without a label.

        Returns:
            Scalar, 0 if nothing has a label.
        """
        loss = masked_l1(pred, target, weights)
        if self.ends is not None:
            (i, j) = (list(end) for end in self.ends)
            both = weights[:, i] * weights[:, j]
            bones = (points[:, i] - points[:, j] for points in (pred, target))
            loss = (loss + masked_l1(*bones, both)) / 2
        return loss * self.loss_weight
