"""Deformable attention over several feature maps, with the values projected after sampling.

Attention compares a query with every pixel of the memory. Deformable attention (Zhu et al.,
*Deformable DETR*, ICLR 2021, arXiv 2010.04159) lets the query say where to look: from a query z at
a reference point p, linear layers predict, for each head m, level l and point k, an offset
Delta_mlk and a weight A_mlk, and the head's output is

    o_m = sum over l, k of  A_mlk V_m x_l(p + Delta_mlk),    sum over l, k of  A_mlk = 1     (eq. 3)

with x_l(u) the map of level l at u by bilinear interpolation and V_m the head's value projection.

There V_m is affine and is applied to all pixels of all maps before a few are sampled. Poseur (Mao
et al., ECCV 2022, arXiv 2201.07412) has few queries, one a joint, and projects what was sampled.
The weights add up to 1, so that this may wait for the sum, too:

    o_m = W_m (sum over l, k of A_mlk x_l(p + Delta_mlk)) + b_m

Off the maps 0 is sampled, so that only here b_m counts there as well. W_m is linear and may stand
before the sampling or after it. After, it projects a sum for each joint and not thousands of
pixels. Before, a head samples C / M channels and not C, and the backward pass keeps as much less;
with the noisy copies of training that is the better way.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rlepose_ext.geometry.spaces import normalise


def sample(feature: Tensor, locations: Tensor) -> Tensor:
    """Read a map between its pixels, bilinearly; 0 outside of it.

    Args:
        feature: (N, C, H, W).
        locations: (N, Q, P, 2), x before y, normalised by the map: its left border is 0 and its
            right one 1, so that the centre of the first pixel is 1 / (2 W).

    Returns:
        (N, C, Q, P).
    """
    # In the type of the locations: 16 bit would move points by more than a tenth of a pixel.
    values = F.grid_sample(feature.to(locations.dtype), 2 * locations - 1, align_corners=False)
    return values.to(feature.dtype)


def weighted_samples(maps: Sequence[Tensor], locations: Tensor, weights: Tensor) -> Tensor:
    """Sum of samples over maps and points.

    Args:
        maps: L maps (N, C, h, w).
        locations: (N, Q, L, P, 2), as in :func:`sample`.
        weights: (N, Q, L, P).

    Returns:
        (N, C, Q).
    """
    return sum(
        (sample(feature, locations[:, :, level]) * weights[:, None, :, level]).sum(-1)
        for level, feature in enumerate(maps)
    )


class PostValueDeformableAttention(nn.Module):
    """Multi-scale deformable attention that projects values after sampling.

    230,272 parameters with the default options.

    Args:
        dim: C, channels of queries and maps.
        heads: M, divides C.
        levels: L, number of maps.
        points: points of a head on each map.
    """

    def __init__(self, dim: int = 256, heads: int = 8, levels: int = 4, points: int = 4) -> None:
        super().__init__()
        self.shape = (heads, levels, points)
        self.sampling_offsets = nn.Linear(dim, heads * levels * points * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * points)
        self.value_weight = nn.Parameter(torch.empty(heads, dim, dim // heads))
        self.value_bias = nn.Parameter(torch.zeros(heads, dim // heads))
        self.output_proj = nn.Linear(dim, dim)
        self._initialise()

    def _initialise(self) -> None:
        """Deformable DETR's: even weights; point k of a head is k px off, a direction a head."""
        heads, levels, points = self.shape
        angles = torch.arange(heads) * (2 * math.pi / heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        # on a square around the reference point, not on a circle
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1.0, points + 1)
        offsets = directions[:, None, None] * steps[:, None]
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.expand(-1, levels, -1, -1).flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        nn.init.xavier_uniform_(self.value_weight.flatten(0, 1))
        nn.init.xavier_uniform_(self.output_proj.weight)
        nn.init.zeros_(self.output_proj.bias)

    def locations(self, query: Tensor, reference: Tensor, sizes: Sequence[Sequence[int]]) -> Tensor:
        """Where the maps are sampled: the reference points and the offsets from them.

        Args:
            query: (N, Q, C).
            reference: (N, Q, 2), normalised by the map.
            sizes: width and height of each map; offsets are in its pixels.

        Returns:
            (N, Q, M, L, P, 2), normalised by the map.
        """
        offsets = self.sampling_offsets(query).unflatten(-1, (*self.shape, 2)).to(reference.dtype)
        levels = zip(offsets.unbind(3), sizes, strict=True)
        offsets = torch.stack([normalise(pixels, size) for pixels, size in levels], dim=3)
        return reference[:, :, None, None, None] + offsets

    def forward(self, query: Tensor, reference: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Attend to the maps around the reference points.

        Args:
            query: (N, Q, C).
            reference: (N, Q, 2), normalised by the map.
            maps: L maps (N, C, h, w).

        Returns:
            (N, Q, C).
        """
        heads, levels, points = self.shape
        sizes = [(feature.shape[-1], feature.shape[-2]) for feature in maps]
        where = self.locations(query, reference, sizes).transpose(1, 2)  # (N, M, Q, L, P, 2)
        weights = self.attention_weights(query).unflatten(-1, (heads, levels * points))
        weights = weights.softmax(-1).unflatten(-1, (levels, points)).transpose(1, 2)
        if self.training:
            kernel = self.value_weight.transpose(1, 2).flatten(0, 1)[..., None, None]
            maps = [F.conv2d(x, kernel).unflatten(1, (heads, -1)).flatten(0, 1) for x in maps]
            seen = weighted_samples(maps, where.flatten(0, 1), weights.flatten(0, 1))
            values = seen.unflatten(0, (-1, heads)).permute(0, 3, 1, 2)
        else:
            seen = weighted_samples(maps, where.flatten(1, 2), weights.flatten(1, 2))
            seen = seen.unflatten(-1, (heads, -1))  # (N, C, M, Q)
            values = torch.einsum('ncmq,mcd->nqmd', seen, self.value_weight)
        return self.output_proj((values + self.value_bias).flatten(2))
