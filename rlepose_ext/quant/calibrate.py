"""Ranges for 8 bit from a few batches, without training.

The range of a point is from the least to the greatest value that the float model has there. Where a
ReLU6 follows, [0, 6] is all that counts: MMPose_Clean took ranges before it, where a depthwise
convolution reaches 130, and steps of 1 leave nothing of [0, 6] (mean OKS 0.15 instead of 0.84).
Cutting rare values off, by the mean square of the error, made poses worse.

Then, layer by layer from the front, what can be made good without training:

- :func:`equalise`, before: channels between blocks are made alike in range,
- :func:`round_columns`: weights are rounded so that their errors cancel,
- each bias takes back what rounding has moved the mean of its channel by.

The first and the last are those of Nagel et al., *Data-Free Quantization Through Weight
Equalization and Bias Correction*, ICCV 2019, arXiv 1906.04721, sections 4.1 and 4.2, the last with
data.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.nn import functional

from rlepose_ext.errors import UserError
from rlepose_ext.quant import layers
from rlepose_ext.quant.fake_quant import HIGH, LOW
from rlepose_ext.quant.to_integer import snap


@torch.no_grad()
def equalise(model: nn.Module) -> None:
    """Make the channels between the blocks of MobileNetV2 alike in range; the function stays.

    Nothing but sums stands between the last layer of a block and the first of the next. So a
    channel may be divided by r in all layers that write it, and its weights multiplied by r in all
    that read it. Here r = sqrt(a / w), with the channel's range a by batch norm (magnitude of its
    shift and three of its scale) and its greatest weight w, relative to that of the row.
    """
    backbone = model.backbone
    stages = [list(getattr(backbone, name)) for name in backbone.layers[:-1]]
    following = [stage[0].conv[0] for stage in stages[1:]] + [backbone.conv2]
    for stage, after in zip(stages, following, strict=True):
        writers = [block.conv[-1] for block in stage]
        readers = [block.conv[0] for block in stage[1:]] + [after]
        a = torch.stack([w.bn.bias.abs() + 3 * w.bn.weight.abs() for w in writers]).amax(0)
        rows = [reader.conv.weight.flatten(1).abs() for reader in readers]
        w = torch.stack([(row / row.amax(1, keepdim=True)).amax(0) for row in rows]).amax(0)
        r = (a / w.clamp_min(1e-6)).clamp_min(1e-6).sqrt()
        r /= r.log().mean().exp()
        for writer in writers:
            writer.bn.weight /= r
            writer.bn.bias /= r
        for reader in readers:
            reader.conv.weight *= r.view(1, -1, 1, 1)


@torch.no_grad()
def observe(model: nn.Module, batch: Tensor) -> None:
    """Run the float model on a batch, and note the ranges that its points see.

    Args:
        model: as in :func:`calibrate`.
        batch: (N, C, h, w), normalised.
    """
    layers.set_mode(model, 'observe')
    model.head.forward(model.extract_feat(batch))
    layers.set_mode(model, 'round')


@torch.no_grad()
def finish(model: nn.Module, batch: Tensor) -> None:
    """Choose the ranges from what was observed, then round weights and correct biases on a batch.

    Args:
        model: as in :func:`calibrate`. In a distributed training all processes take part.
        batch: (N, C, h, w), normalised; tens of crops at least.
    """
    for point in layers.points(model).values():
        ends = torch.tensor(point.seen, device=point.scale.device)
        all_reduce(ends, 'mean')
        point.set_range(*ends.tolist())
    modules = [part for part in model.modules() if isinstance(part, layers.QuantLayer)]
    fixed = [module for module in modules if hasattr(module, 'weight_scale')]
    for module in fixed:
        module.weight_scale.fill_(torch.nan)  # those of the weights
    if fixed:
        snap(model)
    means: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        means[module] = _mean(inputs[0])

    def correct(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        (y,) = inputs
        by = means[module] - _mean(y)
        module.shift(by)
        return y + (by.view(-1, 1, 1) if y.ndim == 4 else by)

    for rounds, hook in ((False, note), (True, correct)):
        # Activations are not rounded here: their errors have no mean to speak of, and to correct
        # what a few crops say of it makes poses worse.
        layers.set_mode(model, 'float')
        handles = []
        for module in modules:
            module.rounds_weights = rounds
            handles.append(
                module.output.register_forward_pre_hook(lambda _, x, m=module, f=hook: f(m, x))
            )
            if rounds and hasattr(module, 'weight_scale') and hasattr(module, 'conv'):
                handles.append(module.register_forward_pre_hook(_round_weights))
        model.head.forward(model.extract_feat(batch))
        for handle in handles:
            handle.remove()
    layers.set_mode(model, 'round')


def _round_weights(module: layers.QuantConvModule, inputs: tuple[Tensor]) -> None:
    """Replace a convolution's weights by multiples of their scales, by :func:`round_columns`."""
    weight, _ = module.folded()
    scale = module.scale_of(weight)
    conv = module.conv
    x = inputs[0]
    if conv.kernel_size == (1, 1):
        x = x.transpose(0, 1).flatten(1)[None]
    else:
        x = functional.unfold(x[:32], conv.kernel_size, 1, conv.padding, conv.stride)
        x = x.transpose(0, 1).flatten(1).unflatten(0, (conv.groups, -1))
    products = (x.double() @ x.double().mT) / x.shape[-1]
    all_reduce(products, 'mean')
    grouped = weight.flatten(1).double().unflatten(0, (conv.groups, -1))
    rounded = round_columns(grouped, scale.double().view(conv.groups, -1), products)
    # the weight that gives this one when batch norm is folded in
    factor = weight.flatten(1).abs().amax(1) / conv.weight.flatten(1).abs().amax(1)
    rounded = rounded.flatten(0, 1) / factor.double().view(-1, 1)
    conv.weight.copy_(rounded.view_as(conv.weight))


