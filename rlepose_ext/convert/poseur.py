"""Poseur's checkpoints in this project's key names: pure functions on state dicts.

The paper's repository (aim-uofa/Poseur) is built on MMPose 0.x. Its backbone and neck have
MMPose's names already; the head may be called ``keypoint_head`` there.

===============================================  ==========================================
Poseur                                           here
===============================================  ==========================================
``transformer.fc_{coord,sigma}.linear``          ``coarse.fc_{coord,sigma}``
``transformer.pos_trans``, ``pos_trans_norm``    ``query_proj``, ``query_norm``
``transformer.pos_embed.weight``                 ``joint_embed``
``transformer.level_embeds``                     ``level_embed``
``transformer.decoder.layers.i``                 ``layers.i``
``fc_coord_branches.i``                          ``layers.i.step``
``fc_coord_output_branches.i``                   ``layers.i.correction``
``fc_sigma_branches.i``                          ``layers.i.sigma``
``enc_flow``, ``dec_flow``                       ``coarse.loss_module.flow_model``,
                                                 ``loss_module.flow_model``
===============================================  ==========================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_ATTENTION = 'sampling_offsets|attention_weights|output_proj'
_LAYER = (
    (r'attentions\.0\.attn\.(.+)', r'self_attention.\1'),
    (r'attentions\.1\.value_proj_(weight|bias)\.weight', r'cross_attention.value_\1'),
    (rf'attentions\.1\.((?:{_ATTENTION})\.\w+)', r'cross_attention.\1'),
    (r'ffns\.0\.layers\.0\.0\.(\w+)', r'linear1.\1'),
    (r'ffns\.0\.layers\.1\.(\w+)', r'linear2.\1'),
    (r'norms\.0\.(\w+)', r'norm1.\1'),
    (r'norms\.1\.(\w+)', r'norm2.\1'),
    (r'norms\.2\.(\w+)', r'norm3.\1'),
)
_HEAD = (
    (r'transformer\.fc_(coord|sigma)\.linear\.(\w+)', r'coarse.fc_\1.\2'),
    (r'transformer\.pos_trans\.(\w+)', r'query_proj.\1'),
    (r'transformer\.pos_trans_norm\.(\w+)', r'query_norm.\1'),
    (r'transformer\.pos_embed\.weight', r'joint_embed'),
    (r'transformer\.level_embeds', r'level_embed'),
    (r'fc_coord_branches\.(\d+)\.(.+)', r'layers.\1.step.\2'),
    (r'fc_coord_output_branches\.(\d+)\.(.+)', r'layers.\1.correction.\2'),
    (r'fc_sigma_branches\.(\d+)\.(\d)(?:\.linear)?\.(\w+)', r'layers.\1.sigma.\2.\3'),
    (r'enc_flow\.(.+)', r'coarse.loss_module.flow_model.\1'),
    (r'dec_flow\.(.+)', r'loss_module.flow_model.\1'),
)


def map_head_key(key: str) -> str | None:
    """Our name of a key below the head; None if it is not Poseur's."""
    table, start = _HEAD, ''
    layer = re.fullmatch(r'transformer\.decoder\.layers\.(\d+)\.(.+)', key)
    if layer:
        table, start, key = _LAYER, f'layers.{layer[1]}.', layer[2]
    for pattern, name in table:
        match = re.fullmatch(pattern, key)
        if match:
            return start + match.expand(name)
    return None


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map a model; backbone and neck are passed on as they are.

    Args:
        state: keys with ``backbone.`` (may be absent), ``neck.`` and ``head.`` or
            ``keypoint_head.``.

    Returns:
        The state dict of a ``TopdownPoseEstimator`` with :class:`rlepose_ext.models.PoseurHead`.

    Raises:
        UserError: keys that are not Poseur's, or tensors that are missing or whose shapes do not
            fit those of the head for this number of joints and levels.
    """
    import torch

    converted, unknown = {}, []
    for key, value in state.items():
        part, _, rest = key.partition('.')
        name = key
        if part in ('head', 'keypoint_head'):
            name = map_head_key(rest) and f'head.{map_head_key(rest)}'
        elif part not in ('backbone', 'neck'):
            name = None
        if name is None:
            unknown.append(key)
        else:
            converted[name] = value
    if unknown:
        raise UserError(
            f"these keys are not a Poseur model's: {', '.join(unknown[:5])} ({len(unknown)} in "
            'all). Expected backbone.*, neck.convs.*, and below head or keypoint_head '
            'transformer.*, fc_*_branches.*, enc_flow.*, dec_flow.*.'
        )
    for key, value in list(converted.items()):
        if key.endswith('.value_weight') and value.ndim == 2:
            heads = len(converted.get(key.replace('weight', 'bias'), ()))
            if heads and not len(value) % heads:
                converted[key] = value.unflatten(0, (heads, -1))
        if key.endswith('.flow_model.mask'):
            flow = key.removesuffix('mask')
            converted |= {f'{flow}loc': torch.full((2,), 0.5), f'{flow}cov': torch.eye(2)}
    _check_shapes({k[5:]: v for k, v in converted.items() if k.startswith('head.')})
    return converted


def _check_shapes(head: Mapping[str, Tensor]) -> None:
    import torch

    from rlepose_ext.registry import MODELS

    lacking = [name for name in ('joint_embed', 'level_embed') if name not in head]
    if lacking:
        raise UserError(f'this is no Poseur model: it has no {" and no ".join(lacking)}')
    joints, levels = (len(head[name]) for name in ('joint_embed', 'level_embed'))
    config = {'in_channels': 256, 'num_joints': joints, 'num_levels': levels}
    with torch.device('meta'):
        expected = MODELS.build({'type': 'rlepose_ext.PoseurHead', **config}).state_dict()
    for key, value in expected.items():
        if key not in head:
            raise UserError(f'this Poseur is incomplete: nothing becomes head.{key}')
        if head[key].shape != value.shape:
            raise UserError(
                f'head.{key}: expected {tuple(value.shape)} beside joint_embed '
                f'{tuple(head["joint_embed"].shape)} and level_embed '
                f'{tuple(head["level_embed"].shape)}, got {tuple(head[key].shape)}'
            )
    unexpected = sorted(set(head) - set(expected))
    if unexpected:
        raise UserError(f'this is another Poseur: head.{unexpected[0]} is too much for six layers')
