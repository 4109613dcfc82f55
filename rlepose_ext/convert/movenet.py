"""Google's MoveNet out of its TensorFlow.js form, without TensorFlow.

A TensorFlow.js *graph model* is two files. The json has the graph, which is not used here, and a
list of tensors, the "weights manifest": name, shape, type. The bin has their values one behind the
other, float16 in these models. Convolutions have their kernels as (H, W, in, out), depthwise ones
as (H, W, C, 1); batch norm is folded into the kernel and a bias called ``..._bn_offset``.

Maps of pairs have y before x for each joint in turn; here all x come before all y, and the last
convolution's channels are put into that order. Nothing else changes, float16 becomes float32.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

ARCHS = ('lightning', 'thunder', 'multipose')
LICENCE = (
    "MoveNet's weights are Google's, under Apache-2.0 (Google's model page, which puts "
    'surveillance and identity recognition out of its scope).'
)
_TYPES = {'float16': 2, 'float32': 4, 'int32': 4, 'uint8': 1, 'bool': 1}
_CELLS = 'center_net_mobile_net_v2fpn_feature_extractor/model_1/'
# Blocks of MobileNetV2's seven groups: block_0 is called expanded_conv.
_GROUPS = (1, 2, 3, 4, 3, 3, 1)
# MoveNet's names of the heads; their layers are numbered through all heads in the graph's order.
_HEADS = {
    'single': ('center', 'kpt_heatmap', 'kpt_regress', 'kpt_offset'),
    'multipose': (
        'center',
        'box_scale',
        'box_offset',
        'kpt_heatmap',
        'kpt_regress',
        'kpt_offset',
    ),
}
_NAMES = {
    'center': 'centre',
    'kpt_heatmap': 'heatmap',
    'kpt_regress': 'regression',
    'kpt_offset': 'offset',
    'box_scale': 'box_size',
    'box_offset': 'box_offset',
}


def find_model(path: str | Path) -> Path:
    """The json of a model: the file itself, or the only one of MoveNet's in a folder.

    Raises:
        UserError: there is none, or there are several.
    """
    path = Path(path)
    if path.is_file() and path.suffix == '.json':
        return path
    found = sorted(path.glob('movenet*.json')) or sorted(path.glob('model.json'))
    if not path.is_dir() or not found:
        raise UserError(
            f'{path}: expected a folder with movenet-*.json and its .bin, or that json; there is '
            'none. `rlepose weights movenet-lightning` downloads them and prints where they are.'
        )
    if len(found) > 1:
        raise UserError(
            f'{path} has several models: {", ".join(file.name for file in found)}. Give the path '
            'of one.'
        )
    return found[0]


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a TensorFlow.js model by their names, float32 or as they are.

    Args:
        path: of the json; the bin lies beside it.

    Raises:
        UserError: the json is not one of a graph model; the bin is missing, too short for a tensor,
            which is named, too long, or has numbers that are not finite.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        (group,) = content['weightsManifest']
        entries = [
            (str(e['name']), tuple(map(int, e['shape'])), _type(e)) for e in group['weights']
        ]
        (name,) = group['paths']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected TensorFlow.js's model json with a weightsManifest of one .bin, got "
            f'something else ({type(error).__name__}: {error})'
        ) from error
    binary = path.parent / Path(name).name
    try:
        data = binary.read_bytes()
    except OSError as error:
        raise UserError(f'{binary}, the weights of {path.name}, cannot be read: {error}') from error
    tensors, start = {}, 0
    for name, shape, kind in entries:
        end = start + _TYPES[kind] * int(np.prod(shape))
        if end > len(data):
            raise UserError(
                f'{binary} is too short: {len(data):,} bytes, and tensor {name} {shape} ends at '
                f'{end:,}. It is damaged or of another model; download it again.'
            )
        values = np.frombuffer(data[start:end], np.dtype(kind).newbyteorder('<')).reshape(shape)
        if kind == 'float16':
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise UserError(
                f'{binary}: tensor {name} {shape} has numbers that are not finite. It is damaged '
                'or of another model; download it again.'
            )
        tensors[name] = values
        start = end
    if start != len(data):
        raise UserError(
            f'{binary} is too long: {len(data):,} bytes, and its tensors end at {start:,}. It is '
            'of another model.'
        )
    return tensors


def convert(tensors: dict[str, np.ndarray]) -> tuple[str, dict[str, Tensor]]:
    """The model's state dict with batch norm folded, ``norm_cfg=None`` of backbone and neck.

    Args:
        tensors: of :func:`read_tensors`.

    Returns:
        ``'lightning'``, ``'thunder'`` or ``'multipose'``, and a state dict with ``backbone.``,
        ``neck.`` and ``head.``.

    Raises:
        UserError: this is another model: a tensor of MoveNet is missing or has another shape.
    """
    import torch

    from rlepose_ext.registry import MODELS

    short = {re.sub(r'^StatefulPartitionedCall/', '', k): v for k, v in tensors.items()}
    stem = short.get(f'{_CELLS}model/Conv1/Conv2D_weights')
    many = any(name.startswith('box_scale_0/') for name in short)
    arch = (
        None
        if stem is None
        else {32: 'lightning', 48: 'multipose', 56: 'thunder'}.get(stem.shape[-1])
    )
    if arch is None or many != (arch == 'multipose'):
        raise UserError(
            "expected one of Google's MoveNet models (single pose Lightning or Thunder version 4, "
            'MultiPose Lightning version 1), got another model: '
            + ('no first convolution of that name' if stem is None else f'stem {stem.shape}')
        )
    names = (
        {f'backbone.{k}': v for k, v in _backbone_names().items()}
        | _fpn_names()
        | _head_names('multipose' if many else 'single')
    )
    state = {}
    expected = _expected_shapes(MODELS, arch)
    for key, name in names.items():
        if name not in short:
            raise UserError(f'this MoveNet is incomplete: no tensor {name} (for {key})')
        values = short[name]
        if values.ndim == 4:
            # depthwise kernels have (H, W, C, 1), all others (H, W, in, out)
            depthwise = values.shape[-1] == 1 and values.shape[0] == 3
            values = values.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        if key.split('.')[1] in ('regression', 'offset', 'box_size', 'box_offset') and (
            key.split('.')[2] == '3'
        ):
            values = np.concatenate([values[1::2], values[0::2]])  # (y, x) pairs to all x, all y
        if values.shape != expected[key]:
            raise UserError(
                f'another model: tensor {name} becomes {values.shape} for {key}, expected '
                f'{expected[key]}'
            )
        state[key] = torch.from_numpy(values.copy())
    return arch, state


def network(arch: str, **norm: Any) -> dict[str, dict]:
    """Configs of backbone, neck and head of a model, for ``dict(model=...)``.

    Args:
        arch: one of :data:`ARCHS`.
        **norm: ``norm_cfg=None`` for folded batch norm.
    """
    stages = {
        'lightning': (24, 32, 64, 1280),
        'multipose': (40, 48, 96, 1280),
        'thunder': (40, 56, 112, 1280),
    }[arch]
    head = 'MoveNetMultiPoseHead' if arch == 'multipose' else 'MoveNetHead'
    return {
        'backbone': {'type': 'rlepose_ext.MoveNetBackbone', 'arch': arch, **norm},
        'neck': {'type': 'rlepose_ext.MoveNetFPN', 'in_channels': stages, **norm},
        'head': {'type': f'rlepose_ext.{head}', 'in_channels': 24, 'out_channels': 17},
    }


def _type(entry: dict) -> str:
    kind = entry.get('quantization', {}).get('dtype', entry['dtype'])
    if kind not in _TYPES:
        raise ValueError(f'tensors of type {kind}')
    return kind


def _expected_shapes(models: Any, arch: str) -> dict[str, tuple[int, ...]]:
    return {
        f'{part}.{key}': tuple(value.shape)
        for part, config in network(arch, norm_cfg=None).items()
        for key, value in models.build(config).state_dict().items()
    }


def _backbone_names() -> dict[str, str]:
    names = {}

    def add(layer: str, folded: str) -> None:
        names[f'{layer}.conv.weight'] = f'{_CELLS}model/{folded}_weights'
        names[f'{layer}.conv.bias'] = f'{_CELLS}model/{folded}_bn_offset'

    add('conv1', 'Conv1/Conv2D')
    add('layer1.0.conv.0', 'expanded_conv_depthwise/depthwise')
    add('layer1.0.conv.1', 'expanded_conv_project/Conv2D')
    block = 0
    for group, count in enumerate(_GROUPS[1:], 2):
        for i in range(count):
            block += 1
            for j, kind in enumerate(('expand/Conv2D', 'depthwise/depthwise', 'project/Conv2D')):
                add(f'layer{group}.{i}.conv.{j}', f'block_{block}_{kind}')
    add('conv2', 'Conv_1/Conv2D')
    return names


def _fpn_names() -> dict[str, str]:
    names = {}
    for i in range(4):
        number = '' if i == 0 else f'_{i}'  # numbered from the coarsest map
        for value, operation in (('weight', 'Conv2D'), ('bias', 'BiasAdd')):
            names[f'neck.laterals.{3 - i}.{value}'] = (
                f'{_CELLS}conv2d{number}/{operation}/ReadVariableOp'
            )
        if i < 3:
            block = f'{_CELLS}separable_conv2d{number}/separable_conv2d'
            names[f'neck.blocks.{2 - i}.0.weight'] = f'{block}/ReadVariableOp'
            names[f'neck.blocks.{2 - i}.1.conv.weight'] = f'{block}_weights'
            names[f'neck.blocks.{2 - i}.1.conv.bias'] = f'{block}_bn_offset'
    return names


def _head_names(kind: str) -> dict[str, str]:
    names = {}
    for i, head in enumerate(_HEADS[kind]):
        block = f'{head}_0/separable_conv2d_{3 + i}'
        last = f'{head}_0/conv2d_{4 + i}'
        part = f'head.{_NAMES[head]}'
        names[f'{part}.0.weight'] = f'{block}/separable_conv2d/ReadVariableOp'
        names[f'{part}.1.weight'] = f'{block}/separable_conv2d/ReadVariableOp_1'
        names[f'{part}.1.bias'] = f'{block}/BiasAdd/ReadVariableOp'
        names[f'{part}.3.weight'] = f'{last}/Conv2D/ReadVariableOp'
        names[f'{part}.3.bias'] = f'{last}/BiasAdd/ReadVariableOp'
    return names
