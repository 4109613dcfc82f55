"""A loss that is summed over the batch, on a scale that does not depend on the batch.

In training on W processes each computes the loss of its own samples, and the gradients are
averaged over the processes. Divide a batch of B samples among them. A loss that is a mean
over the batch gives the gradient of one process with all B samples,

    1/W sum_r [ W/B sum_{i in r} l_i ]  =  1/B sum_i l_i

A sum over the batch gives 1/W of it:

    1/W sum_r [ sum_{i in r} l_i ]  =  1/W sum_i l_i

MMPose's ``KLDiscretLoss``, of all SimCC heads, is such a sum (``docs/distributed.md`` lists
them all). Adam divides a common factor out again, nearly; SGD does not, gradient clipping
does not, and where there is a second loss the balance of the two shifts.
"""

from typing import Any

from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class PerSampleLoss(nn.Module):
    """Scales a sum over n samples by ``batch_size / n``.

    The numbers are those of the loss itself as long as a process has ``batch_size`` samples,
    and stay on that scale for any other number of samples or processes::

        loss=dict(
            type='rlepose_ext.PerSampleLoss',
            batch_size=64,
            loss=dict(type='KLDiscretLoss', use_target_weight=True),
        )

    Args:
        loss: config of a loss that sums over the batch. State dicts keep its keys under
            ``loss.``; MMPose's losses of this kind have no parameters.
        batch_size: samples of one process in the recipe whose loss weights, learning rate
            and clipping are used. 1 gives the mean over the batch.

    Raises:
        UserError: ``batch_size`` is not positive.
    """

    def __init__(self, loss: dict, batch_size: float = 1) -> None:
        super().__init__()
        if not batch_size > 0:
            raise UserError(
                f'PerSampleLoss: batch_size is {batch_size}, expected more than 0: the batch '
                'size of one process for which the weights of the losses were chosen.'
            )
        self.loss = MODELS.build(loss)
        self.batch_size = batch_size

    def forward(self, *inputs: Any, **named: Any) -> Tensor | tuple[Tensor, ...]:
        """Call the loss and scale what it returns.

        Args:
            *inputs: arguments of the loss. The first is a tensor, or a list or tuple of
                them, whose first dimension is the batch.
            **named: further arguments, or all of them.

        Returns:
            What the loss returns, a tensor or a tuple of them.
        """
        first = (*inputs, *named.values())[0]
        while isinstance(first, (list, tuple)):
            first = first[0]
        factor = self.batch_size / max(len(first), 1)
        value = self.loss(*inputs, **named)
        if isinstance(value, tuple):
            return tuple(part * factor for part in value)
        return value * factor
