"""Attention between backbone and head: units that choose how wide to look.

Large selective kernel (LSK): each pixel chooses how wide it looks.

Li, Hou, Zheng, Cheng, Yang, Li, *Large Selective Kernel Network for Remote Sensing Object
Detection*, ICCV 2023, arXiv 2303.09030, sections 3.2 and 3.3.

A large kernel is taken apart into two depthwise convolutions in a row, 5x5 and then 7x7 with
dilation 3. The second one sees 5 + 3 * (7 - 1) = 23 px, for 25 + 49 weights per channel
instead of 529. Of the input X with C channels,

    U1 = dw5(X),   U2 = dw7(U1)                       views of 5 and 23 px
    V_i = W_i U_i                                     1x1, C to C/2, i = 1, 2
    V = [V1; V2]
    A = sigmoid(F([mean_c V; max_c V]))               7x7 convolution F, 2 to 2 channels
    S = W (A1 . V1 + A2 . V2)                         1x1, C/2 to C
    Y = X . S                                         products per element

A has one value per pixel and view and none per channel: the choice is spatial. The two
values are not competitors as in a softmax, both views may be wanted or neither.

Selective kernel (SK): each channel chooses how wide it looks.

Li, Wang, Hu, Yang, *Selective Kernel Networks*, CVPR 2019, arXiv 1903.06586, section 3.1.

Two branches see the input at two scales, 3x3 px and, by dilation 2, 5x5 px. What the whole
image looks like decides how each channel mixes them. With C channels and r = 16, L = 32,

    U1 = relu(bn(conv3(X))),  U2 = relu(bn(conv3_dilated(X)))        split
    U  = U1 + U2                                                     eq. 1
    s  = mean of U over the pixels, C values                         eq. 2
    z  = relu(bn(W s)), d values                                     eq. 3
    d  = max(C / r, L)                                               eq. 4
    a_i = exp(A_i z) / (exp(A_1 z) + exp(A_2 z)), C values           eq. 5
    V  = a_1 . U1 + a_2 . U2                                         eq. 6

with eq. 5 and 6 per channel: a_1 + a_2 = 1 for each. The weights are the same for all
pixels; the choice per pixel is that of the large selective kernel.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS

REDUCTION = 16
SMALLEST_HIDDEN = 32
DILATIONS = (1, 2)


def spatial_summary(x: Tensor) -> Tensor:
    """Mean and maximum over the channels, shape (N, C, H, W) to (N, 2, H, W)."""
    return torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)


def gated_sum(maps: list[Tensor], gates: Tensor) -> Tensor:
    """Add maps up, each weighted per pixel.

    Args:
        maps: M maps of shape (N, C, H, W).
        gates: shape (N, M, H, W).

    Returns:
        ``sum_i gates[:, i] * maps[i]``, shape (N, C, H, W).
    """
    return sum(gate * m for gate, m in zip(gates.split(1, dim=1), maps, strict=True))


class LargeSelectiveKernel(nn.Module):
    """The LSK unit; 1.5 C^2 + 78 C + 198 parameters.

    Args:
        channels: width C of input and output, an even number.

    Raises:
        UserError: ``channels`` is not a positive even number.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if not isinstance(channels, int) or channels < 2 or channels % 2:
            raise UserError(
                'LargeSelectiveKernel: each of the two views has half of the channels, so their '
                f'number must be positive and even, got {channels!r}'
            )
        half = channels // 2
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.reduce_near = nn.Conv2d(channels, half, 1)
        self.reduce_far = nn.Conv2d(channels, half, 1)
        self.gate = nn.Conv2d(2, 2, 7, padding=3)
        self.expand = nn.Conv2d(half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to the same."""
        near = self.near(x)
        views = [self.reduce_near(near), self.reduce_far(self.far(near))]
        gates = self.gate(spatial_summary(torch.cat(views, dim=1))).sigmoid()
        return x * self.expand(gated_sum(views, gates))


def select_per_channel(branches: list[Tensor], logits: list[Tensor]) -> Tensor:
    """Mix branches with weights that sum to one per channel (eq. 5 and 6).

    Args:
        branches: U_i, each of shape (N, C, H, W).
        logits: A_i z, each of shape (N, C).

    Returns:
        V, shape (N, C, H, W).
    """
    weights = torch.stack(logits).softmax(dim=0)[..., None, None]
    return sum(weight * branch for weight, branch in zip(weights, branches, strict=True))


class SelectiveKernel(nn.Module):
    """The SK unit.

    With g groups it has 18 C^2 / g + 3 C d + 6 C + 2 d parameters, where d = max(C / 16, 32).

    Args:
        channels: width C of input and output.
        groups: of the two convolutions; the paper has 32.

    Raises:
        UserError: ``channels`` is not a positive multiple of ``groups``.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        numbers = isinstance(channels, int) and isinstance(groups, int)
        if not numbers or channels < 1 or groups < 1 or channels % groups:
            raise UserError(
                'SelectiveKernel: channels must be a positive multiple of groups, got '
                f'channels={channels!r}, groups={groups!r}'
            )
        hidden = max(channels // REDUCTION, SMALLEST_HIDDEN)
        self.branches = nn.ModuleList(_branch(channels, d, groups) for d in DILATIONS)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.norm = nn.BatchNorm1d(hidden)
        self.select = nn.ModuleList(nn.Linear(hidden, channels) for _ in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to the same.

        Raises:
            UserError: one image only while training; eq. 3 normalises over the batch. One
                image for each process is enough for synchronised batch norm.
        """
        alone = not isinstance(self.norm, nn.SyncBatchNorm)
        if alone and self.norm.training and x.shape[0] == 1:
            raise UserError(
                'SelectiveKernel normalises over the batch and cannot train on a single image: '
                'use a batch size of at least 2, and drop_last=True if the last batch has 1'
            )
        branches = [branch(x) for branch in self.branches]
        summary = sum(branches).mean(dim=(2, 3))
        hidden = self.norm(self.squeeze(summary)).relu()
        return select_per_channel(branches, [layer(hidden) for layer in self.select])


def _branch(channels: int, dilation: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            channels, channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=False
        ),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


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


@MODELS.register_module()
class LSKNeck(AttentionNeck):
    """A :class:`LargeSelectiveKernel` on the last map, or on every map.

    Args:
        in_channels: as for :class:`AttentionNeck`.
        init_cfg: initialisation, default: torch's own.

    Raises:
        UserError: ``in_channels`` is empty or has an odd number.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, LargeSelectiveKernel, init_cfg)


@MODELS.register_module()
class SKNeck(AttentionNeck):
    """A :class:`SelectiveKernel` on the last map, or on every map.

    Args:
        in_channels: as for :class:`AttentionNeck`.
        groups: groups of the units' convolutions.
        init_cfg: initialisation, default: torch's own.

    Raises:
        UserError: ``in_channels`` is empty or no multiple of ``groups``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        groups: int = 1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, partial(SelectiveKernel, groups=groups), init_cfg)
