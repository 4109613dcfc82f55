"""Weights of an RGB model for one grey channel: pure functions on state dicts.

Only the first convolution sees colours. Let a grey image g be fed to the RGB model in all three
channels, each normalised on its own, x_c = (g - m_c) / s_c. With kernels W_c the convolution is

    y = sum_c W_c * x_c  =  W' * (g - m) / s  +  b'

    W' = s sum_c W_c / s_c                        one kernel, for g normalised by m and s
    b' = sum_taps sum_c W_c (m - m_c) / s_c       one number for each output channel

for *any* m and s. So with W' in place of the three kernels, and b' added, the grey model computes
what the RGB model computes from a grey image. The number b' goes into the convolution's bias or,
where it has none, into the batch normalisation behind it: its running mean becomes mu - b'. (In
training, batch normalisation subtracts the batch's mean and b' has no effect.)

What is not exact: the border. Zero padding stands for the pixel m_c in channel c of the RGB model,
and for m in the grey one. Where a kernel reaches outside of the image, W' leaves the outer taps out
as the RGB model does, but b' has them:

    grey - RGB = sum_{taps outside} sum_c W_c (m - m_c) / s_c

This vanishes if m_c = m for all channels, as with mean 128 throughout; then b' = 0 too, and the
conversion is exact everywhere. With ImageNet's means, m between them keeps it small.

If also s_c = s, W' is the plain sum of the three kernels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

# Of MMPose's configs for ImageNet weights, in the order R, G, B.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
LUMA = (0.299, 0.587, 0.114)


def luma_of(values: Sequence[float]) -> float:
    """Weighted mean of three numbers (R, G, B), to three digits as configs write it.

    ImageNet's mean gives 117.038, its standard deviation 57.53.
    """
    return round(sum(w * v for w, v in zip(LUMA, values, strict=True)), 3)


def find_first_conv(state: Mapping[str, Tensor]) -> str:
    """The key of the kernels that see the image.

    They are the only ones of shape (O, 3, h, w) in most networks. Where there are several,
    the name decides: a first layer is called ``conv1``, ``stem.0``, ``features.0``,
    ``patch_embed.projection`` or the like.

    Raises:
        UserError: there is none, or the name does not decide.
    """
    kernels = [k for k, v in state.items() if v.ndim == 4 and v.shape[1] == 3]
    if len(kernels) > 1:
        named = [key for key in kernels if _FIRST.search(key)]
        kernels = named or kernels
    if len(kernels) == 1:
        return kernels[0]
    if kernels:
        raise UserError(
            f'{len(kernels)} layers have kernels for 3 channels, and their names do not tell '
            f'which is the first: {", ".join(kernels[:5])}'
        )
    grey = [k for k, v in state.items() if v.ndim == 4 and v.shape[1] == 1 and _FIRST.search(k)]
    hint = f' {grey[0]} has one channel: is it converted already?' if grey else ''
    raise UserError(f'there is no convolution with kernels (O, 3, h, w) in it.{hint}')


def sum_kernels(
    weight: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    gray_mean: float,
    gray_std: float,
) -> tuple[Tensor, Tensor]:
    """W' and b' of the module's docstring.

    Args:
        weight: (O, 3, h, w), channels in the order of ``mean``.
        mean: m_c, what the RGB model's data preprocessor subtracts.
        std: s_c, what it divides by.
        gray_mean: m of the grey model.
        gray_std: s of the grey model.

    Returns:
        Kernels (O, 1, h, w) and shift (O,), both float64.
    """
    import torch

    scaled = weight.double() / torch.tensor(std, dtype=torch.float64).view(1, 3, 1, 1)
    offset = gray_mean - torch.tensor(mean, dtype=torch.float64)
    shift = torch.einsum('ochw,c->o', scaled, offset)
    return gray_std * scaled.sum(dim=1, keepdim=True), shift


def convert(
    state: Mapping[str, Tensor],
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    gray_mean: float | None = None,
    gray_std: float | None = None,
) -> dict[str, Tensor]:
    """Rewrite a model's or a backbone's state dict for images of one channel.

    Args:
        state: with any prefix; not changed.
        mean: of the RGB model's data preprocessor, in the order of its input channels.
        std: likewise.
        gray_mean: ``mean=[gray_mean]`` of the grey model; default :func:`luma_of` ``mean``.
        gray_std: likewise.

    Returns:
        The same keys. The first convolution has one input channel; its bias, or the running
        mean behind it, is shifted; everything else is the same tensors.

    Raises:
        UserError: no first convolution is found, a mean is not finite, a standard deviation not
            above 0, or b' is not 0 and has no place to go to.
    """
    if len(mean) != 3 or len(std) != 3:
        raise UserError(f'mean and std must have 3 values, got {tuple(mean)} and {tuple(std)}')
    gray_mean = luma_of(mean) if gray_mean is None else gray_mean
    gray_std = luma_of(std) if gray_std is None else gray_std
    if not all(map(math.isfinite, (*mean, gray_mean, *std, gray_std))):
        raise UserError(
            f'means and standard deviations must be finite numbers, got {tuple(mean)} and '
            f'{gray_mean}, {tuple(std)} and {gray_std}'
        )
    if min(*std, gray_std) <= 0:
        raise UserError(f'standard deviations must be above 0, got {tuple(std)} and {gray_std}')
    key = find_first_conv(state)
    weight, shift = sum_kernels(state[key], mean, std, gray_mean, gray_std)
    converted = dict(state)
    converted[key] = weight.to(state[key].dtype)
    if shift.any():
        place, sign = _find_shift(state, key, len(shift))
        value = converted[place]
        converted[place] = (value.double() + sign * shift).to(value.dtype)
    return converted


# A first layer's name up to `.weight`, at the start or behind a prefix such as `backbone.`
_FIRST = re.compile(
    r'(^|\.)(conv1(\.conv)?|stem\.0(\.conv|\.0)?|features\.0(\.0)?|patch_embed\.proj(ection)?)'
    r'\.weight$'
)


def _find_shift(state: Mapping[str, Tensor], key: str, channels: int) -> tuple[str, int]:
    """Which tensor takes b', and with which sign."""
    layer = key.removesuffix('.weight')
    if f'{layer}.bias' in state:
        return f'{layer}.bias', 1
    for norm in _norms_behind(layer):
        place = f'{norm}.running_mean'
        if place in state and state[place].shape == (channels,):
            return place, -1
    raise UserError(
        f'{layer} has no bias, and no batch normalisation is found behind it (looked for '
        f'{", ".join(_norms_behind(layer))}). Without either, only a normalisation with the same '
        'mean for all channels can be converted: give it with --mean M M M.'
    )


def _norms_behind(layer: str) -> Iterator[str]:
    """Names that the normalisation behind a convolution may have."""
    parent, _, name = layer.rpartition('.')
    prefix = f'{parent}.' if parent else ''
    if name.isdigit():
        yield f'{prefix}{int(name) + 1}'
    if name.startswith('conv'):
        for norm in ('bn', 'norm'):
            yield prefix + name.replace('conv', norm, 1)
