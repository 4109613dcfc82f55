"""Large selective kernel (LSK): each pixel chooses how wide it looks.

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
"""

import torch
from torch import Tensor, nn

from rlepose_ext.errors import UserError


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
