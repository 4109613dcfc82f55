"""From a fake-quantised model to integers: the scales that integers allow, and the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.quant import layers
from rlepose_ext.quant.fake_quant import Point
from rlepose_ext.quant.integer import HIGH, LOW, IntegerModel, Layer, dyadic

STRIDE = 32  # of MobileNetV2's last map


def snapped_scale(scale: Tensor, source: Point, output: Point) -> Tensor:
    """Nearest scales of weights, (O,), with s_w s_in / s_out = n / 2^m exactly.

    With n in 128..255 they move by at most 1/256. What is snapped already stays.

    Args:
        scale: (O,).
        source: the point of the layer's input.
        output: that of its output.
    """
    ratio = float(output.scale) / float(source.scale)
    n, m = dyadic(scale.double().cpu().numpy() / ratio)
    return torch.from_numpy(n / np.exp2(m) * ratio).to(scale)


@torch.no_grad()
def snap(model: nn.Module) -> None:
    """Fix all scales to what integers allow: whole zero points, :func:`snapped_scale` of weights.

    Weights go on to be trained, their scales do not.
    """
    layers.round_zero_points(model)
    for step in layers.steps(model):
        if step.kind != 'layer':
            continue
        module = step.module
        scale = module.scale_of(module.folded()[0])
        module.fix_weight_scale(snapped_scale(scale, step.sources[0], step.output))


@torch.no_grad()
def integer_model(model: nn.Module, input_size: Sequence[int]) -> IntegerModel:
    """The integers of a fake-quantised model; its scales are fixed by :func:`snap` first.

    Args:
        model: see :func:`.layers.quantise`; calibrated.
        input_size: width and height of the crop.

    Raises:
        UserError: the model has no ranges.
    """
    if not layers.is_calibrated(model):
        raise UserError('the model has no ranges yet: load the checkpoint of a quantised training')
    snap(model)
    entry = model.backbone.conv1.input
    pixels = math.prod(-(-side // STRIDE) for side in input_size)
    names, found = {entry: 'input'}, []
    for step in layers.steps(model):
        inputs = [names[point] for point in step.sources]
        if step.kind == 'pool':
            made = _of_pool(step, pixels)
        else:
            made = {'layer': _of_layer, 'add': _of_add}[step.kind](step)
        scale, zero = float(step.output.scale), int(step.output.zero_point)
        limits = (LOW, HIGH)
        if step.output.relu6:
            limits = (max(zero, LOW), min(zero + round(6 / scale), HIGH))
        found.append(Layer(step.name, step.kind, inputs, *made[0], limits, scale, zero, **made[1]))
        names[step.output] = step.name
    read = {name for layer in found for name in layer.inputs}
    outputs = [layer.name for layer in found if layer.name not in read]
    return IntegerModel(found, float(entry.scale), int(entry.zero_point), outputs)


def _of_layer(step: layers.Step) -> tuple[tuple[np.ndarray, ...], dict]:
    module, (source,) = step.module, step.sources
    weight, bias = module.folded()
    scale = module.scale_of(weight)
    q = (weight / scale.view(-1, *[1] * (weight.ndim - 1))).round().clamp(LOW, HIGH)
    q = q.cpu().numpy().astype(np.int8)
    n, m = dyadic(scale.double().cpu().numpy() * float(source.scale) / float(step.output.scale))
    sums = q.reshape(len(q), -1).astype(np.int64).sum(1)
    b = 0.0 if bias is None else bias.double().cpu().numpy()
    shift = b / float(step.output.scale) + float(step.output.zero_point)
    shift = np.rint(shift - n / np.exp2(m) * float(source.zero_point) * sums)
    options = {'weight': q}
    conv = getattr(module, 'conv', module)
    if q.ndim == 4:
        options |= {'stride': conv.stride[0], 'padding': conv.padding[0], 'groups': conv.groups}
    return (n, m, shift.astype(np.int64)), options


def _of_add(step: layers.Step) -> tuple[tuple[np.ndarray, ...], dict]:
    scales = np.array([float(source.scale) for source in step.sources])
    zeros = np.array([float(source.zero_point) for source in step.sources])
    n, m = dyadic(scales / float(step.output.scale))
    shift = np.rint(float(step.output.zero_point) - (n / np.exp2(m) * zeros).sum(keepdims=True))
    return (n, m, shift.astype(np.int64)), {}


def _of_pool(step: layers.Step, pixels: int) -> tuple[tuple[np.ndarray, ...], dict]:
    (source,) = step.sources
    n, m = dyadic(np.array([float(source.scale) / float(step.output.scale) / pixels]))
    shift = float(step.output.zero_point) - pixels * n / np.exp2(m) * float(source.zero_point)
    return (n, m, np.rint(shift).astype(np.int64)), {}
