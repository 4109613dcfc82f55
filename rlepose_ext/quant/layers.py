"""Layers that round to 8 bit, and the walk that puts them into MobileNetV2.

Each layer has a float layer's weights under the float layer's names, so a checkpoint of the float
model loads. What is added are the :class:`.fake_quant.Point` s.

MMPose_Clean rounds the input of the first convolution, the output of each convolution (batch norm
folded into it, before its ReLU6), each sum of a residual block, the pooled feature, and the outputs
of the head's layers. That are 65 layers in its models with RLE (52 convolutions, 10 sums, the
pooling, two linear layers) and as many in those with SimCC (no pooling, three layers in the head).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from mmcv.cnn import ConvModule
from mmpose.models.backbones.mobilenet_v2 import InvertedResidual, MobileNetV2
from mmpose.models.necks import GlobalAveragePooling
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from rlepose_ext.errors import UserError
from rlepose_ext.quant.fake_quant import Point, fake_quantise_weight, weight_scale

# Layers of the heads of RLE, SimCC and the hybrid of both, in the order in which they run.
HEAD_LAYERS = ('fc_coord', 'final_layer', 'mlp_head_x', 'mlp_head_y', 'fc_sigma')


class QuantLayer(nn.Module):
    """A convolution or linear layer with weights and output rounded to 8 bit.

    Batch norm, where there is one, is folded with its running statistics, in training too: they
    stay as they are, while its scale and shift are trained.

    Attributes:
        source: the :class:`.fake_quant.Point` that the input went through, in a list so that it is
            not a part of this layer.
        output: that of the output.
        weight_scale: (O,), fixed; only where :meth:`fix_weight_scale` was called. Elsewhere, and
            where it is NaN, the scale follows the weights.
    """

    rounds_weights = True

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Weight (O, ...) and bias (O,) with batch norm folded in."""
        raise NotImplementedError

    def shift(self, by: Tensor) -> None:
        """Add ``by`` (O,) to the output."""
        raise NotImplementedError

    def operate(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The operator."""
        raise NotImplementedError

    def connect(self, source: Point, relu6: bool = False) -> None:
        """Add what a float layer lacks."""
        self.source = [source]
        self.output = Point(relu6)

    def fix_weight_scale(self, scale: Tensor) -> None:
        """Round weights with these scales (O,) from now on, and save them."""
        self.register_buffer('weight_scale', scale.detach().clone())

    def scale_of(self, weight: Tensor) -> Tensor:
        """The scale of each output channel of a folded weight, (O,)."""
        found, fixed = weight_scale(weight), getattr(self, 'weight_scale', None)
        return found if fixed is None else torch.where(fixed.isnan(), found, fixed)

    def before_output(self, x: Tensor) -> Tensor:
        """The output before it is rounded."""
        weight, bias = self.folded()
        if self.rounds_weights:
            weight = fake_quantise_weight(weight, self.scale_of(weight))
        return self.operate(x, weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Operate, round, and limit to [0, 6] where a ReLU6 follows."""
        x = self.output(self.before_output(x))
        return x.clamp(0, 6) if self.output.relu6 else x


class QuantConvModule(QuantLayer):
    """mmcv's ``ConvModule``: convolution, batch norm, ReLU6 or nothing.

    Args:
        module: its convolution and batch norm are taken over.
        source: the point of its input; None for the first one, which gets its own.
    """

    def __init__(self, module: ConvModule, source: Point | None = None) -> None:
        super().__init__()
        if source is None:
            self.input = source = Point()
        else:
            self.input = nn.Identity()
        self.conv, self.bn = module.conv, module.norm
        self.connect(source, relu6=module.with_activation)

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """See :meth:`QuantLayer.folded`."""
        weight, bias = self.conv.weight, self.conv.bias
        if not isinstance(self.bn, _BatchNorm):  # folded for good, for speed
            return weight, bias
        factor = self.bn.weight / (self.bn.running_var + self.bn.eps).sqrt()
        mean = self.bn.running_mean if bias is None else self.bn.running_mean - bias
        return weight * factor.view(-1, 1, 1, 1), self.bn.bias - mean * factor

    def shift(self, by: Tensor) -> None:
        """See :meth:`QuantLayer.shift`."""
        norm = isinstance(self.bn, _BatchNorm)
        (self.bn.bias if norm else self.conv.bias).data += by

    def operate(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """See :meth:`QuantLayer.operate`."""
        conv = self.conv
        return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)

    def forward(self, x: Tensor) -> Tensor:
        """See :meth:`QuantLayer.forward`; the first one rounds its input."""
        return super().forward(self.input(x))


class _Plain(QuantLayer):
    """A layer of a head, without batch norm and activation, under its own name."""

    def folded(self) -> tuple[Tensor, Tensor | None]:
        return self.weight, self.bias

    def shift(self, by: Tensor) -> None:
        self.bias.data += by


class QuantConv2d(_Plain):
    """``nn.Conv2d`` of a head."""

    def __init__(self, conv: nn.Conv2d, source: Point) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding, self.groups = conv.stride, conv.padding, conv.groups
        self.connect(source)

    def operate(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """See :meth:`QuantLayer.operate`."""
        return F.conv2d(x, weight, bias, self.stride, self.padding, groups=self.groups)


class QuantLinear(_Plain):
    """``nn.Linear`` of a head.

    Args:
        linear: its weight and bias are taken over.
        source: the point of the input.
        pooled: the input is a mean over pixels that was not rounded yet; it is rounded here.
    """

    def __init__(self, linear: nn.Linear, source: Point, pooled: bool = False) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.input = Point() if pooled else nn.Identity()
        self.pooled_source = [source]
        self.connect(self.input if pooled else source)

    def operate(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """See :meth:`QuantLayer.operate`."""
        return F.linear(x, weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        """See :meth:`QuantLayer.forward`."""
        return super().forward(self.input(x))


class QuantInvertedResidual(nn.Module):
    """MMPose's block of MobileNetV2, with a point after the sum.

    Args:
        block: its layers are taken over.
        source: the point of its input.
    """

    def __init__(self, block: InvertedResidual, source: Point) -> None:
        super().__init__()
        self.source = [source]
        self.conv = nn.Sequential()
        for module in block.conv:
            self.conv.append(QuantConvModule(module, source))
            source = self.conv[-1].output
        if block.use_res_connect:
            self.add = Point()

    @property
    def last(self) -> Point:
        """The point of the output."""
        return getattr(self, 'add', self.conv[-1].output)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, rounded."""
        y = self.conv(x)
        return self.add(x + y) if hasattr(self, 'add') else y


class QuantPooling(nn.Module):
    """MMPose's ``GlobalAveragePooling`` with a point after it."""

    def __init__(self, source: Point) -> None:
        super().__init__()
        self.source = [source]
        self.pool = GlobalAveragePooling()
        self.output = Point()

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Means (N, C) of maps (N, C, h, w), rounded."""
        return tuple(self.output(x) for x in self.pool(tuple(feats)))


def quantise(model: nn.Module) -> nn.Module:
    """Put the layers above into a top-down estimator, in place.

    Args:
        model: ``MobileNetV2`` with ReLU6 and its last map as output, and the head of RLE
            (``RLEHead(split=True)`` on pooled features), of SimCC without deconvolutions, or of
            both (``SimCCRLEHead``).

    Returns:
        ``model``.

    Raises:
        UserError: another model.
    """
    backbone, neck, head = model.backbone, getattr(model, 'neck', None), model.head
    _check(backbone, neck, head)
    backbone.conv1 = QuantConvModule(backbone.conv1)
    source = backbone.conv1.output
    for name in backbone.layers[:-1]:
        stage = getattr(backbone, name)
        for index, block in enumerate(stage):
            stage[index] = QuantInvertedResidual(block, source)
            source = stage[index].last
    backbone.conv2 = QuantConvModule(backbone.conv2, source)
    source = backbone.conv2.output
    if neck is not None:
        model.neck = QuantPooling(source)
        source = model.neck.output
    for name in HEAD_LAYERS:
        layer = getattr(head, name, None)
        if layer is None or not layer.weight.requires_grad:  # the hybrid's idle fc_coord
            continue
        if isinstance(layer, nn.Conv2d):
            head.add_module(name, QuantConv2d(layer, source))
            map_source, source = source, head.final_layer.output
        elif name == 'fc_sigma' and neck is None:
            # the mean of the map, which the hybrid's head takes itself
            head.add_module(name, QuantLinear(layer, map_source, pooled=True))
        else:
            head.add_module(name, QuantLinear(layer, source))
    return model


def _check(backbone: nn.Module, neck: nn.Module | None, head: nn.Module) -> None:
    where = 'rlepose_ext.QuantPoseEstimator: '
    other = '`rlepose export --int8` quantises other models, without training.'
    if type(backbone) is not MobileNetV2 or backbone.out_indices != (7,):
        raise UserError(
            f'{where}expected the backbone MobileNetV2 with out_indices=(7,), got '
            f'{type(backbone).__name__}. {other}'
        )
    kinds = {
        type(part.activate).__name__
        for part in backbone.modules()
        if isinstance(part, ConvModule) and part.with_activation
    }
    if kinds != {'ReLU6'}:
        raise UserError(
            f"{where}expected act_cfg=dict(type='ReLU6') in the backbone, got {', '.join(kinds)}"
        )
    pooled = isinstance(neck, GlobalAveragePooling)
    rle = hasattr(head, 'split') and pooled
    simcc = hasattr(head, 'mlp_head_x') and neck is None and head.deconv_head is None
    if rle and not (head.split and not head.norm_linear):
        raise UserError(
            f'{where}expected head=dict(split=True): coordinates and sigma have different ranges, '
            'so they need layers of their own. A checkpoint with both in one layer is split when '
            'it is loaded.'
        )
    if not (rle or simcc) or (simcc and getattr(head, 'final_layer', None) is None):
        raise UserError(
            f'{where}expected RLEHead with GlobalAveragePooling, or SimCCHead or SimCCRLEHead '
            f'without deconvolutions, got {type(head).__name__}. {other}'
        )


@dataclass(frozen=True)
class Step:
    """One of the layers, in the order in which they run.

    Attributes:
        name: of the module; of a sum ``...add``.
        module: a :class:`QuantLayer`, or the :class:`QuantInvertedResidual` of a sum, or
            :class:`QuantPooling`; for the hybrid's pooling the ``QuantLinear`` behind it.
        kind: ``'layer'``, ``'add'`` or ``'pool'``.
        sources: the points of its inputs; of a sum the branch first.
        output: the point of its output.
    """

    name: str
    module: nn.Module
    kind: str
    sources: list[Point]
    output: Point


def steps(model: nn.Module) -> Iterator[Step]:
    """The rounding layers of a model that :func:`quantise` has changed."""
    for name, module in model.named_modules():
        if isinstance(module, QuantLinear) and isinstance(module.input, Point):
            pooled = module.pooled_source
            yield Step(f'{name}.input', module, 'pool', pooled, module.input)
        if isinstance(module, QuantLayer):
            yield Step(name, module, 'layer', module.source, module.output)
        elif isinstance(module, QuantPooling):
            yield Step(name, module, 'pool', module.source, module.output)
        elif isinstance(module, Point) and name.endswith('.add'):
            block = model.get_submodule(name.removesuffix('.add'))
            sources = [block.conv[-1].output, *block.source]
            yield Step(name, block, 'add', sources, module)


def points(model: nn.Module) -> dict[str, Point]:
    """All points by name, the one of the input included."""
    return {name: part for name, part in model.named_modules() if isinstance(part, Point)}


def set_mode(model: nn.Module, mode: str) -> None:
    """Let a model round (``'round'``), or be the float model: ``'observe'``, ``'float'``."""
    for part in model.modules():
        if isinstance(part, Point):
            part.mode = mode
        elif isinstance(part, QuantLayer):
            part.rounds_weights = mode == 'round'


def is_calibrated(model: nn.Module) -> bool:
    """Whether every point has a range."""
    return all(point.is_set for point in points(model).values())


def round_zero_points(model: nn.Module) -> None:
    """Make zero points whole numbers, as integers need them."""
    with torch.no_grad():
        for point in points(model).values():
            point.zero_point.copy_(point.zero_point.round().clamp(-128, 127))
