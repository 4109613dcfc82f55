"""Semantic graph convolution: the skeleton fixes the neighbours, training their weights.

Zhao et al., *Semantic Graph Convolutional Networks for 3D Human Pose Regression*, CVPR
2019, arXiv 1904.03345.

X (n, C) holds one feature vector per joint. The plain graph convolution averages each
joint's neighbourhood with fixed weights and applies one matrix to all joints, X' = A X W.
Two changes make it *semantic* (section 3.2):

1. The weights of the edges are learnt. e has one number per non-zero of the adjacency, and
   each row becomes a softmax over the neighbours of that joint, itself included (eq. 2):

       A = softmax over rows of e at the non-zeros, -infinity (weight 0) elsewhere

2. A joint's own feature is transformed by another matrix than its neighbours':

       X' = (A * I) X W0 + (A * (1 - I)) X W1 + b

With COCO's 17 joints and 19 bones e has 17 + 2 * 19 = 55 numbers.

The network: one block in, residual pairs of blocks, one bare convolution out. A block is
convolution, batch norm over the features (all joints of all persons are the sample), ReLU.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlepose_ext.checks import check_counts


def edge_softmax(edges: Tensor, positions: Tensor, num_joints: int) -> Tensor:
    """Spread learnt edge weights over the graph and normalise them by rows.

    Args:
        edges: e, one number per edge, shape (E,).
        positions: where each belongs in the flattened (n, n) matrix, int64, shape (E,);
            at least one in each row.
        num_joints: n.

    Returns:
        A, shape (n, n), 0 where there is no edge; rows sum to 1.
    """
    logits = edges.new_full((num_joints * num_joints,), float('-inf'))
    logits = logits.scatter(0, positions, edges)
    return torch.softmax(logits.view(num_joints, num_joints), dim=-1)


def sem_graph_conv(x: Tensor, weight: Tensor, mixing: Tensor, bias: Tensor) -> Tensor:
    """``(A * I) X W0 + (A * (1 - I)) X W1 + b``.

    Args:
        x: X, shape (B, n, in).
        weight: W0 and W1, each as ``nn.Linear`` stores a matrix, shape (2, out, in).
        mixing: A, shape (n, n).
        bias: b, shape (out,).

    Returns:
        Shape (B, n, out).
    """
    # One product for both matrices: flatten is a view, nothing is copied. expand and bmm
    # rather than @, which would fold the batch into the features and copy them for it.
    own, others = F.linear(x, weight.flatten(0, 1)).chunk(2, dim=-1)
    own_share = mixing.diagonal()
    others_share = (mixing - own_share.diag()).expand(x.shape[0], -1, -1)
    return own_share[:, None] * own + torch.bmm(others_share, others) + bias


class SemGraphConv(nn.Module):
    """One semantic graph convolution: ``2 * in * out + out + E`` parameters.

    The adjacency is a buffer that moves with the module and is not saved: it belongs to
    the config. Edge weights are in the row-major order of its non-zeros.

    Args:
        in_dim: features of a joint.
        out_dim: features of a joint after it.
        adjacency: non-zero where i may see j, with self loops, shape (n, n), on the CPU;
            :func:`~rlepose_ext.models.layers.skeleton.skeleton_graph` makes it.
    """

    def __init__(self, in_dim: int, out_dim: int, adjacency: Tensor) -> None:
        super().__init__()
        self.num_joints = len(adjacency)
        positions = adjacency.flatten().nonzero().flatten()
        self.register_buffer('positions', positions, persistent=False)
        self.weight = nn.Parameter(torch.empty(2, out_dim, in_dim))
        self.edges = nn.Parameter(torch.empty(len(positions)))
        self.bias = nn.Parameter(torch.empty(out_dim))
        self.init_weights()

    def init_weights(self) -> None:
        """All neighbours equal, Xavier uniform matrices with the gain of ReLU, no bias."""
        for matrix in self.weight:
            nn.init.xavier_uniform_(matrix, gain=nn.init.calculate_gain('relu'))
        nn.init.ones_(self.edges)
        nn.init.zeros_(self.bias)

    @property
    def mixing(self) -> Tensor:
        """A, shape (n, n)."""
        return edge_softmax(self.edges, self.positions, self.num_joints)

    def forward(self, x: Tensor) -> Tensor:
        """Map joint features (B, n, in_dim) to (B, n, out_dim)."""
        return sem_graph_conv(x, self.weight, self.mixing, self.bias)


class GraphConvBlock(nn.Module):
    """Convolution, batch norm over the features, ReLU. Arguments of :class:`SemGraphConv`."""

    def __init__(self, in_dim: int, out_dim: int, adjacency: Tensor) -> None:
        super().__init__()
        self.conv = SemGraphConv(in_dim, out_dim, adjacency)
        self.norm = nn.BatchNorm1d(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map joint features (B, n, in_dim) to (B, n, out_dim)."""
        x = self.conv(x)
        return F.relu(self.norm(x.flatten(0, 1)).view_as(x))


class ResidualGraphConv(nn.Module):
    """Two blocks of equal width, and their input added."""

    def __init__(self, dim: int, adjacency: Tensor) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            GraphConvBlock(dim, dim, adjacency), GraphConvBlock(dim, dim, adjacency)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, n, dim)."""
        return x + self.blocks(x)


class SemGCN(nn.Sequential):
    """Block in, ``num_blocks`` residual pairs, bare convolution out.

    Each convolution learns its own edges. 95,207,754 parameters for (128, 3072) with
    hidden 3072 over COCO's skeleton.

    Args:
        in_dim: features of a joint.
        out_dim: features of a joint after it.
        hidden_dim: features in between.
        adjacency: as for :class:`SemGraphConv`.
        num_blocks: how many residual pairs.

    Raises:
        UserError: a width or a number of blocks is no whole number, or too small.
    """

    def __init__(
        self, in_dim: int, out_dim: int, hidden_dim: int, adjacency: Tensor, num_blocks: int = 2
    ) -> None:
        check_counts('SemGCN', hidden_dim=hidden_dim)
        check_counts('SemGCN', least=0, num_blocks=num_blocks)
        super().__init__(
            GraphConvBlock(in_dim, hidden_dim, adjacency),
            *(ResidualGraphConv(hidden_dim, adjacency) for _ in range(num_blocks)),
            SemGraphConv(hidden_dim, out_dim, adjacency),
        )
