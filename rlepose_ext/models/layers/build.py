"""Blocks over tokens from the options of a config, with widths that follow the input size.

Where a token is a flattened map, its size d is a consequence of the input size: 48 x 64 =
3072 at 192 x 256, 16 x 16 = 256 at 64 x 64. A config that typed 3072, 6144 and 12416 would
have to be typed again for another input. So a width can be given as a multiple:

    gated attention     expansion=2            e = 2 d
    graph convolution   hidden_ratio=1.0       hidden = 1.0 times the output

or, where the method fixes it, as a number (``expansion_dim``, ``hidden_dim``).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from rlepose_ext.checks import check_counts, check_positive
from rlepose_ext.errors import UserError
from rlepose_ext.models.layers.gated_attention import GatedAttentionUnit
from rlepose_ext.models.layers.norms import ScaleNorm
from rlepose_ext.models.layers.sem_gcn import SemGCN
from rlepose_ext.models.layers.skeleton import COCO_EDGES, adjacency

# name: edges, number of joints
SKELETONS = {'coco': (COCO_EDGES, 17)}

GAU_OPTIONS = ('expansion', 'expansion_dim', 'key_dim', 'attention', 'query_offset', 'norm')
GAU_OPTIONS += ('dropout', 'attention_dropout', 'residual')
GCN_OPTIONS = ('hidden_dim', 'hidden_ratio', 'num_blocks')
EMBED_NORMS = (None, 'scale')


def check_options(where: str, options: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse an option that a block does not have.

    Args:
        where: the block, for the message.
        options: as in the config.
        known: what the block takes.

    Raises:
        UserError: ``options`` is not a dict, or has an unknown key.
    """
    if not isinstance(options, Mapping):
        raise UserError(f'{where}: expected a dict of options, got {options!r}.')
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UserError(f'{where}: unknown option {unknown[0]!r}; it takes {", ".join(known)}.')


def width(where: str, options: Mapping[str, Any], fixed: str, multiple: str, of: int) -> int:
    """A width that is given as a number or as a multiple of another.

    Args:
        where: the block, for the message.
        options: has either ``fixed``, such as 512, or ``multiple``, such as 2.0.
        fixed: name of the one.
        multiple: name of the other.
        of: what the multiple is of.

    Raises:
        UserError: none or both are given, or it is no width of at least 1.
    """
    if (fixed in options) == (multiple in options):
        raise UserError(
            f'{where}: expected either {fixed} or {multiple}, got {dict(options)!r}. '
            f'{multiple} is in units of {of}.'
        )
    if fixed in options:
        check_counts(where, **{fixed: options[fixed]})
        return options[fixed]
    factor = options[multiple]
    check_positive(where, **{multiple: factor})
    if round(factor * of) < 1:
        raise UserError(
            f'{where}: expected {multiple} times {of} to be a width of at least 1, got {factor!r}.'
        )
    return round(factor * of)


def skeleton_graph(skeleton: str | Sequence[Sequence[int]], num_joints: int) -> Tensor:
    """The adjacency matrix, with self loops, of a named skeleton or of a list of edges.

    Args:
        skeleton: a name in :data:`SKELETONS`, or pairs of joint indices.
        num_joints: K.

    Returns:
        Bool, shape (K, K).

    Raises:
        UserError: unknown name, or a skeleton of another number of joints.
    """
    if not isinstance(skeleton, str):
        return adjacency(skeleton, num_joints)
    if skeleton not in SKELETONS:
        raise UserError(
            f'skeleton: expected one of {sorted(SKELETONS)} or a list of edges, got {skeleton!r}.'
        )
    edges, expected = SKELETONS[skeleton]
    if num_joints != expected:
        raise UserError(
            f'skeleton {skeleton!r} has {expected} joints, the head has {num_joints}. Give '
            'skeleton=[(i, j), ...], the edges of your data set (skeleton_links of its metainfo).'
        )
    return adjacency(edges, num_joints)


def build_gau(
    where: str, options: Mapping[str, Any], dim: int, external_query: bool = False
) -> GatedAttentionUnit:
    """A gated attention unit over tokens of ``dim`` numbers.

    Args:
        where: the block, for messages.
        options: ``expansion`` (times ``dim``) or ``expansion_dim``, and further arguments of
            :class:`GatedAttentionUnit`.
        dim: size of a token.
        external_query: the query comes from another branch.

    Raises:
        UserError: an unknown option, attention or norm, or a bad width.
    """
    check_options(where, options, GAU_OPTIONS)
    expanded = width(where, options, 'expansion_dim', 'expansion', dim)
    rest = {key: value for key, value in options.items() if not key.startswith('expansion')}
    return GatedAttentionUnit(dim, expanded, external_query=external_query, **rest)


def build_gcn(
    where: str, options: Mapping[str, Any], in_dim: int, out_dim: int, graph: Tensor
) -> SemGCN:
    """A semantic graph network.

    Args:
        where: the block, for messages.
        options: ``hidden_dim`` or ``hidden_ratio`` (times ``out_dim``); ``num_blocks``.
        in_dim: size of a token.
        out_dim: size of a token after it.
        graph: adjacency, shape (K, K).

    Raises:
        UserError: an unknown option or a bad width.
    """
    check_options(where, options, GCN_OPTIONS)
    hidden = width(where, options, 'hidden_dim', 'hidden_ratio', out_dim)
    return SemGCN(in_dim, out_dim, hidden, graph, num_blocks=options.get('num_blocks', 2))


def build_embed(where: str, options: Mapping[str, Any], in_dim: int) -> nn.Module:
    """A linear projection of each token, after a ScaleNorm if wanted.

    Args:
        where: the block, for messages.
        options: ``dim``, the size after it; ``norm``, ``None`` (default) or ``'scale'``;
            ``bias``, default false.
        in_dim: size of a token.

    Raises:
        UserError: an unknown option or norm, or no size.
    """
    check_options(where, options, ('dim', 'norm', 'bias'))
    norm = options.get('norm')
    if norm not in EMBED_NORMS:
        raise UserError(f'{where}: expected norm to be None or "scale", got {norm!r}.')
    check_counts(where, dim=options.get('dim'))
    linear = nn.Linear(in_dim, options['dim'], bias=options.get('bias', False))
    return linear if norm is None else nn.Sequential(ScaleNorm(in_dim), linear)
