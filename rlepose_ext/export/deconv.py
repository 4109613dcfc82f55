"""Transposed convolutions as convolutions, which runtimes round to 8 bit.

With a kernel of 4x4, stride 2 and padding 1, as in heads of heatmaps, an input pixel i gives, in
either direction,

    out[2i - 1] = x[i - 1] w[2] + x[i] w[0]
    out[2i]     = x[i - 1] w[3] + x[i] w[1]

which is a convolution of the padded map with a kernel of 2 and two outputs for each channel. Put
side by side, they begin at out[-1] and end one after the last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle
from torch.nn.utils import fuse_conv_bn_weights

# w above: by output of the two, and by pixel of the kernel.
_TAPS = torch.tensor([[2, 0], [3, 1]])


class Deconv(nn.Module):
    """A transposed convolution, and what follows it channel by channel, as a convolution.

    Args:
        layer: with a kernel of 4x4, stride 2 and padding 1.
        norm: behind it, in eval mode.
        activation: behind both.
    """

    def __init__(
        self, layer: nn.ConvTranspose2d, norm: nn.Module | None, activation: nn.Module | None
    ) -> None:
        super().__init__()
        weight, bias = layer.weight.detach(), layer.bias
        if norm is not None:
            statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            weight, bias = fuse_conv_bn_weights(weight, bias, *statistics, transpose=True)
        into, out = weight.shape[:2]
        taps = weight[:, :, _TAPS[:, :, None, None], _TAPS]  # in, out, row, y, column, x
        taps = taps.permute(1, 2, 4, 0, 3, 5).reshape(4 * out, into, 2, 2)
        self.conv = nn.Conv2d(into, 4 * out, 2, padding=1, bias=bias is not None)
        self.conv.weight = nn.Parameter(taps.detach(), requires_grad=False)
        if bias is not None:
            bias = bias.detach().repeat_interleave(4)
            self.conv.bias = nn.Parameter(bias, requires_grad=False)
        self.activation = nn.Identity() if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, out, 2h, 2w)."""
        return pixel_shuffle(self.activation(self.conv(x)), 2)[:, :, 1:-1, 1:-1]


def with_convolutions(model: nn.Module) -> None:
    """Replace the transposed convolutions of a model in eval mode, in place.

    Those of other kernels, in groups, or outside of an ``nn.Sequential`` stay.
    """
    for parent in [part for part in model.modules() if isinstance(part, nn.Sequential)]:
        for index, layer in enumerate(parent):
            if not _known(layer):
                continue
            norm = _taken(parent, index + 1, nn.BatchNorm2d)
            activation = _taken(parent, index + 1 + (norm is not None), nn.ReLU)
            parent[index] = Deconv(layer, norm, activation)


def _taken(layers: nn.Sequential, index: int, kind: type) -> nn.Module | None:
    """The layer there if it is of that kind; an identity is put in its place."""
    if index >= len(layers) or not isinstance(layers[index], kind):
        return None
    layer, layers[index] = layers[index], nn.Identity()
    return layer


def _known(layer: nn.Module) -> bool:
    if not isinstance(layer, nn.ConvTranspose2d) or layer.groups != 1:
        return False
    geometry = layer.kernel_size, layer.stride, layer.padding, layer.output_padding, layer.dilation
    return geometry == ((4, 4), (2, 2), (1, 1), (0, 0), (1, 1))
