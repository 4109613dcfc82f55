"""TokenPose's checkpoints (leeyegy/TokenPose) under this project's names: pure functions.

=================================================  =============================================
leeyegy/TokenPose                                  here
=================================================  =============================================
``pre_feature.*`` (B, L)                           ``backbone.*``
``features.{conv1,bn1,conv2,bn2,layer1}.*`` (S)    ``backbone.*``
``transformer.*`` (T, B, L), ``features.*`` (S):
``keypoint_token``                                 ``head.keypoint_tokens``
``patch_to_embedding``                             ``head.patch_embed``
``transformer.layers.i``                           ``head.transformers.0.i``
``transformerT.layers.i`` (L)                      ``head.transformers.T-1.i``
``*.0.fn.norm``, ``*.0.fn.fn.to_qkv``              ``*.ln1``, ``*.attn.qkv``
``*.0.fn.fn.to_out.0``                             ``*.attn.proj``
``*.1.fn.norm``, ``*.1.fn.fn.net.{0,3}``           ``*.ln2``, ``*.ffn.layers.{0.0,1}``
``mlp_head``                                       ``head.to_heatmap``
``pos_embedding``                                  not kept: it is compared with the sine embedding
=================================================  =============================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDING = 'pos_embedding'
# Rounding apart; another embedding differs by 1 and more.
TOLERANCE = 1e-4

_STEM = re.compile(r'(?:conv1|bn1|conv2|bn2|layer1)\..+')
_BLOCK = re.compile(r'transformer([1-9]?)\.layers\.(\d+)\.(.+)\.(weight|bias)')
_PARTS = {
    '0.fn.norm': 'ln1',
    '0.fn.fn.to_qkv': 'attn.qkv',
    '0.fn.fn.to_out.0': 'attn.proj',
    '1.fn.norm': 'ln2',
    '1.fn.fn.net.0': 'ffn.layers.0.0',
    '1.fn.fn.net.3': 'ffn.layers.1',
}
_LAYERS = {'patch_to_embedding': 'patch_embed', 'mlp_head': 'to_heatmap'}


def map_key(key: str) -> str | None:
    """This project's name of a key of a TokenPose; None if it is none of TokenPose's."""
    part, _, rest = key.partition('.')
    if part == 'pre_feature' or (part == 'features' and _STEM.fullmatch(rest)):
        return f'backbone.{rest}'
    if part not in ('transformer', 'features'):
        return None
    if rest == 'keypoint_token':
        return 'head.keypoint_tokens'
    if match := _BLOCK.fullmatch(rest):
        number, block, layer, value = match.groups()
        if layer not in _PARTS:
            return None
        return f'head.transformers.{int(number or 1) - 1}.{block}.{_PARTS[layer]}.{value}'
    layer, _, value = rest.partition('.')
    return f'head.{_LAYERS[layer]}.{value}' if layer in _LAYERS else None


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map a whole model.

    Args:
        state: TokenPose's state dict; ``module.`` before the names is left out.

    Returns:
        The state dict of the same network in ``configs/tokenpose``.

    Raises:
        UserError: keys that are not TokenPose's, parts that are missing, or an embedding of
            places that is not the sine embedding.
    """
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    embeddings = {k: v for k, v in state.items() if k.rpartition('.')[2] == EMBEDDING}
    names = {key: map_key(key) for key in state if key not in embeddings}
    unknown = [key for key, name in names.items() if name is None]
    if unknown:
        raise UserError(
            f"these keys are not TokenPose's: {', '.join(unknown[:5])}"
            f'{", ..." if len(unknown) > 5 else ""} ({len(unknown)} in all). Expected '
            'pre_feature.*, transformer.*, features.*. A checkpoint with head.keypoint_tokens has '
            "this project's names already."
        )
    found = {name: state[key] for key, name in names.items()}
    needed = ('keypoint_tokens', 'patch_embed.weight', 'to_heatmap.0.weight')
    needed = [f'head.{name}' for name in (*needed, 'transformers.0.0.attn.qkv.weight')]
    missing = [name for name in needed if name not in found]
    if missing or len(embeddings) != 1:
        missing += [] if embeddings else [EMBEDDING]
        raise UserError(f'it is no whole TokenPose: no {", ".join(missing)}')
    ((key, embedding),) = embeddings.items()
    check_embedding(key, embedding, found['head.keypoint_tokens'].shape[-1])
    return found


def check_embedding(key: str, embedding: Tensor, dim: int) -> None:
    """Raise unless an embedding (1, L, dim) is the sine embedding of some grid of L places.

    Raises:
        UserError: it is not.
    """
    from rlepose_ext.models.heads.token_pose_head import sine_embedding

    count = embedding.shape[1] if embedding.ndim == 3 else 0
    if embedding.ndim != 3 or tuple(embedding.shape) != (1, count, dim):
        raise UserError(
            f'{key}: expected shape (1, patches, {dim}), as the keypoint tokens have {dim} numbers;'
            f' got {tuple(embedding.shape)}'
        )
    grids = [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
    far = min(float((sine_embedding(dim, *grid) - embedding[0]).abs().max()) for grid in grids)
    if far > TOLERANCE:
        raise UserError(
            f'{key}: expected the sine embedding of a grid of {count} patches, got one that '
            f'differs from each by {far:.3g} or more. TokenPoseHead has no learned embedding.'
        )
