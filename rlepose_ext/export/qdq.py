"""A quantised training in ONNX's own terms, so that a runtime computes it with integers.

Each :class:`~rlepose_ext.quant.fake_quant.Point` becomes a QuantizeLinear and a DequantizeLinear
with its scale and zero point, and weights become integers behind a DequantizeLinear, with a scale
for each output channel. Runtimes join them with the layers between. Weights are signed and what
goes through the network is unsigned, 128 more than in :mod:`rlepose_ext.quant`: processors multiply
such pairs fastest.

A ReLU6 behind a point limits the integers, to those of 0 and 6. What is more than 6 is then the
integer nearest to 6, half a step away at most, as in :mod:`rlepose_ext.quant.integer`. LSQ+ learns
zero points that are not whole. Their fraction f is taken out before, x + f s is rounded and f s
subtracted again, and ReLU6 stays where it is.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from rlepose_ext.quant.fake_quant import HIGH, LOW, Point
from rlepose_ext.quant.layers import QuantLayer


def with_integers(model: nn.Module) -> None:
    """Let a model of :func:`.quant.layers.quantise` be exported with integers, in place.

    Afterwards it can only be exported, not run.

    Args:
        model: in eval mode, with ranges.
    """
    for part in model.modules():
        if isinstance(part, Point):
            _round_point(part)
        elif isinstance(part, QuantLayer):
            _round_weight(part)


@torch.no_grad()
def _round_weight(layer: QuantLayer) -> None:
    weight, bias = layer.folded()
    scale = layer.scale_of(weight)
    steps = (weight / scale.view(-1, *[1] * (weight.ndim - 1))).round().clamp(LOW, HIGH)
    layer.register_buffer('integers', steps.to(torch.int8))
    layer.register_buffer('steps', scale.clone())
    layer.register_buffer('zeros', torch.zeros_like(scale, dtype=torch.int8))
    layer.register_buffer('folded_bias', None if bias is None else bias.clone())

    def before_output(x: Tensor) -> Tensor:
        found = _operator(
            'DequantizeLinear', layer.integers, layer.steps, layer.zeros, dtype=x.dtype, axis=0
        )
        return layer.operate(x, found, layer.folded_bias)

    layer.before_output = before_output


@torch.no_grad()
def _round_point(point: Point) -> None:
    scale, zero_point = float(point.scale), float(point.zero_point)
    whole = min(max(round(zero_point), LOW), HIGH)
    shift, zero = (zero_point - whole) * scale, whole - LOW
    point.register_buffer('zero', torch.tensor(zero, dtype=torch.uint8))
    limits = None
    if point.relu6 and not shift:
        limits = zero, min(zero + round(6 / scale), HIGH - LOW)
        point.relu6 = False
    point.forward = partial(_round, point, shift, None if limits == (0, HIGH - LOW) else limits)


def _round(point: Point, shift: float, limits: tuple[int, int] | None, x: Tensor) -> Tensor:
    x = x + shift if shift else x
    q = _operator('QuantizeLinear', x, point.scale, point.zero, dtype=torch.uint8)
    q = q if limits is None else q.clamp(*limits)
    x = _operator('DequantizeLinear', q, point.scale, point.zero, dtype=x.dtype)
    return x - shift if shift else x


def _operator(name: str, x: Tensor, *more: Tensor, dtype: torch.dtype, **options: int) -> Tensor:
    return torch.onnx.ops.symbolic(name, (x, *more), options, dtype=dtype, shape=x.shape)
