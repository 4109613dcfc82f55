"""What the attention necks share: which maps get a unit, and which pass unchanged."""

from collections.abc import Callable, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from rlepose_ext.errors import UserError


class AttentionNeck(BaseModule):
    """Runs units that keep a map's shape, between backbone and head.

    Args:
        in_channels: a number: the channels of the last map, which alone gets a unit. A list:
            the channels of every map, and each gets a unit of its own.
        unit: makes a module that maps (N, channels, H, W) to the same shape, from the channels.
        init_cfg: initialisation, default: torch's own.

    Raises:
        UserError: an empty list, or a number of channels that the unit cannot have.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        unit: Callable[[int], nn.Module],
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.only_last = not isinstance(in_channels, Sequence)
        self.in_channels = (in_channels,) if self.only_last else tuple(in_channels)
        if not self.in_channels:
            raise UserError(f'{type(self).__name__}: in_channels is an empty list')
        self.units = nn.ModuleList(unit(channels) for channels in self.in_channels)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run the units.

        Args:
            feats: maps of the backbone, each of shape (N, C_i, H_i, W_i).

        Returns:
            As many maps of the same shapes.

        Raises:
            UserError: the maps have another number or other channels than ``in_channels``.
        """
        first = len(feats) - 1 if self.only_last else 0
        channels = tuple(feat.shape[1] for feat in feats[first:])
        if channels != self.in_channels:
            what = 'the last map has' if self.only_last else 'the maps have'
            raise UserError(
                f'{type(self).__name__}: {what} {_list(channels)} channels, expected '
                f'{_list(self.in_channels)}; in_channels must fit the backbone'
            )
        units = zip(self.units, feats[first:], strict=True)
        return (*feats[:first], *(unit(feat) for unit, feat in units))


def _list(numbers: Sequence[int]) -> str:
    return ', '.join(map(str, numbers)) or 'no'
