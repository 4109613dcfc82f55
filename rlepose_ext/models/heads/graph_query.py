"""The query of a cross-attention over joint tokens, made by a graph network."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from rlepose_ext.checks import check_counts
from rlepose_ext.errors import UserError
from rlepose_ext.models.layers.build import build_gcn, check_options

QUERY_OPTIONS = ('source', 'in_channels', 'downscale', 'hidden_dim', 'num_blocks')


class GraphQuery(nn.Module):
    """The query of a cross-attention: a graph network over tokens of some map.

    ``Q = SemGCN(flatten(Conv1x1(map)))``, one vector of s numbers per joint. The head's own
    tokens are taken as they are (``source='head'``), without the convolution.

    Args:
        options: ``source``: ``'head'``, or the index of a map among the features that the
            head is given; for a map its ``in_channels``, and ``downscale`` (default 1), how
            many times smaller than the head's own map it is; ``hidden_dim``, ``num_blocks``
            of the graph network.
        num_joints: K.
        map_size: width and height of the head's own map.
        key_dim: s of the gated attention unit.
        graph: adjacency, shape (K, K).

    Raises:
        UserError: an unknown option or source, or a map that cannot be that much smaller.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        num_joints: int,
        map_size: tuple[int, int],
        key_dim: int,
        graph: Tensor,
    ) -> None:
        super().__init__()
        check_options('query', options, QUERY_OPTIONS)
        gcn = {key: options[key] for key in ('hidden_dim', 'num_blocks') if key in options}
        self.source = options.get('source')
        self.conv = None
        width, height = map_size
        if self.source != 'head':
            index = isinstance(self.source, int) and not isinstance(self.source, bool)
            if not index or self.source == -1 or 'in_channels' not in options:
                raise UserError(
                    "query: expected source='head', or source=INDEX of a feature map before the "
                    f"last one, the head's own, with its in_channels; got {dict(options)!r}."
                )
            downscale = options.get('downscale', 1)
            check_counts('query', in_channels=options['in_channels'], downscale=downscale)
            if width % downscale or height % downscale:
                raise UserError(
                    f'query: the map of {width} x {height} cannot be {downscale} times smaller. '
                    'Choose an input size whose sides are multiples of the stride of that map.'
                )
            width, height = width // downscale, height // downscale
            self.conv = nn.Conv2d(options['in_channels'], num_joints, 1)
        elif {'in_channels', 'downscale'} & set(options):
            raise UserError("query: source='head' takes neither in_channels nor downscale.")
        self.map_shape = (height, width)
        self.gcn = build_gcn('query', gcn, width * height, key_dim, graph)

    def forward(self, feats: Sequence[Tensor], tokens: Tensor) -> Tensor:
        """Make the query.

        Args:
            feats: what the head was given.
            tokens: the head's own flattened maps, shape (B, K, hw).

        Returns:
            Shape (B, K, s).

        Raises:
            UserError: there is no such map, or it has another shape.
        """
        if self.conv is None:
            return self.gcn(tokens)
        if not -len(feats) <= self.source < len(feats) - 1:
            raise UserError(
                f'query: expected a map at index {self.source} before the last one, got '
                f'{len(feats)} map(s). Add its name to taps of the backbone.'
            )
        feature = feats[self.source]
        expected = (self.conv.in_channels, *self.map_shape)
        check_map('query', feature, expected, 'in_channels, downscale of the query')
        return self.gcn(self.conv(feature).flatten(2))


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
            f'{tuple(feature.shape[1:])}. A token is a flattened map, so the weights belong to '
            f'one input size: set codec.input_size and {options} together.'
        )
