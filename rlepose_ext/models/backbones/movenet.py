"""MoveNet's network up to its heads: MobileNetV2 and a small feature pyramid.

MoveNet has no paper. It is CenterNet (Zhou et al., *Objects as Points*, arXiv 1904.07850) on
MobileNetV2 (Sandler et al., CVPR 2018), and published as weights: Google's model cards of MoveNet
single pose (Lightning, Thunder) and of MoveNet MultiPose. The network goes down to 1/32 of the
picture and comes back to 1/4, where the heads are:

    picture -- stem, blocks ----.--------.--------.--------------- 1x1, 1280
                              1/4      1/8      1/16                 1/32
                               |        |        |                    |
                             1x1      1x1      1x1                  1x1
                               |        |        |                    |
        1/4, 24 <-- sep <-- (+)  <- sep <- (+) <- sep <- (+) <-- up --'
                         24 up       32 up       64

``sep`` is a depthwise 3x3 convolution without bias, a 1x1 convolution, batch norm and ReLU; ``up``
doubles the resolution bilinearly.

Three things differ from MMPose's ``MobileNetV2``, whose names the layers keep:

- A 3x3 convolution of stride 2 has its padding right and below only, as TensorFlow's ``SAME`` has
  for even sizes. MMPose's pads both sides: its pixels lie half a step elsewhere.
- The last convolution keeps 1280 channels at any width.
- Weights whose batch norm is folded into the convolutions, as Google's are, load into a network
  with batch norm: see :mod:`rlepose_ext.models.layers.folded_batch_norm`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmpose.models.backbones import MobileNetV2
from torch import Tensor, nn

from rlepose_ext.checks import check_choice, check_counts
from rlepose_ext.errors import UserError
from rlepose_ext.models.layers.folded_batch_norm import accept_folded
from rlepose_ext.registry import MODELS

# MobileNetV2's width multiplier.
WIDTHS = {'lightning': 1.0, 'multipose': 1.5, 'thunder': 1.75}
LAST_CHANNELS = 1280
STRIDE = 32


class PaddedConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 2, padded by one pixel right and below, none left and above."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to (N, out, H / 2, W / 2), H and W even."""
        return super().forward(F.pad(x, (0, 1, 0, 1)))


