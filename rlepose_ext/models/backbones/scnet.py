"""SCNet: ResNet whose 3x3 convolutions are self-calibrated.

Liu et al., *Improving Convolutional Networks with Self-Calibrated Convolutions*, CVPR 2020.
The convolution itself is in :mod:`rlepose_ext.models.layers.self_calibrated_conv`. Around
it stays ResNet: the stem, four stages of bottlenecks, the shortcuts (He et al., CVPR 2016).

A bottleneck of ResNet narrows to C = out/4 channels by a 1x1 convolution, runs a 3x3
convolution, and widens again. Here the narrowing *is* the split of the self-calibrated
convolution, two 1x1 convolutions to C/2 channels each:

             .- conv1 (1x1, C/2) -- k1 (3x3, plain) ------------.
    x -------+                                                  +-- cat -- conv3 (1x1) --(+)--
      |      '- conv2 (1x1, C/2) -- scconv (self-calibrated) ---'                         |
      '------ downsample, where resolution or width change -------------------------------'

Weights of MMPose's SCNet load, and give the same outputs.
"""

import torch
from mmcv.cnn import build_norm_layer
from mmpose.models.backbones import ResNet
from mmpose.models.backbones.resnet import Bottleneck
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rlepose_ext.errors import UserError
from rlepose_ext.models.layers.self_calibrated_conv import SelfCalibratedConv, conv3x3
from rlepose_ext.registry import MODELS


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
