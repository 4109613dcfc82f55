"""Normalisations of a token vector x of d numbers by its length.

LayerNorm removes the mean, divides by the standard deviation, and has a gain and a bias
per feature. The gated attention unit does with less:

    RMS norm      x / sqrt(mean(x^2) + eps)            no parameter
    ScaleNorm     g * sqrt(d) * x / |x|                one parameter g

Both put the token on a sphere of radius sqrt(d), so that its features are of size 1 on
average; ScaleNorm learns another radius.

RMS norm: Zhang & Sennrich, *Root Mean Square Layer Normalization*, NeurIPS 2019, arXiv
1910.07467, eq. 4, without its gain; it is torch's ``F.rms_norm``. ScaleNorm: Nguyen & Salazar,
*Transformers without Tears*, IWSLT 2019, arXiv 1910.05895, eq. 5; MMPose has it, starting at
g = 1 with the sqrt(d) outside of the parameter, and it is used as it is.
"""

from mmpose.models.utils.transformer import ScaleNorm

__all__ = ['RMS_EPS', 'ScaleNorm']

RMS_EPS = 1e-12
