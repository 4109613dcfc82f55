"""The encoder layer of a Vision Transformer.

Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021, arXiv 2010.11929, equations
2 and 3, in the pre-norm form:

    z' = z + proj(attention(LN1(z)))
    z  = z' + W2 gelu(W1 LN2(z'))

Attention (Vaswani et al. 2017, equation 1), for each of h heads with d = dim / h numbers:

    q, k, v = rows of LN1(z) W_qkv^T + b_qkv       W_qkv (3 dim, dim): all q, all k, all v
    attention = softmax(q k^T / sqrt(d)) v

Names of the parameters are those of mmpretrain: ``ln1``, ``attn.qkv``, ``attn.proj``,
``ln2``, ``ffn.layers.0.0``, ``ffn.layers.1``. Weights that were trained there load here.
"""

import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from rlepose_ext.checks import check_counts, check_rates
from rlepose_ext.errors import UserError

EPS = 1e-6  # of layer normalisation; torch's own default is 1e-5


class SelfAttention(nn.Module):
    """Multi-head attention among tokens; the module's docstring has the equations.

    ``4 * dim ** 2 + 4 * dim`` parameters with ``qkv_bias``.

    Args:
        dim: numbers of a token, a multiple of ``num_heads``.
        num_heads: h.
        qkv_bias: whether q, k and v have a bias.
        scale: factor of q k^T; by default 1 / sqrt(d).

    Raises:
        UserError: a count is no positive whole number, or ``dim`` does not divide.
    """

    def __init__(
        self, dim: int, num_heads: int, qkv_bias: bool = True, scale: float | None = None
    ) -> None:
        super().__init__()
        check_counts('SelfAttention', dim=dim, num_heads=num_heads)
        if dim % num_heads:
            raise UserError(
                f'SelfAttention: expected dim to be a multiple of num_heads, got {dim} and '
                f'{num_heads}.'
            )
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5 if scale is None else scale
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, L, dim) to tokens of the same shape."""
        query, key, value = self._heads(x)
        mixed = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor) -> Tensor:
        """What each token of (N, L, dim) takes of each other one: (N, h, L, L), rows sum to 1."""
        query, key, _ = self._heads(x)
        return (self.scale * query @ key.transpose(-2, -1)).softmax(-1)

    def _heads(self, x: Tensor) -> Tensor:
        """Queries, keys and values, (3, N, h, L, d)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (N, L, 3, h, d)
        return qkv.permute(2, 0, 3, 1, 4)


class FeedForward(nn.Module):
    """Two linear layers with GELU between, for each token on its own.

    Args:
        dim: numbers of a token.
        hidden_dim: numbers between the layers.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        # Nested as mmcv's FFN is, for the names layers.0.0 and layers.1.
        self.layers = nn.Sequential(
            nn.Sequential(nn.Linear(dim, hidden_dim), nn.GELU()), nn.Linear(hidden_dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, L, dim) to tokens of the same shape."""
        return self.layers(x)


class ViTBlock(nn.Module):
    """One encoder layer: attention, feed-forward network, two residuals.

    7,087,872 parameters at (768, 12, 3072).

    Args:
        dim: numbers of a token.
        num_heads: heads of the attention.
        hidden_dim: of the feed-forward network.
        drop_path: probability that a sample skips a residual branch in training
            (stochastic depth, Huang et al., ECCV 2016). What remains is divided by
            ``1 - drop_path``.
        qkv_bias: whether q, k and v have a bias.
        scale: of the attention, see :class:`SelfAttention`.
        eps: of layer normalisation.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int,
        drop_path: float = 0.0,
        qkv_bias: bool = True,
        scale: float | None = None,
        eps: float = EPS,
    ) -> None:
        super().__init__()
        check_counts('ViTBlock', hidden_dim=hidden_dim)
        check_rates('ViTBlock', drop_path=drop_path)
        self.ln1 = nn.LayerNorm(dim, eps=eps)
        self.attn = SelfAttention(dim, num_heads, qkv_bias, scale)
        self.ln2 = nn.LayerNorm(dim, eps=eps)
        self.ffn = FeedForward(dim, hidden_dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, L, dim) to tokens of the same shape."""
        x = x + self.drop_path(self.attn(self.ln1(x)))
        return x + self.drop_path(self.ffn(self.ln2(x)))