@MODELS.register_module()
class MoveNetBackbone(MobileNetV2):
    """MobileNetV2 as MoveNet has it.

    Folded, 2,206,816 parameters (Lightning), 4,603,624 (MultiPose), 6,110,664 (Thunder).

    Args:
        arch: ``'lightning'``, ``'multipose'`` or ``'thunder'``: width 1, 1.5 or 1.75.
        out_indices: which maps to give: 0 to 6 for the groups of blocks, at 1/2, 1/4, 1/8, 1/16,
            1/16, 1/32 and 1/32, 7 for the 1280 channels at 1/32. :class:`MoveNetFPN` takes
            (1, 2, 3, 7), a regression head (7,).
        norm_cfg: ``dict(type='BN')`` to train; ``None`` for convolutions with a bias.
        **kwargs: further arguments of MMPose's ``MobileNetV2``: ``frozen_stages``,
            ``norm_eval``, ``init_cfg``, ...

    Raises:
        UserError: another name, or pictures whose sides are no multiples of 32.
    """

    def __init__(
        self,
        arch: str,
        out_indices: Sequence[int] = (1, 2, 3, 7),
        norm_cfg: dict | None = {'type': 'BN'},  # noqa: B006 (MMPose copies it)
        **kwargs: Any,
    ) -> None:
        check_choice('MoveNetBackbone', 'arch', arch, WIDTHS)
        super().__init__(WIDTHS[arch], out_indices=out_indices, norm_cfg=norm_cfg, **kwargs)
        for module in list(self.modules()):
            if isinstance(module, ConvModule) and module.conv.stride == (2, 2):
                module.conv = _padded(module.conv)
        self.out_channel = LAST_CHANNELS
        self.conv2 = ConvModule(
            self.in_channels, LAST_CHANNELS, 1, norm_cfg=norm_cfg, act_cfg=self.act_cfg
        )
        accept_folded(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of a picture (N, 3, H, W), those of ``out_indices``."""
        height, width = x.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise UserError(
                f'MoveNetBackbone: expected pictures whose sides are multiples of {STRIDE}, got '
                f'{width} x {height}. Set input_size of the codec and of the pipelines to '
                'multiples, or pad the picture.'
            )
        return super().forward(x)

    def train(self, mode: bool = True) -> MoveNetBackbone:
        """Frozen stages, and with ``norm_eval`` all normalisation, stay in eval mode."""
        super().train(mode)
        return self  # MMPose's method returns nothing


@MODELS.register_module()
class MoveNetFPN(BaseModule):
    """The way back from 1/32 to 1/4.

    Folded, 92,352 parameters (Lightning), 95,296 (MultiPose), 96,576 (Thunder).

    Args:
        in_channels: of the maps at 1/4, 1/8, 1/16 and 1/32: (24, 32, 64, 1280) for Lightning,
            (40, 48, 96, 1280) for MultiPose, (40, 56, 112, 1280) for Thunder.
        widths: of the maps that are added, in the same order; the first is the width of the
            result.
        norm_cfg: ``dict(type='BN')`` to train; ``None`` for convolutions with a bias.
        init_cfg: by default what torch draws.

    Raises:
        UserError: widths are no counts, or there are not as many as maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        widths: Sequence[int] = (24, 32, 64, 64),
        norm_cfg: dict | None = {'type': 'BN'},  # noqa: B006 (not changed)
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != len(widths) or len(widths) < 2:
            raise UserError(
                f'MoveNetFPN: expected a width for each of two or more maps, got in_channels '
                f'{tuple(in_channels)} and widths {tuple(widths)}.'
            )
        for channels, width in zip(in_channels, widths, strict=True):
            check_counts('MoveNetFPN', in_channels=channels, widths=width)
        if widths[-1] != widths[-2]:
            raise UserError(
                'MoveNetFPN: the two coarsest maps are added as they are and need the same '
                f'width, got {tuple(widths)}.'
            )
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, width, 1)
            for channels, width in zip(in_channels, widths, strict=True)
        )
        finer = (widths[0], *widths[:-2])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
                ConvModule(width, out, 1, norm_cfg=norm_cfg),
            )
            for width, out in zip(widths[:-1], finer, strict=True)
        )
        accept_folded(self)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor]:
        """Maps at 1/4, 1/8, 1/16, 1/32 to one (N, widths[0], H / 4, W / 4)."""
        x = self.laterals[-1](feats[-1])
        for i in reversed(range(len(self.blocks))):
            x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
            x = self.blocks[i](x + self.laterals[i](feats[i]))
        return (x,)


@MODELS.register_module()
class MoveNetFeatures(MoveNetFPN):
    """What the network knows as one vector, for heads that regress coordinates.

    The average of the coarsest map says what is to be seen. Where, the pyramid's fine map says,
    averaged over cells of a grid. Its weights are those of :class:`MoveNetFPN`.

    Args:
        in_channels: as of :class:`MoveNetFPN`.
        cells: of the grid along each side; the vector has ``in_channels[-1] + widths[0] *
            cells ** 2`` values.
        **kwargs: further ones of :class:`MoveNetFPN`.
    """

    def __init__(self, in_channels: Sequence[int], cells: int = 8, **kwargs: Any) -> None:
        super().__init__(in_channels, **kwargs)
        check_counts('MoveNetFeatures', cells=cells)
        self.cells = cells

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor]:
        """Maps at 1/4, 1/8, 1/16, 1/32 to one vector (N, C)."""
        (fine,) = super().forward(feats)
        parts = feats[-1].mean((2, 3)), F.adaptive_avg_pool2d(fine, self.cells).flatten(1)
        return (torch.cat(parts, 1),)


def _padded(conv: nn.Conv2d) -> PaddedConv2d:
    """The same convolution of stride 2, not drawn yet, with the other padding."""
    return PaddedConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        groups=conv.groups,
        bias=conv.bias is not None,
    )
