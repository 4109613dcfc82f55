r"""Weights without batch norm in a network that has it, as the same function, ready to be trained.

A model that is published for inference has its batch norm folded: a convolution with bias,

.. math:: y = W * x + b.

To be trained well the network should have batch norm again. Any mean :math:`m` and variance
:math:`v` of :math:`z = W * x` give the same function,

.. math:: y = \gamma \, \frac{z - m}{\sqrt{v + \epsilon}} + \beta,
          \qquad \gamma = \sqrt{v + \epsilon}, \quad \beta = b + m,

but in training batch norm takes mean and variance of the batch for :math:`m` and :math:`v`. So
these must be those of the data, or the first step sees another network. They are not known when the
weights load; :math:`m = 0, v = 1` stands in for them, which is exact in eval mode. The first batch
of a training then sets all four, layer by layer on its way through the network: what comes out is
exactly what the folded network gives for that batch. Processes of a distributed training pool their
statistics, so that all get the same parameters.

Folding is ``mmcv.cnn.utils.fuse_conv_bn``, the inverse.
"""

from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def accept_folded(module: nn.Module) -> None:
    """Let a module load weights in which the batch norm of its ``ConvModule`` is folded.

    Args:
        module: its state dict may come with or without batch norm, layer by layer.
    """
    module._register_load_state_dict_pre_hook(_unfold, with_module=True)
    for _, norm in _norms(module):
        norm.register_forward_pre_hook(_calibrate)


def _norms(module: nn.Module) -> list[tuple[str, _BatchNorm]]:
    """Each ``ConvModule`` with batch norm: its name and that."""
    return [
        (name, part.norm)
        for name, part in module.named_modules()
        if isinstance(part, ConvModule) and isinstance(getattr(part, 'norm', None), _BatchNorm)
    ]


def _unfold(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for name, norm in _norms(module):
        layer = f'{prefix}{name}.' if name else prefix
        bias_key, norm_key = f'{layer}conv.bias', f'{layer}bn'
        norm.folded = bias_key in state and f'{norm_key}.weight' not in state
        if norm.folded:
            bias = state.pop(bias_key)
            one = torch.ones_like(bias)
            state[f'{norm_key}.weight'] = (one + norm.eps).sqrt()
            state[f'{norm_key}.bias'] = bias
            state[f'{norm_key}.running_mean'] = torch.zeros_like(bias)
            state[f'{norm_key}.running_var'] = one
            state[f'{norm_key}.num_batches_tracked'] = torch.tensor(0)


@torch.no_grad()
def _calibrate(norm: _BatchNorm, inputs: tuple[Tensor]) -> None:
    """Set the statistics to those of this batch, and the parameters so that nothing changes."""
    if not norm.training or not getattr(norm, 'folded', False):
        return
    norm.folded = False
    x = inputs[0].float()
    dims = (0, *range(2, x.ndim))
    mean = x.mean(dims)
    all_reduce(mean, 'mean')
    var = (x - mean.view(1, -1, *[1] * (x.ndim - 2))).square().mean(dims)
    all_reduce(var, 'mean')
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    norm.bias += factor * (mean - norm.running_mean)
    norm.weight.copy_(factor * (var + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)
