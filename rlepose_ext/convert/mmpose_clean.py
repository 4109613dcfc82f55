"""MMPose_Clean's checkpoints in MMPose's key names: pure functions on state dicts.

MMPose_Clean writes the same MobileNetV2 with other names, and RLE's single Linear as
two, one for the coordinates and one for sigma. Both differ in name and order only, so
the converted model computes the same numbers. The head of SimCC has MMPose's names already.

=============================================  =========================================
MMPose_Clean                                   MMPose
=============================================  =========================================
``conv1.{conv,bn}``, ``conv2.{conv,bn}``       the same
``block_i.j.{conv,bn}`` (i > 0)                ``layer{i+1}.{j-1}.conv.0.{conv,bn}``
``block_i.j.{dw_conv,dw_bn}``                  ``layer{i+1}.{j-1}.conv.1.{conv,bn}``
``block_i.j.{pw_conv,pw_bn}``                  ``layer{i+1}.{j-1}.conv.2.{conv,bn}``
``block_0.1.{dw_*,pw_*}`` (no expansion)       ``layer1.0.conv.{0,1}.{conv,bn}``
``fc_coord`` row 2k, 2k+1                      ``fc`` row 4k, 4k+1 (x, y of joint k)
``fc_sigma`` row 2k, 2k+1                      ``fc`` row 4k+2, 4k+3
``final_layer``, ``mlp_head_{x,y}`` (SimCC)    the same
=============================================  =========================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

BACKBONE = 'backbone.'
HEAD = 'head.'
FLOW = 'loss_module.flow_model.'
RLE_KEYS = ('fc_coord.weight', 'fc_coord.bias', 'fc_sigma.weight', 'fc_sigma.bias')
SIMCC_KEYS = tuple(
    f'{layer}.{value}'
    for layer in ('final_layer', 'mlp_head_x', 'mlp_head_y')
    for value in ('weight', 'bias')
)
PARTS = ('conv1', *(f'block_{i}' for i in range(7)), 'conv2')

_BLOCK = re.compile(r'block_([0-6])\.([1-9]\d*)\.(dw_|pw_|)(conv|bn)\.(\w+)')
_STEM = re.compile(r'conv[12]\.(conv|bn)\.\w+')


def map_backbone_key(key: str) -> str | None:
    """MMPose's name of a backbone key without prefix; None if it is not MMPose_Clean's."""
    if _STEM.fullmatch(key):
        return key
    match = _BLOCK.fullmatch(key)
    if match is None:
        return None
    block, unit, kind, layer, value = match.groups()
    # The first block does not expand its channels: depthwise and pointwise move up by one.
    convs = {'dw_': 0, 'pw_': 1} if block == '0' else {'': 0, 'dw_': 1, 'pw_': 2}
    if kind not in convs:
        return None
    return f'layer{int(block) + 1}.{int(unit) - 1}.conv.{convs[kind]}.{layer}.{value}'


def join_rows(coord: Tensor, sigma: Tensor) -> Tensor:
    """Interleave two (2K, ...) tensors to (4K, ...): mu_x, mu_y, sigma_x, sigma_y per joint.

    Raises:
        UserError: the shapes differ or the number of rows is odd.
    """
    import torch

    if coord.shape != sigma.shape or coord.shape[0] % 2:
        raise UserError(
            'fc_coord and fc_sigma must have the same shape with two rows per joint, got '
            f'{tuple(coord.shape)} and {tuple(sigma.shape)}'
        )
    pairs = [x.reshape(-1, 2, *x.shape[1:]) for x in (coord, sigma)]
    return torch.cat(pairs, dim=1).flatten(0, 1)


def convert_backbone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map the backbone of a model or backbone file; everything else is left out.

    Args:
        state: keys with or without the prefix ``backbone.``.

    Returns:
        Keys with the prefix ``backbone.``, as ``init_cfg=dict(type='Pretrained',
        prefix='backbone.')`` wants them.

    Raises:
        UserError: a backbone key is not MMPose_Clean's, or a part is missing.
    """
    if any(key.startswith(BACKBONE) for key in state):
        state = {k[len(BACKBONE) :]: v for k, v in state.items() if k.startswith(BACKBONE)}
    names = {key: map_backbone_key(key) for key in state}
    _refuse('backbone keys', [key for key, name in names.items() if name is None])
    found = {key.split('.')[0] for key in names}
    missing = [part for part in PARTS if part not in found]
    if missing:
        raise UserError(
            f"the backbone is incomplete: no {', '.join(missing)}. Expected MMPose_Clean's "
            f'MobileNetV2 with {", ".join(PARTS)}.'
        )
    return {BACKBONE + names[key]: value for key, value in state.items()}


