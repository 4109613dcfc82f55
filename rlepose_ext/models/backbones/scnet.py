"""SCNet: ResNet whose 3x3 convolutions are self-calibrated.

Liu et al., *Improving Convolutional Networks with Self-Calibrated Convolutions*, CVPR 2020.
Around the convolution stays ResNet: the stem, four stages of bottlenecks, the shortcuts (He et al.,
CVPR 2016).

A bottleneck of ResNet narrows to C = out/4 channels by a 1x1 convolution, runs a 3x3
convolution, and widens again. Here the narrowing *is* the split of the self-calibrated
convolution, two 1x1 convolutions to C/2 channels each:

             .- conv1 (1x1, C/2) -- k1 (3x3, plain) ------------.
    x -------+                                                  +-- cat -- conv3 (1x1) --(+)--
      |      '- conv2 (1x1, C/2) -- scconv (self-calibrated) ---'                         |
      '------ downsample, where resolution or width change -------------------------------'

Weights of MMPose's SCNet load, and give the same outputs.

In the self-calibrated convolution (section 3.2) half of the channels decide with a wider view what
to keep. A 3x3 convolution sees 3x3 pixels of its input. Here the input is split into two halves X1
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

Here the calibrated half, X1 to Y1, is a module; the plain half is one convolution of the block.
Each convolution has batch normalisation behind it, that of K4 and K1 also ReLU.

The paper enlarges bilinearly. The authors' code and MMPose, whose weights load here, take
the nearest pixel, and so does this.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmpose.models.backbones import ResNet
from mmpose.models.backbones.resnet import Bottleneck
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS

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


class SCBottleneck(Bottleneck):
    """Bottleneck with a self-calibrated convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, a multiple of ``2 * expansion``.
        expansion: ``out_channels`` over the width of the 3x3 convolutions, both halves.
        stride: of the 3x3 convolutions.
        downsample: what the shortcut does where resolution or width change.
        with_cp: recompute the block in the backward pass to save memory.
        norm_cfg: normalisation layers, default ``dict(type='BN')``.
        **resnet_options: what ResNet passes and this block has no use for. SCNet has
            checked that these have their default values.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int = 4,
        stride: int = 1,
        downsample: nn.Module | None = None,
        with_cp: bool = False,
        norm_cfg: dict | None = None,
        **resnet_options: object,
    ) -> None:
        # Bottleneck's own __init__ would build the plain layers.
        super(Bottleneck, self).__init__()
        norm_cfg = dict(norm_cfg or {'type': 'BN'})
        self.out_channels = out_channels
        self.with_cp = with_cp
        half = out_channels // expansion // 2
        widths = {1: (in_channels, half), 2: (in_channels, half), 3: (2 * half, out_channels)}
        for index, (before, after) in widths.items():
            name, norm = build_norm_layer(norm_cfg, after, postfix=index)
            setattr(self, f'norm{index}_name', name)
            self.add_module(f'conv{index}', nn.Conv2d(before, after, 1, bias=False))
            self.add_module(name, norm)
        self.k1 = nn.Sequential(*conv3x3(half, stride, norm_cfg), nn.ReLU(inplace=True))
        self.scconv = SelfCalibratedConv(half, stride, norm_cfg)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        if self.with_cp and x.requires_grad:
            return self.relu(checkpoint(self._residual_sum, x, use_reentrant=False))
        return self.relu(self._residual_sum(x))

    def _residual_sum(self, x: Tensor) -> Tensor:
        plain = self.k1(self.relu(self.norm1(self.conv1(x))))
        calibrated = self.scconv(self.relu(self.norm2(self.conv2(x))))
        out = self.norm3(self.conv3(torch.cat([plain, calibrated], dim=1)))
        return out + (x if self.downsample is None else self.downsample(x))


@MODELS.register_module()
class SCNet(ResNet):
    """SCNet-50 or SCNet-101; the output of the last stage has 2048 channels at 1/32.

    Args:
        depth: 50 or 101.
        base_channels: width of the first stage's 3x3 convolutions, both halves together.
        **kwargs: as MMPose's ResNet, for instance ``out_indices``, ``frozen_stages``,
            ``deep_stem``, ``norm_cfg``, ``init_cfg``. The self-calibrated convolution has no
            dilated form, and its stride sits in the 3x3 convolutions: ``dilations`` other
            than 1, ``style='caffe'`` and ``conv_cfg``, which MMPose's SCNet accepts
            and partly ignores, are refused.

    Raises:
        UserError: another depth, an odd ``base_channels``, or one of those options.
    """

    arch_settings = {  # the name and form that ResNet reads
        50: (SCBottleneck, (3, 4, 6, 3)),
        101: (SCBottleneck, (3, 4, 23, 3)),
    }

    def __init__(self, depth: int, base_channels: int = 64, **kwargs: object) -> None:
        if depth not in self.arch_settings:
            raise UserError(f'SCNet: depth must be 50 or 101, got {depth!r}')
        if not isinstance(base_channels, int) or base_channels < 2 or base_channels % 2:
            raise UserError(
                'SCNet: base_channels is split into two halves and must be a positive even '
                f'number, got {base_channels!r}'
            )
        for name, usual in (('style', 'pytorch'), ('conv_cfg', None)):
            if kwargs.get(name, usual) != usual:
                raise UserError(f'SCNet: {name} must be {usual!r}, got {kwargs[name]!r}')
        if any(dilation != 1 for dilation in kwargs.get('dilations', ())):
            raise UserError(f'SCNet: dilations must all be 1, got {kwargs["dilations"]!r}')
        super().__init__(depth, base_channels=base_channels, **kwargs)

    def train(self, mode: bool = True) -> 'SCNet':
        """Frozen stages, and with ``norm_eval`` all normalisation, stay in eval mode.

        Returns:
            Itself, as every module of torch does; ResNet's method returns nothing.
        """
        super().train(mode)
        return self
