r"""Rounding to 8 bit and back, as functions that can be trained.

A number x is kept as an integer q of 8 bit, with a scale s and a zero point z,

.. math:: q = \mathrm{clamp}(\mathrm{round}(x / s + z), -128, 127), \qquad \hat x = (q - z) s.

Fake quantisation computes :math:`\hat x` in floating point, so that a training sees the error that
integers will make. Weights have a scale for each output channel and z = 0. Activations have one
scale and one zero point for the whole tensor.

The derivative of rounding is 0 almost everywhere; a training takes it as 1 (*straight-through*).
Then, with :math:`\bar q = x / s + z`,

.. math::
    \frac{\partial \hat x}{\partial x} = [-128 \le \bar q \le 127], \qquad
    \frac{\partial \hat x}{\partial s} = \begin{cases}
        \mathrm{round}(\bar q) - \bar q & \text{inside} \\ q - z & \text{outside,} \end{cases}
    \qquad \frac{\partial \hat x}{\partial z} = \begin{cases}
        0 & \text{inside} \\ -s & \text{outside.} \end{cases}

The last two are how LSQ+ learns a range: Bhalgat et al., *LSQ+: Improving low-bit quantization
through learnable offsets and better initialization*, CVPR Workshops 2020, arXiv 2004.09576,
equations 5 and 6, with its offset :math:`\beta = -z s`. All n elements of a sample pull at the
same s, so its gradient is divided by :math:`\sqrt{n \cdot 127}` (Esser et al., *Learned Step Size
Quantization*, ICLR 2020, arXiv 1902.08153, section 2.2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LOW, HIGH = -128, 127
# The largest weight of a channel lies half a step beyond the last integer: its error is no larger
# than that of any other weight, and the steps are finer than with 127.
WEIGHT_RANGE = 127.5


def fake_quantise(x: Tensor, scale: Tensor, zero_point: Tensor | float = 0.0) -> Tensor:
    """What is left of ``x`` after rounding to 8 bit; straight-through gradients.

    Args:
        x: any shape.
        scale: positive, can be broadcast to ``x``.
        zero_point: likewise; need not be whole.

    Returns:
        As ``x``.
    """
    steps = (x / scale + zero_point).clamp(LOW, HIGH)
    steps = steps + (steps.round() - steps).detach()
    return (steps - zero_point) * scale


def weight_scale(weight: Tensor) -> Tensor:
    """Scale of each output channel, (O,): the largest magnitude is 127.5 steps.

    Args:
        weight: (O, ...). A channel of zeros gets a scale of 1.
    """
    largest = weight.detach().flatten(1).abs().amax(1)
    return torch.where(largest > 0, largest / WEIGHT_RANGE, 1.0)


def fake_quantise_weight(weight: Tensor, scale: Tensor) -> Tensor:
    """Weights (O, ...) rounded with a scale for each output channel, (O,)."""
    return fake_quantise(weight, scale.view(-1, *[1] * (weight.ndim - 1)))


def scaled_gradient(x: Tensor, factor: float) -> Tensor:
    """``x``, with its gradient multiplied by ``factor``."""
    return x * factor + (x - x * factor).detach()


class Point(nn.Module):
    """A place in the network where activations are rounded to 8 bit.

    Args:
        relu6: the values go through ReLU6 next, so only [0, 6] counts for the range.

    Attributes:
        scale, zero_point: of the range; NaN until they are calibrated or loaded. Parameters, which
            are trained where ``learned`` was called.
        mode: ``'round'``, ``'observe'`` (pass values on as they are, and note the least and the
            greatest) or ``'float'`` (pass them on).
        seen: those two since the last :meth:`set_range`.
    """

    def __init__(self, relu6: bool = False) -> None:
        super().__init__()
        self.relu6 = relu6
        self.scale = nn.Parameter(torch.tensor(math.nan), requires_grad=False)
        self.zero_point = nn.Parameter(torch.tensor(math.nan), requires_grad=False)
        self.mode = 'round'
        self.seen = (0.0, 0.0)

    def learned(self) -> None:
        """Train scale and zero point from now on."""
        self.scale.requires_grad_()
        self.zero_point.requires_grad_()

    @property
    def is_set(self) -> bool:
        """Whether there is a range."""
        return bool(self.scale.isfinite() and self.zero_point.isfinite())

    def forward(self, x: Tensor) -> Tensor:
        """Round, as :attr:`mode` says; same shape."""
        if self.mode == 'observe':
            self._observe(x)
        if self.mode != 'round':
            return x
        scale, zero_point = self.scale, self.zero_point
        if scale.requires_grad:
            factor = 1 / math.sqrt(x[0].numel() * HIGH)
            scale = scaled_gradient(scale, factor)
            zero_point = scaled_gradient(zero_point, factor)
        return fake_quantise(x, scale, zero_point)

    def _observe(self, x: Tensor) -> None:
        values = x.detach().clamp(0, 6) if self.relu6 else x.detach()
        self.seen = (min(self.seen[0], float(values.min())), max(self.seen[1], float(values.max())))

    @torch.no_grad()
    def set_range(self, low: float, high: float) -> None:
        """Round to 255 steps from ``low``, not above 0, to ``high``, not below 0."""
        scale = max(high - low, torch.finfo(torch.float32).tiny) / (HIGH - LOW)
        self.scale.fill_(scale)
        self.zero_point.fill_(min(max(round(LOW - low / scale), LOW), HIGH))
        self.seen = (0.0, 0.0)
