"""Normalisations of a token vector x of d numbers by its length.

LayerNorm removes the mean, divides by the standard deviation, and has a gain and a bias
per feature. The gated attention unit does with less:

    RMS norm      x / sqrt(mean(x^2) + eps)            no parameter
    ScaleNorm     g * sqrt(d) * x / |x|                one parameter g

Both put the token on a sphere of radius sqrt(d), so that its features are of size 1 on
average; ScaleNorm learns another radius.

RMS norm: Zhang & Sennrich, *Root Mean Square Layer Normalization*, NeurIPS 2019, arXiv
1910.07467, eq. 4, without its gain. ScaleNorm: Nguyen & Salazar, *Transformers without
Tears*, IWSLT 2019, arXiv 1910.05895, eq. 5; MMPose has it, starting at g = 1 with the
sqrt(d) outside of the parameter, and it is used as it is.
"""

import torch
from mmpose.models.utils.transformer import ScaleNorm
from torch import Tensor

__all__ = ['RMS_EPS', 'ScaleNorm', 'rms_norm']

RMS_EPS = 1e-12


def rms_norm(x: Tensor, eps: float = RMS_EPS) -> Tensor:
    """Divide each token by the root of its mean square.

    Computed in float32 at least: a sum of thousands of squares overflows float16.

    Args:
        x: shape (..., d).
        eps: added to the mean square.

    Returns:
        Same shape and dtype; a token of zeros stays zero.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * (wide.square().mean(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)
