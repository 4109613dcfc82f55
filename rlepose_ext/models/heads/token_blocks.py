"""The blocks that a config puts between the maps of the joints and their classifiers.

A *token* is what the head knows of one joint: its flattened map of h * w numbers, or a projection
of it. A block maps tokens (B, K, d) to tokens (B, K, d'), and a head is a list of blocks:

    blocks=[
        dict(type='ScaleNormLinear', dim=512),
        dict(type='GAU', expansion_dim=3072, attention='softmax_plus'),
        dict(type='SemGCN', hidden_dim=512),
    ]

Each block is registered in :data:`TOKEN_BLOCKS`. Its first argument, ``tokens``, comes from the
block before it; the others are the options of its config, and no other option is accepted.

The size of a token follows from the input size: 48 x 64 = 3072 at 192 x 256 px, 256 at 64 x 64 px.
Widths are therefore given either as numbers (``expansion_dim``, ``hidden_dim``) or as multiples
(``expansion``, times the token; ``hidden_ratio``, times the output), which follow the input size.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.registry import Registry
from torch import Tensor, nn

from rlepose_ext.checks import check_arguments, check_counts, width
from rlepose_ext.errors import UserError
from rlepose_ext.models.layers.coord_attention import CoordAttention
from rlepose_ext.models.layers.gated_attention import GatedAttentionUnit, ScaleNorm
from rlepose_ext.models.layers.sem_gcn import SemGCN
from rlepose_ext.models.layers.skeleton import Skeleton, skeleton_graph

TOKEN_BLOCKS = Registry('token block', scope='rlepose_ext')


class Tokens(NamedTuple):
    """What a block has to know of the tokens that it is given.

    Attributes:
        num_joints: K.
        dim: d, numbers of a token.
        out_dim: size of a token after the block, unless its options say otherwise.
        map_size: width and height of the head's maps, heatmap px.
        skeleton: name or edges, for graph networks.
    """

    num_joints: int
    dim: int
    out_dim: int
    map_size: tuple[int, int]
    skeleton: Skeleton

    @property
    def map_dim(self) -> int:
        """Numbers of a flattened map."""
        return self.map_size[0] * self.map_size[1]


def build_block(where: str, config: Mapping[str, Any], tokens: Tokens) -> nn.Module:
    """Build one block; its ``out_dim`` says how large its tokens are.

    Args:
        where: option of the head, for messages.
        config: ``type``, a name in :data:`TOKEN_BLOCKS`, and the options of that block.
        tokens: what the block is given.

    Raises:
        UserError: no dict with a known ``type``, or an option that the block does not have.
    """
    name = config.get('type') if isinstance(config, Mapping) else None
    block = TOKEN_BLOCKS.module_dict.get(name)
    if block is None:
        raise UserError(
            f'{where}: expected a dict with type, one of {sorted(TOKEN_BLOCKS.module_dict)}, got '
            f'{config!r}.'
        )
    options = {key: value for key, value in config.items() if key != 'type'}
    check_arguments(f'{where}: {name}', block, tokens, **options)
    return block(tokens, **options)


def build_blocks(where: str, configs: Sequence[Mapping[str, Any]], tokens: Tokens) -> nn.ModuleList:
    """Build blocks in a row, each for the tokens of the one before; arguments as above."""
    if not isinstance(configs, Sequence) or isinstance(configs, str):
        raise UserError(f'{where}: expected a list of blocks, dict(type=...), got {configs!r}.')
    blocks = nn.ModuleList()
    for i, config in enumerate(configs):
        blocks.append(build_block(f'{where}[{i}]', config, tokens))
        tokens = tokens._replace(dim=blocks[-1].out_dim, out_dim=blocks[-1].out_dim)
    return blocks


@TOKEN_BLOCKS.register_module(name='Linear')
class TokenLinear(nn.Linear):
    """One linear layer for all joints.

    Args:
        tokens: see :class:`Tokens`.
        dim: size of a token after it.
        bias: add a bias.
    """

    def __init__(self, tokens: Tokens, dim: int | None = None, bias: bool = True) -> None:
        self.out_dim = tokens.out_dim if dim is None else dim
        check_counts('Linear', dim=self.out_dim)
        super().__init__(tokens.dim, self.out_dim, bias=bias)

    def forward(self, x: Tensor, sources: Sequence[Tensor] = ()) -> Tensor:
        """(B, K, d) to (B, K, dim)."""
        return super().forward(x)


@TOKEN_BLOCKS.register_module()
class ScaleNormLinear(nn.Sequential):
    """A ScaleNorm, then a linear layer for all joints.

    Args:
        tokens: see :class:`Tokens`.
        dim: size of a token after it.
        bias: add a bias.
    """

    def __init__(self, tokens: Tokens, dim: int, bias: bool = False) -> None:
        super().__init__(ScaleNorm(tokens.dim), TokenLinear(tokens, dim, bias))
        self.out_dim = dim

    def forward(self, x: Tensor, sources: Sequence[Tensor] = ()) -> Tensor:
        """(B, K, d) to (B, K, dim)."""
        return super().forward(x)


@TOKEN_BLOCKS.register_module(name='CoordAttention')
class TokenCoordAttention(CoordAttention):
    """:class:`CoordAttention` over the maps; tokens must still be flattened maps.

    Args:
        tokens: see :class:`Tokens`.
        reduction: see there.
    """

    def __init__(self, tokens: Tokens, reduction: int = 16) -> None:
        if tokens.dim != tokens.map_dim:
            raise UserError(
                f'CoordAttention: expected flattened maps, tokens of {tokens.map_dim} numbers, got '
                f'{tokens.dim}. Put it before the first block that changes their size.'
            )
        super().__init__(tokens.num_joints, reduction)
        self.out_dim = tokens.dim
        self.map_shape = tokens.map_size[::-1]

    def forward(self, x: Tensor, sources: Sequence[Tensor] = ()) -> Tensor:
        """Keep the shape (B, K, hw)."""
        return super().forward(x.unflatten(2, self.map_shape)).flatten(2)


@TOKEN_BLOCKS.register_module(name='SemGCN')
class TokenSemGCN(SemGCN):
    """:class:`SemGCN` over the skeleton of the head.

    Args:
        tokens: see :class:`Tokens`.
        hidden_dim: features in between, or
        hidden_ratio: the same as a multiple of the output.
        num_blocks: how many residual pairs.
        out_dim: size of a token after it; ``'map'``: that of a flattened map.
    """

    def __init__(
        self,
        tokens: Tokens,
        hidden_dim: int | None = None,
        hidden_ratio: float | None = None,
        num_blocks: int = 2,
        out_dim: int | str | None = None,
    ) -> None:
        out_dim = {None: tokens.out_dim, 'map': tokens.map_dim}.get(out_dim, out_dim)
        check_counts('SemGCN', out_dim=out_dim)
        hidden = width('SemGCN', out_dim, hidden_dim=hidden_dim, hidden_ratio=hidden_ratio)
        graph = skeleton_graph(tokens.skeleton, tokens.num_joints)
        super().__init__(tokens.dim, out_dim, hidden, graph, num_blocks)
        self.out_dim = out_dim

    def forward(self, x: Tensor, sources: Sequence[Tensor] = ()) -> Tensor:
        """(B, K, d) to (B, K, out_dim)."""
        return super().forward(x)


@TOKEN_BLOCKS.register_module(name='GAU')
class TokenGAU(GatedAttentionUnit):
    """:class:`GatedAttentionUnit` over the joints.

    Args:
        tokens: see :class:`Tokens`.
        **options: arguments of :class:`GatedAttentionUnit` after ``dim``.
    """

    def __init__(self, tokens: Tokens, **options: Any) -> None:
        check_arguments('GAU', GatedAttentionUnit, tokens.dim, **options)
        super().__init__(tokens.dim, **options)
        self.out_dim = tokens.dim

    def forward(self, x: Tensor, sources: Sequence[Tensor] = ()) -> Tensor:
        """Keep the shape (B, K, d)."""
        return super().forward(x)


@TOKEN_BLOCKS.register_module()
class CrossGAU(TokenGAU):
    """A gated attention unit whose query is a graph network over another map.

        Q = SemGCN(flatten(Conv1x1(map)))                               (B, K, key_dim)

    U, V and K come from the tokens. The head's own flattened maps, before any block, are taken
    as they are, without the convolution.

    Args:
        tokens: see :class:`Tokens`.
        query: options of :class:`GraphQuery`: ``source``, ``in_channels``, ``downscale``,
            ``hidden_dim``, ``num_blocks``.
        key_dim: s of the unit, and the size of the query.
        **options: as for ``GAU``.
    """

    def __init__(self, tokens: Tokens, query: dict, key_dim: int = 128, **options: Any) -> None:
        super().__init__(tokens, key_dim=key_dim, external_query=True, **options)
        check_arguments('CrossGAU: query', GraphQuery, tokens, key_dim, **query)
        self.query = GraphQuery(tokens, key_dim, **query)

    def forward(self, x: Tensor, sources: Sequence[Tensor] = ()) -> Tensor:
        """Keep the shape (B, K, d).

        Args:
            x: tokens.
            sources: feature maps before the head's own, then the head's flattened maps.
        """
        return GatedAttentionUnit.forward(self, x, self.query(sources))


class GraphQuery(nn.Module):
    """The query of :class:`CrossGAU`.

    Args:
        tokens: see :class:`Tokens`.
        key_dim: size of the query.
        source: ``'head'``, or the index of a map among the features that the head is given.
        in_channels: of that map.
        downscale: how many times smaller than the head's own map it is.
        hidden_dim: of the graph network.
        num_blocks: of the graph network.

    Raises:
        UserError: no such source, or a map that cannot be that much smaller.
    """

    def __init__(
        self,
        tokens: Tokens,
        key_dim: int,
        source: int | str,
        in_channels: int | None = None,
        downscale: int = 1,
        hidden_dim: int | None = None,
        num_blocks: int = 2,
    ) -> None:
        super().__init__()
        width, height = tokens.map_size
        self.source = source
        self.conv = None
        check_counts('CrossGAU: query', downscale=downscale)
        if source != 'head':
            if not isinstance(source, int) or source == -1 or in_channels is None:
                raise UserError(
                    "CrossGAU: query: expected source='head', or source=INDEX of a feature map "
                    "before the last one, the head's own, with its in_channels; got "
                    f'source={source!r}, in_channels={in_channels!r}.'
                )
            check_counts('CrossGAU: query', in_channels=in_channels)
            if width % downscale or height % downscale:
                raise UserError(
                    f'CrossGAU: query: the map of {width} x {height} cannot be {downscale} times '
                    'smaller. Choose an input size whose sides are multiples of its stride.'
                )
            width, height = width // downscale, height // downscale
            self.conv = nn.Conv2d(in_channels, tokens.num_joints, 1)
        elif in_channels is not None or downscale != 1:
            raise UserError(
                "CrossGAU: query: source='head' takes neither in_channels nor downscale."
            )
        self.map_shape = (height, width)
        of = tokens._replace(dim=width * height, out_dim=key_dim)
        self.gcn = TokenSemGCN(of, hidden_dim, num_blocks=num_blocks)

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """Make the query, shape (B, K, key_dim).

        Args:
            sources: feature maps before the head's own, then the head's flattened maps.

        Raises:
            UserError: there is no such map, or it has another shape.
        """
        if self.conv is None:
            return self.gcn(sources[-1])
        if not -len(sources) <= self.source < len(sources) - 1:
            raise UserError(
                f'CrossGAU: query: expected a map at index {self.source} before the last one, got '
                f'{len(sources)} map(s). Add its name to taps of the backbone.'
            )
        feature = sources[self.source]
        expected = (self.conv.in_channels, *self.map_shape)
        check_map('CrossGAU: query', feature, expected, 'in_channels, downscale of the query')
        return self.gcn(self.conv(feature).flatten(2))


@TOKEN_BLOCKS.register_module()
class Parallel(nn.Module):
    """Blocks side by side on the same tokens; their outputs are added.

    Args:
        tokens: see :class:`Tokens`.
        blocks: their configs.
    """

    def __init__(self, tokens: Tokens, blocks: Sequence[dict]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            build_block(f'Parallel: blocks[{i}]', block, tokens) for i, block in enumerate(blocks)
        )
        sizes = {block.out_dim for block in self.blocks}
        if len(sizes) != 1:
            raise UserError(
                f'Parallel: expected blocks with tokens of one size, got {sorted(sizes)}.'
            )
        self.out_dim = sizes.pop()

    def forward(self, x: Tensor, sources: Sequence[Tensor] = ()) -> Tensor:
        """(B, K, d) to (B, K, out_dim)."""
        return sum(block(x, sources) for block in self.blocks)


def check_map(where: str, feature: Tensor, expected: tuple[int, int, int], options: str) -> None:
    """Refuse a feature map that the weights do not fit.

    Args:
        where: who was given it.
        feature: shape (B, C, h, w).
        expected: C, h, w.
        options: names of the options that state it.

    Raises:
        UserError: another shape.
    """
    if tuple(feature.shape[1:]) != expected:
        raise UserError(
            f'{where}: expected a map of (channels, height, width) {expected}, got '
            f'{tuple(feature.shape[1:])}. Tokens are made of whole maps or patches, so the weights '
            f'belong to one input size: set codec.input_size and {options} together.'
        )
