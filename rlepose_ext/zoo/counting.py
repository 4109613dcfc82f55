"""Parameters and operations of a config's model, by part, without training and without weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.count import TRAINING_ONLY, count_parameters
from rlepose_ext.models.input_size import dicts
from rlepose_ext.zoo.lookup import find


@dataclass(frozen=True)
class Counts:
    """Parameter values of a model.

    Attributes:
        parts: of ``backbone``, ``neck``, ``head`` and whatever else the model has, at
            inference; what two parts share counts for the first.
        total: of all of them.
        training_only: of flows that only the loss uses.
    """

    parts: dict[str, int]
    total: int
    training_only: int


def load_config(name: str) -> Config:
    """A config by path, by its name in the zoo, or as ``mmpose::...``.

    Raises:
        UserError: it is none of these, cannot be read, or has no model.
    """
    path = _path(name)
    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is a program and may raise anything
        raise UserError(
            f'{path} cannot be read as a config: {type(error).__name__}: {error}'
        ) from error
    if not isinstance(config.get('model'), dict):
        raise UserError(
            f"{path}: expected a config with model = dict(type=...), there is no 'model'"
        )
    return config


def _path(name: str) -> str:
    package, colons, inside = name.partition('::')
    if colons:
        spec = find_spec(package)
        path = Path(spec.origin).parent / '.mim' / 'configs' / inside if spec else None
        if path is None or not path.is_file():
            raise UserError(f'{name}: the installed package {package} has no config {inside}')
        return str(path)
    return name if Path(name).is_file() else str(find(name).path)


def build_model(config: Config, device: str = 'cpu') -> nn.Module:
    """The model in evaluation mode, without downloading what it would start from.

    Args:
        config: it is not changed.
        device: ``meta`` makes a model without numbers, enough to count them.

    Raises:
        UserError: the model cannot be built.
    """
    from mmpose.registry import MODELS

    model = config.copy().model
    for part in dicts(model):
        part.pop('init_cfg', None)
    if DefaultScope.get_current_instance() is None:
        init_default_scope(config.get('default_scope', 'mmpose'))
    try:
        with torch.device(device):
            return MODELS.build(model).eval()
    except Exception as error:
        raise UserError(
            f'{config.filename}: the model cannot be built: {type(error).__name__}: {error}'
        ) from error


def count(model: nn.Module) -> Counts:
    """Count parameters by part; see :func:`rlepose_ext.models.count.count_parameters`."""
    parts = {name: 0 for name, _ in model.named_children()}
    training_only = 0
    for name, parameter in model.named_parameters():
        if TRAINING_ONLY.isdisjoint(name.split('.')):
            part = name.partition('.')[0]
            parts[part] = parts.get(part, 0) + parameter.numel()
        else:
            training_only += parameter.numel()
    kept = {name: number for name, number in parts.items() if number}
    return Counts(kept, count_parameters(model), training_only)


def input_shape(config: Config) -> tuple[int, int, int]:
    """Channels, height and width of what a config's network is given, input px.

    Raises:
        UserError: the config does not say.
    """
    codec = config.get('codec')
    places = [*(codec if isinstance(codec, (list, tuple)) else [codec]), config.model.get('head')]
    places += [*dicts(config.get('val_dataloader')), *dicts(config.model)]
    for place in places:
        size = place.get('input_size') if isinstance(place, dict) else None
        if isinstance(size, (list, tuple)) and len(size) == 2:
            mean = (config.model.get('data_preprocessor') or {}).get('mean')
            channels = config.model.get('backbone', {}).get('in_channels') or len(mean or (0, 0, 0))
            return channels, size[1], size[0]
    raise UserError(
        f'{config.filename}: expected codec = dict(input_size=(width, height)), '
        'so that it is known what to give the network'
    )


def forward_of(model: nn.Module, shape: tuple[int, int, int]) -> Callable[[], Any]:
    """A function that runs one random picture through backbone, neck and head."""
    picture = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    return lambda: model(picture, None, mode='tensor')


def count_flops(forward: Callable[[], Any]) -> int:
    """Floating point operations of a call, two for each multiply-add.

    Convolutions, matrix products and attention are counted, deformable convolutions as plain
    ones of their size; what is done element by element is not. Papers on pose estimation call
    multiply-adds FLOPs: half of this.
    """
    # not above: with it comes torch's compiler
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=_custom()) as counter:
        forward()
    return counter.get_total_flops()


def _custom() -> dict[Any, Callable[..., int]]:
    """Formulas for operators that torch's counter does not know."""
    import torchvision  # noqa: F401  (registers the operator)

    return {
        torch.ops.torchvision.deform_conv2d: _deformable,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    }


def _attention(
    query: Any, key: Any, value: Any, *args: Any, out_shape: Any = None, **kwargs: Any
) -> int:
    """Operations of Q K^T and of its product with V; shapes are (N, heads, tokens, width)."""
    batch, heads, tokens, width = query
    return 2 * batch * heads * tokens * key[2] * (width + value[3])


def _deformable(
    x: Any, weight: Any, *args: Any, out_shape: Any = None, out_val: Any = None, **kwargs: Any
) -> int:
    """Operations of a deformable convolution: output values times taps, two each."""
    batch, out_channels, height, width = out_shape
    return 2 * batch * out_channels * height * width * weight[1] * weight[2] * weight[3]