def round_columns(weight: Tensor, scale: Tensor, products: Tensor, damping: float = 0.02) -> Tensor:
    """Round weights so that the sums of their products with the inputs stay.

    Column by column; what rounding one column changes, the columns that are not rounded yet make up
    for, as far as their inputs go together (Frantar et al., *GPTQ: Accurate Post-Training
    Quantization for Generative Pre-trained Transformers*, ICLR 2023, arXiv 2210.17323, section
    3.3).

    Args:
        weight: (G, O, I) of G groups.
        scale: (G, O).
        products: (G, I, I), means of products of two inputs.
        damping: share of the mean square of the inputs that is added to each.

    Returns:
        Multiples of ``scale``, (G, O, I).
    """
    weight, rounded = weight.clone(), torch.empty_like(weight)
    squares = products.diagonal(dim1=1, dim2=2)
    damped = (damping * squares.mean(1, keepdim=True) + 1e-12).expand_as(squares)
    inverse = torch.linalg.inv(products + damped.diag_embed())
    upper = torch.linalg.cholesky(inverse, upper=True)
    for column in range(weight.shape[-1]):
        exact = weight[..., column]
        rounded[..., column] = (exact / scale).round().clamp(LOW, HIGH) * scale
        error = (exact - rounded[..., column]) / upper[:, column, column, None]
        weight[..., column:] -= error[..., None] * upper[:, None, column, column:]
    return rounded


def calibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Ranges and corrected biases of a model that :func:`.layers.quantise` has changed.

    Args:
        model: a top-down estimator in eval mode, with the weights of the float model.
        batches: normalised crops, (N, C, h, w) each, a few hundred in all. Biases are corrected
            on the last one.

    Raises:
        UserError: there is no crop.
    """
    equalise(model)
    batch = None
    for batch in batches:
        observe(model, batch)
    if batch is None or not len(batch):
        raise UserError('calibration: there are no crops to take ranges from')
    finish(model, batch)


def _mean(y: Tensor) -> Tensor:
    mean = y.mean((0, 2, 3)) if y.ndim == 4 else y.flatten(0, -2).mean(0)
    all_reduce(mean, 'mean')
    return mean
