"""Coordinate attention: channel attention that knows where.

Hou et al., *Coordinate Attention for Efficient Mobile Network Design*, CVPR 2021, arXiv
2103.02907, section 3.2.

Squeeze-and-excitation pools a map to one number per channel and forgets the place. Here the
map is pooled along one axis at a time, which leaves a profile along the other (eq. 4, 5):

    z_h[c, y] = mean over x of X[c, y, x]         z_w[c, x] = mean over y of X[c, y, x]

Both profiles go through one shared bottleneck F1 with batch norm and activation, then each
through its own 1 x 1 convolution to a gate between 0 and 1 (eq. 6 to 8):

    f = hardswish(BN(F1([z_h, z_w]))),   g_h = sigmoid(Fh(f_h)),   g_w = sigmoid(Fw(f_w))

    Y[c, y, x] = X[c, y, x] * g_h[c, y] * g_w[c, x]

so a row and a column can be lit up: a cross at a joint, for channels that are heatmaps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlepose_ext.checks import check_counts
from rlepose_ext.errors import UserError


class CoordAttention(nn.Module):
    """Gate a map by its rows and by its columns.

    Convolutions have no bias: 53 parameters at 17 channels, where the bottleneck is one
    channel (17 + 2 + 17 + 17).

    Args:
        channels: C.
        reduction: r. The bottleneck has C / r channels, at least one. Common implementations
            take max(8, C / r), so 8 instead of 1 for 17 channels.

    Raises:
        UserError: no whole number, or one below 1.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        check_counts('CoordAttention', channels=channels, reduction=reduction)
        self.channels = channels
        middle = max(1, channels // reduction)
        self.squeeze = nn.Conv2d(channels, middle, 1, bias=False)
        self.norm = nn.BatchNorm2d(middle)
        self.gate_h = nn.Conv2d(middle, channels, 1, bias=False)
        self.gate_w = nn.Conv2d(middle, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W); every value shrinks towards zero.

        Raises:
            UserError: another number of channels.
        """
        if x.dim() != 4 or x.shape[1] != self.channels:
            raise UserError(
                f'CoordAttention: expected a map of shape (B, {self.channels}, H, W), got '
                f'{tuple(x.shape)}. Set channels to those of the layer before.'
            )
        rows = x.mean(3, keepdim=True)  # (B, C, H, 1)
        columns = x.mean(2, keepdim=True).transpose(2, 3)  # (B, C, W, 1)
        hidden = F.hardswish(self.norm(self.squeeze(torch.cat([rows, columns], dim=2))))
        hidden_h, hidden_w = hidden.split([x.shape[2], x.shape[3]], dim=2)
        gate_h = self.gate_h(hidden_h).sigmoid()
        gate_w = self.gate_w(hidden_w.transpose(2, 3)).sigmoid()
        return x * gate_h * gate_w