def convert_model(state: Mapping[str, Tensor], split: bool = False) -> dict[str, Tensor]:
    """Map a whole model: RLE, its flow included, or SimCC without deconvolutions.

    Args:
        state: MMPose_Clean's state dict with ``backbone.*`` and ``head.*``.
        split: keep ``fc_coord`` and ``fc_sigma`` apart, for ``RLEHead(split=True)``;
            else join them to MMPose's ``fc``.

    Raises:
        UserError: it has neither an RLE nor a SimCC head, or keys that are not MMPose_Clean's,
            or ``split`` is set for SimCC.
    """
    _refuse('keys', [key for key in state if not key.startswith((BACKBONE, HEAD))], state)
    head = {k[len(HEAD) :]: v for k, v in state.items() if k.startswith(HEAD)}
    if not head:
        raise UserError('there is no head in it, only a backbone: add --backbone')
    simcc = any(key.startswith('mlp_head_') for key in head)
    converted = _simcc_head(head, split) if simcc else _rle_head(head, split)
    return {**convert_backbone(state), **{HEAD + k: v for k, v in converted.items()}}


def _simcc_head(head: Mapping[str, Tensor], split: bool) -> dict[str, Tensor]:
    if split:
        raise UserError('this is a SimCC model, which has no sigma to split off: leave --split out')
    _check_head('SimCC', head, SIMCC_KEYS)
    return {key: head[key] for key in SIMCC_KEYS}


def _rle_head(head: Mapping[str, Tensor], split: bool) -> dict[str, Tensor]:
    flow = {k: v for k, v in head.items() if k.startswith(FLOW)}
    _check_head('RLE', {k: v for k, v in head.items() if k not in flow}, RLE_KEYS)
    if split:
        return {**{k: head[k] for k in RLE_KEYS}, **flow}
    joined = {
        f'fc.{value}': join_rows(head[f'fc_coord.{value}'], head[f'fc_sigma.{value}'])
        for value in ('weight', 'bias')
    }
    return {**joined, **flow}


def _check_head(kind: str, head: Iterable[str], expected: Iterable[str]) -> None:
    head, expected = list(head), list(expected)
    _refuse('head keys', [HEAD + k for k in head if k not in expected])
    missing = [HEAD + k for k in expected if k not in head]
    if missing:
        raise UserError(f'the {kind} head is incomplete: no {", ".join(missing)}')


def _refuse(what: str, unknown: list[str], state: Iterable[str] = ()) -> None:
    """Raise if there are unknown keys; a backbone file without prefix gets its own hint."""
    if not unknown:
        return
    if all(map_backbone_key(key) for key in state) and state:
        raise UserError('there is no head in it, only a backbone: add --backbone')
    shown = ', '.join(unknown[:5]) + (', ...' if len(unknown) > 5 else '')
    raise UserError(
        f"these {what} are not an MMPose_Clean model's: {shown} ({len(unknown)} in all). "
        'Expected backbone.conv1.*, backbone.block_0.* ... backbone.conv2.*, and as head '
        'fc_coord.*, fc_sigma.* (RLE) or final_layer.*, mlp_head_x.*, mlp_head_y.* (SimCC). '
        "A checkpoint with backbone.layer1.* is in MMPose's names already."
    )
