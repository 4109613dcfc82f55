"""The gated attention unit (GAU): attention and feed-forward network in one layer.

Hua et al., *Transformer Quality in Linear Time*, ICML 2022, arXiv 2202.10447, section 2.
The softmax in it is Su Jianlin's proposal, https://kexue.fm/archives/9019.

Here a token is a joint: n joints, and the d numbers of a token are its flattened heatmap
or a projection of it. Attention lets a joint look at the others, a wrist at its elbow.

The feed-forward network of a Transformer, in its gated form, is

    O = (U * V) Wo,     U = silu(X Wu),  V = silu(X Wv)       each (n, e), e about 2 d

and sees one token at a time: U gates V. The GAU replaces V by a mixture of all tokens,

    O = (U * A V) Wo,   A (n, n) attention weights                              (eq. 4)

and gets A from a narrow third projection Z = silu(X Wz), (n, s), s = 128, which serves as
query and as key after a cheap scale (and offset) per feature:

    Q = Z * gamma_q + beta_q,   K = Z * gamma_k + beta_k,   A = attention(Q, K)

With scales alone Q K^T is symmetric, joint i looks at j as j at i before rows are
normalised; the offsets, or a query from elsewhere, undo that.

The gate makes up for the single head, which therefore needs no s x s projections, and one
such layer replaces attention plus feed-forward. The unit adds X and normalises:

    Y = rms_norm(X + O)                 post-norm, the default
    Y = X + O(scale_norm(X))            pre-norm, as in MMPose's RTMCCBlock

where rms_norm(x) = x / sqrt(mean(x^2) + eps), without a parameter, and scale_norm(x) =
g sqrt(d) x / |x|, with one, g. Both put a token on a sphere of radius sqrt(d), so that its
features are of size 1 on average. RMS norm: Zhang & Sennrich, NeurIPS 2019, arXiv 1910.07467,
eq. 4; it is torch's. ScaleNorm: Nguyen & Salazar, IWSLT 2019, arXiv 1910.05895, eq. 5; it is
MMPose's.

Three functions turn queries and keys into weights; they differ in how they bound and normalise
the dot products. Softmax: Vaswani et al., 2017, arXiv 1706.03762, eq. 1. Squared ReLU: the GAU
paper. The length factor of softmax_plus: Su Jianlin, https://kexue.fm/archives/8823.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from mmpose.models.utils.transformer import ScaleNorm
from torch import Tensor, nn

from rlepose_ext.checks import check_choice, check_counts, check_rates, width

# Added to a token's mean square.
RMS_EPS = 1e-12
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


NORMS = ('post_rms', 'pre_scale', 'none')


class GatedAttentionUnit(nn.Module):
    """One GAU layer over a set of tokens; the module's docstring has the equations.

    ``dim * (2 * expansion_dim + key_dim) + expansion_dim * dim`` weights, and ``key_dim``
    for each of gamma_q, gamma_k (beta_q, beta_k). 57,016,576 parameters at
    (3072, 6144, 128), 4,784,384 at (512, 3072, 128).

    Tokens have no position: permuting them permutes the output.

    Under autocast only the expansion, where two thirds of the arithmetic are, runs in 16 bits.
    What follows multiplies activations with each other, up to six at a time with relu2, which
    float16 cannot hold; it is computed in the type of the parameters.

    Args:
        dim: d, features of a token.
        expansion_dim: e; or give ``expansion``.
        key_dim: s.
        attention: a name in :data:`~rlepose_ext.models.layers.gated_attention.ATTENTION`.
        query_offset: learn beta_q and beta_k as the paper does; default: scales only.
        norm: ``'post_rms'``, ``'pre_scale'`` or ``'none'``.
        dropout: rate for the output, before the residual is added.
        attention_dropout: rate for the attention weights.
        residual: add the input.
        external_query: cross-attention: ``forward`` takes Q as it is to be used, from
            another branch. U, V and K come from ``x``; gamma_q and beta_q do not exist.
        expansion: e as a multiple of d.

    Raises:
        UserError: an unknown attention or norm, a bad size or rate.
    """

    def __init__(
        self,
        dim: int,
        expansion_dim: int | None = None,
        key_dim: int = 128,
        attention: str = 'softmax',
        query_offset: bool = False,
        norm: str = 'post_rms',
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        residual: bool = True,
        external_query: bool = False,
        expansion: float | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_counts(name, dim=dim, key_dim=key_dim)
        expansion_dim = width(name, dim, expansion_dim=expansion_dim, expansion=expansion)
        check_choice(name, 'attention', attention, ATTENTION)
        check_choice(name, 'norm', norm, NORMS)
        check_rates(name, dropout=dropout, attention_dropout=attention_dropout)
        self.dim = dim
        self.splits = (expansion_dim, expansion_dim, key_dim)
        self.attention = attention
        self.norm = norm
        self.residual = residual
        self.external_query = external_query

        roles = 1 if external_query else 2  # K alone, or Q and K
        self.scale_norm = ScaleNorm(dim) if norm == 'pre_scale' else None
        self.expand = nn.Linear(dim, sum(self.splits), bias=False)
        self.gamma = nn.Parameter(torch.ones(roles, key_dim))
        self.beta = nn.Parameter(torch.zeros(roles, key_dim)) if query_offset else None
        self.contract = nn.Linear(expansion_dim, dim, bias=False)
        self.attention_dropout = nn.Dropout(attention_dropout)
        self.dropout = nn.Dropout(dropout)
        self.init_weights()

    def init_weights(self) -> None:
        """Xavier uniform matrices; Q = K = Z at the start, a joint then attends to its likes."""
        nn.init.xavier_uniform_(self.expand.weight)
        nn.init.xavier_uniform_(self.contract.weight)
        nn.init.ones_(self.gamma)
        if self.beta is not None:
            nn.init.zeros_(self.beta)

    def forward(self, x: Tensor, query: Tensor | None = None) -> Tensor:
        """Let the tokens attend to each other.

        Args:
            x: tokens, shape (B, n, dim).
            query: with ``external_query``, Q of shape (B, n, key_dim).

        Returns:
            Shape (B, n, dim).
        """
        hidden = x if self.scale_norm is None else self.scale_norm(x)
        expanded = self.expand(hidden)
        with _no_autocast(x):
            out = self._mix(expanded.to(self.gamma.dtype), query)
        if self.residual:
            out = x + out
        return F.rms_norm(out, (self.dim,), eps=RMS_EPS) if self.norm == 'post_rms' else out

    def _mix(self, expanded: Tensor, query: Tensor | None) -> Tensor:
        """From X [Wu, Wv, Wz], (B, n, 2 e + s), to O, (B, n, d)."""
        u, v, z = F.silu(expanded).split(self.splits, dim=-1)
        roles = z[..., None, :] * self.gamma
        if self.beta is not None:
            roles = roles + self.beta
        q, k = (query, *roles.unbind(-2)) if self.external_query else roles.unbind(-2)
        weights = self.attention_dropout(ATTENTION[self.attention](q.to(k.dtype), k))
        return self.dropout(self.contract(u * (weights @ v)))


def _no_autocast(x: Tensor) -> AbstractContextManager:
    """Switch autocast off on the device of ``x``; the meta device has none."""
    device = x.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
