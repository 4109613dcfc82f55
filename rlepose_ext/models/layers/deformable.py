"""Layers that look where they are told to: at a point of each cell's own, or around it.

Both compute in float32 under autocast: half precision knows positions of 100 px to 1/16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor itself, or in float32 where it has less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def sample_at(feature: Tensor, points: Tensor) -> Tensor:
    """Read features at a point of each cell's own, by bilinear interpolation.

    Outside of the map the nearest value of its border is read.

    Args:
        feature: (N, C, H, W).
        points: from each cell to its point, x and y in heatmap px, (N, 2, H, W).

    Returns:
        (N, C, H, W) float32, or float64 for such.
    """
    feature = at_least_float32(feature)
    height, width = feature.shape[-2:]
    x, y = points.to(feature.dtype).unbind(1)
    kind = {'device': feature.device, 'dtype': feature.dtype}
    x = x + torch.arange(width, **kind)
    y = y + torch.arange(height, **kind)[:, None]
    # from -1 at the first cell to 1 at the last
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], -1)
    return functional.grid_sample(feature, grid, padding_mode='border', align_corners=True)


class ModulatedDeformConv(nn.Module):
    """Deformable 3x3 convolution that finds its own offsets and weights (DCNv2).

    It begins as a plain convolution with half of its weights: offsets 0, factors sigmoid(0).
    Computed in float32, also under autocast.

    Args:
        channels: that go in and come out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        plain = nn.Conv2d(channels, channels, 3)
        self.weight, self.bias = plain.weight, plain.bias
        self.conv_offset_mask = nn.Conv2d(channels, 3 * 9, 3, padding=1)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        # not above: torchvision loads torch's compiler, and most models do without
        from torchvision.ops import deform_conv2d

        found = self.conv_offset_mask(x).to(self.weight.dtype)
        offset, mask = found[:, :18], found[:, 18:].sigmoid()
        x = x.to(self.weight.dtype)
        return deform_conv2d(x, offset, self.weight, self.bias, padding=1, mask=mask)
