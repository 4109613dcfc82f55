"""How queries and keys become weights: the attention functions of the gated attention unit.

Each takes Q and K, (B, n, s), to A, (B, n, n); row i says how much of each token goes into
token i. They differ in how they bound and normalise the dot products.

Softmax: Vaswani et al., *Attention Is All You Need*, 2017, arXiv 1706.03762, eq. 1. Squared
ReLU: Hua et al., *Transformer Quality in Linear Time*, ICML 2022, arXiv 2202.10447. The
length factor of softmax_plus: Su Jianlin, https://kexue.fm/archives/8823.
"""

import math
from collections.abc import Callable

from torch import Tensor

# The sequence length at which softmax_plus is the plain softmax.
REFERENCE_LENGTH = 512


def softmax_attention(q: Tensor, k: Tensor) -> Tensor:
    """Scaled dot-product attention, ``softmax(Q K^T / sqrt(s))``; rows sum to 1.

    Args:
        q: queries, shape (B, n, s).
        k: keys, shape (B, n, s).

    Returns:
        Weights of the n keys for each query, shape (B, n, n).
    """
    return _products(q, k, q.shape[-1] ** -0.5).softmax(-1)


def softmax_plus_attention(q: Tensor, k: Tensor) -> Tensor:
    """Softmax attention that is as sharp at any length: ``softmax(log_512(n) Q K^T / sqrt(s))``.

    A softmax over more keys is flatter at equal logits. With logits of size log n its
    entropy hardly depends on n; 512 fixes the unit. For 17 joints the factor is 0.454:
    attention is *softer* than the plain softmax's. Shapes as in :func:`softmax_attention`.
    """
    scale = math.log(k.shape[-2]) / math.log(REFERENCE_LENGTH)
    return _products(q, k, scale * q.shape[-1] ** -0.5).softmax(-1)


def relu2_attention(q: Tensor, k: Tensor) -> Tensor:
    """The GAU paper's own: ``relu(Q K^T / n)^2``; rows are not normalised.

    Most weights are exactly zero. The square sharpens what is left. Shapes as in
    :func:`softmax_attention`.
    """
    return _products(q, k, 1.0 / k.shape[-2]).relu().square()


ATTENTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'softmax': softmax_attention,
    'softmax_plus': softmax_plus_attention,
    'relu2': relu2_attention,
}


def _products(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """``scale * Q K^T``. Scaled before the product, which float16 could not hold otherwise."""
    return (q * scale) @ k.transpose(-2, -1)
