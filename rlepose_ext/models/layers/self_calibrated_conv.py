"""Self-calibrated convolution: half of the channels decide with a wider view what to keep.

Liu, Hou, Cheng, Wang, Feng, *Improving Convolutional Networks with Self-Calibrated
Convolutions*, CVPR 2020, section 3.2.

A 3x3 convolution sees 3x3 pixels of its input. Here the input is split into two halves X1
and X2 of equal width. X2 goes through a plain 3x3 convolution K1 and keeps the details:

    Y2 = X2 * K1

X1 is looked at twice, at its own resolution and shrunk by r = 4, where a 3x3 convolution
covers 12x12 pixels. The shrunk view becomes a gate for the other one:

    T1  = AvgPool_r(X1)
    X1' = Up(T1 * K2)
    Y1' = (X1 * K3) . sigmoid(X1 + X1')             (a product per element)
    Y1  = Y1' * K4

and Y = [Y2, Y1] has as many channels as the input. Each K has a quarter of the weights of
the 3x3 convolution that all channels together would need, so the whole has as many as that
one, while its view is wider and depends on the image.

This file has the calibrated half, X1 to Y1. The plain half is one convolution, and belongs
to the block (:mod:`rlepose_ext.models.backbones.scnet`). Each convolution has batch
normalisation behind it, that of K4 and K1 also ReLU.

The paper enlarges bilinearly. The authors' code and MMPose, whose weights load here, take
the nearest pixel, and so does this.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

POOLING = 4


def self_calibrate(x: Tensor, content: Tensor, context: Tensor) -> Tensor:
    """Gate the content with what a wider view says: Y1' from X1, X1 * K3 and T1 * K2.

    Args:
        x: input X1, shape (N, C, H, W).
        content: X1 * K3, shape (N, C, H, W).
        context: T1 * K2, shape (N, C, h, w) with h <= H, w <= W.

    Returns:
        ``content . sigmoid(x + Up(context))``, shape (N, C, H, W).
    """
    gate = torch.sigmoid(x + F.interpolate(context, size=x.shape[-2:], mode='nearest'))
    return content * gate


class PoolBlocks(nn.Module):
    """Mean over blocks of ``size`` x ``size`` px.

    Columns and rows that do not fill a block are left out, as in MMPose. A map smaller than
    a block, where MMPose's layer fails, is one block: 64x64 images leave 2x2 px at the end.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to (N, C, max(H // size, 1), max(W // size, 1))."""
        return F.avg_pool2d(x, [min(self.size, side) for side in x.shape[-2:]])


class SelfCalibratedConv(nn.Module):
    """The calibrated half X1 -> Y1; 27 C^2 weights and 6 C of batch normalisation.

    Layers are named as in the paper, which is also MMPose's naming: ``k2``, ``k3``, ``k4``.

    Args:
        channels: width C of X1 and Y1.
        stride: of K4; the gate works at the input's resolution.
        norm_cfg: normalisation layers.
    """

    def __init__(self, channels: int, stride: int, norm_cfg: dict) -> None:
        super().__init__()
        self.k2 = nn.Sequential(PoolBlocks(POOLING), *conv3x3(channels, 1, norm_cfg))
        self.k3 = nn.Sequential(*conv3x3(channels, 1, norm_cfg))
        self.k4 = nn.Sequential(*conv3x3(channels, stride, norm_cfg), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        return self.k4(self_calibrate(x, self.k3(x), self.k2(x)))


def conv3x3(channels: int, stride: int, norm_cfg: dict) -> tuple[nn.Module, nn.Module]:
    """A 3x3 convolution that keeps the width, and its normalisation."""
    conv = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
    return conv, build_norm_layer(norm_cfg, channels)[1]
