"""MMPose_Clean's 8-bit tables under this project's names.

Its quantised trainings write three files: the weights (:mod:`.mmpose_clean` maps them),
``*_quant_info.pth`` with the ranges of each layer, and, of the last stage, ``*_quant_weight.pth``
with the integers that its export made of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rlepose_ext.convert.mmpose_clean import BACKBONE, map_backbone_key
from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from rlepose_ext.quant.integer import IntegerModel, Layer

_HEAD = ('fc_coord', 'fc_sigma', 'final_layer', 'mlp_head_x', 'mlp_head_y')
_NAMES = {'neck.gap': 'neck', **{f'head.{name}': f'head.{name}' for name in _HEAD}}


def layer_name(key: str) -> str | None:
    """Our name of a layer of the tables, as in :func:`rlepose_ext.quant.layers.steps`; or None."""
    if not key.startswith(BACKBONE):
        return _NAMES.get(key)
    name = key.removeprefix(BACKBONE)
    adds = name.endswith('.add')
    # a sum belongs to the block, which any of its layers names
    weight = f'{name.removesuffix("add")}pw_conv.weight' if adds else f'{name}.weight'
    mapped = map_backbone_key(weight)
    if mapped is None:
        return None
    if adds:
        return BACKBONE + mapped.partition('.conv.')[0] + '.add'
    return BACKBONE + mapped.removesuffix('.conv.weight')


def convert_ranges(info: Any) -> dict[str, Tensor]:
    """The ranges of ``*_quant_info.pth``, for a state dict of ``QuantPoseEstimator``.

    Args:
        info: what the file holds.

    Raises:
        UserError: it holds no such ranges.
    """
    state: dict[str, Tensor] = {}
    for name, values in _layers(info):
        point = name if name.endswith('.add') else f'{name}.output'
        try:
            for ours, theirs in (('scale', 'scale'), ('zero_point', 'zero_point')):
                state[f'{point}.{ours}'] = values[f'output_{theirs}'].reshape(()).float()
                if 'input_scale' in values:
                    first = f'{name}.input.{ours}'
                    state[first] = values[f'input_{theirs}'].reshape(()).float()
            if 'weight_scale' in values:
                state[f'{name}.weight_scale'] = values['weight_scale'].flatten().float()
        except (KeyError, AttributeError, RuntimeError) as error:
            raise UserError(f'{name}: damaged ranges: {type(error).__name__}: {error}') from error
    return state


def with_integers(model: IntegerModel, content: Any) -> IntegerModel:
    """A model with the integers of ``*_quant_weight.pth`` in the place of its own.

    Args:
        model: the same network.
        content: what the file holds.

    Raises:
        UserError: it holds no such integers, or those of another network.
    """
    tables = dict(_layers(content))
    layers = []
    for layer in model.layers:
        if layer.name not in tables:
            raise UserError(f'the tables have no layer {layer.name}')
        try:
            layers.append(_with_integers(layer, tables[layer.name]))
        except KeyError as error:
            raise UserError(f'{layer.name}: the tables have no {error}') from error
    return replace(model, layers=layers)


def _with_integers(layer: Layer, table: Mapping[str, Any]) -> Layer:
    if layer.kind == 'add':
        # the sign of a sum's bias is turned
        n, m, bias = table['scales_n'], table['scales_m'], -_integers(table['B'])
    else:
        n, m, bias = table['scale_n'], table['scale_m'], _integers(table['B'])
    weight = layer.weight
    if weight is not None:
        weight = _integers(table['quant_layer_weight']).reshape(weight.shape)
    return replace(layer, n=_integers(n), m=_integers(m), bias=bias, weight=weight)


def _integers(values: Any) -> np.ndarray:
    return np.rint(np.asarray(values, np.float64)).astype(np.int64).reshape(-1)


def _layers(content: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(content, Mapping) or not content:
        raise UserError(f'expected a table of layers, got a {type(content).__name__}')
    found = []
    for key, values in content.items():
        name = layer_name(str(key))
        if name is None or not isinstance(values, Mapping):
            raise UserError(
                f"{key!r} is no layer of MMPose_Clean's tables. Expected backbone.conv1.conv, "
                'backbone.block_0.1.dw_conv, ... head.fc_coord.'
            )
        found.append((name, values))
    return found
