"""TokenPose: every joint is a token, beside tokens of the picture.

Li, Zhang, Wang, Yang, Yang, Xia, Zhou, *TokenPose: Learning Keypoint Tokens for Human Pose
Estimation*, ICCV 2021, arXiv 2104.03516.

A feature map (C, h, w) is cut into patches of p_h x p_w pixels. A patch, flattened, becomes a
*visual token* of d numbers; before them stand K learned vectors, the *keypoint tokens*, the same
for every picture:

    v = W [p_h p_w C numbers of a patch] + b                              L = (h / p_h) (w / p_w)
    z = [keypoint tokens; v + E]                                          (K + L, d)

E is the sine embedding of the place of a patch (DETR, arXiv 2005.12872, appendix). The tokens go
through the blocks of a Vision Transformer (:mod:`rlepose_ext.models.layers.vit_block`); before
every block but the first E is added to the visual tokens once more:

    z = block_i([z_keypoints; z_visual + E])                              i > 1

A keypoint token so collects what it needs from the picture, and what the other joints have found.
At the end each is mapped to a heatmap, by the same layers for all joints, without an activation:

    heatmap_k = W2 LN(W1 LN(z_k))                                         H W numbers

The large networks have three such Transformers in a row. The first block of the second and third
gets no E; the keypoint tokens that leave each of the three are joined, (K, 3 d), and one layer
makes the heatmap of them: W LN(z_k).

The loss is half the mean squared error over joints that have a label and all pixels.

What a keypoint token takes of each visual token is a picture of where a joint looks:
:meth:`TokenPoseHead.attention`.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from mmpose.models.heads import HeatmapHead
from mmpose.models.heads.transformer_heads.transformers import PositionEmbeddingSineHW
from torch import Tensor, nn

from rlepose_ext.checks import check_codec, check_counts, check_positive, check_size
from rlepose_ext.errors import UserError
from rlepose_ext.models.heads.token_blocks import check_map
from rlepose_ext.models.layers.vit_block import ViTBlock
from rlepose_ext.registry import MODELS

LAYER_NORM_EPS = 1e-5


def sine_embedding(dim: int, rows: int, columns: int) -> Tensor:
    """Embedding of the places of a grid, (rows * columns, dim), row by row.

    The first half of the numbers is that of y, the second that of x. With y = 2 pi i / rows, i from
    1, number 2 j is sin(y / 10000^(4 j / dim)), number 2 j + 1 the cosine.

    Args:
        dim: a multiple of 4.
        rows: of the grid.
        columns: of the grid.
    """
    everywhere = torch.zeros(1, rows, columns, dtype=torch.bool)
    return PositionEmbeddingSineHW(dim // 2, normalize=True)(everywhere)[0].flatten(1).T


def to_patches(maps: Tensor, patch_size: Sequence[int]) -> Tensor:
    """Cut maps into patches, row by row.

    Args:
        maps: (N, C, h, w).
        patch_size: width and height, which divide w and h.

    Returns:
        (N, L, p_h * p_w * C), of each patch pixel by pixel all channels.
    """
    width, height = patch_size
    cut = maps.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # (N, C, rows, p_h, cols, p_w)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


@MODELS.register_module()
class TokenPoseHead(HeatmapHead):
    """Heatmaps from keypoint tokens; prediction, flip test and log names are ``HeatmapHead``'s.

    5,816,448 parameters in TokenPose-T, 5,779,584 with the 32 channels of HRNet-W32 (TokenPose-B).

    Args:
        in_channels: channels C of the feature map; 3 where it is the image.
        out_channels: number of joints K.
        heatmap_size: width and height of the heatmaps, heatmap px.
        in_featuremap_size: width and height of the feature map, px of that map.
        patch_size: width and height of a patch, px of that map.
        embed_dims: d, a multiple of 4 and of ``num_heads``.
        depths: blocks of each Transformer; more than one joins their keypoint tokens.
        num_heads: heads of the attention.
        mlp_ratio: hidden numbers of a block's feed-forward network, times d.
        attention_scale: factor of q k^T; by default (d / num_heads)^-1/2. TokenPose-S has d^-1/2.
        hidden_dim: numbers between the two last layers; None: one layer makes the heatmap.
        loss: of heatmaps; default ``KeypointMSELoss`` times 1/2, with weights of joints.
        decoder: config of the codec, needed to predict.
        init_cfg: default: linear layers normal with deviation 0.02, biases 0.

    Raises:
        UserError: an argument is out of range, patches that do not divide the feature map, or a
            codec with another ``heatmap_size``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heatmap_size: Sequence[int],
        in_featuremap_size: Sequence[int],
        patch_size: Sequence[int],
        embed_dims: int = 192,
        depths: Sequence[int] = (12,),
        num_heads: int = 8,
        mlp_ratio: int = 3,
        attention_scale: float | None = None,
        hidden_dim: int | None = 384,
        loss: dict | None = None,
        decoder: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        name = 'TokenPoseHead'
        check_counts(name, in_channels=in_channels, out_channels=out_channels, mlp_ratio=mlp_ratio)
        check_counts(name, embed_dims=embed_dims, num_heads=num_heads)
        check_counts(name, **{f'depths[{i}]': depth for i, depth in enumerate(depths)})
        if hidden_dim is not None:
            check_counts(name, hidden_dim=hidden_dim)
        if attention_scale is not None:
            check_positive(name, attention_scale=attention_scale)
        check_size(name, heatmap_size=heatmap_size, in_featuremap_size=in_featuremap_size)
        check_size(name, patch_size=patch_size)
        if embed_dims % 4:
            raise UserError(f'{name}: expected embed_dims to be a multiple of 4, got {embed_dims}.')
        if any(side % part for side, part in zip(in_featuremap_size, patch_size, strict=True)):
            raise UserError(
                f'{name}: expected in_featuremap_size (width, height) to be a multiple of '
                f'patch_size {tuple(patch_size)}, got {tuple(in_featuremap_size)}. Choose another '
                'patch_size or input size.'
            )
        super().__init__(
            in_channels,
            out_channels,
            deconv_out_channels=None,
            final_layer=None,
            loss=loss or {'type': 'KeypointMSELoss', 'use_target_weight': True, 'loss_weight': 0.5},
            decoder=decoder,
            init_cfg=init_cfg,
        )
        self.heatmap_size = tuple(heatmap_size)
        check_codec(self, 'heatmap_size')
        self.in_featuremap_size = tuple(in_featuremap_size)
        self.patch_size = tuple(patch_size)
        (width, height), (p_w, p_h) = self.in_featuremap_size, self.patch_size
        self.grid = (height // p_h, width // p_w)

        self.keypoint_tokens = nn.Parameter(torch.empty(1, out_channels, embed_dims))
        nn.init.trunc_normal_(self.keypoint_tokens, std=0.02)
        self.patch_embed = nn.Linear(p_w * p_h * in_channels, embed_dims)
        # Follows from the sizes, so checkpoints do not have it; keypoint tokens have no place.
        places = sine_embedding(embed_dims, *self.grid)
        places = torch.cat([places.new_zeros(out_channels, embed_dims), places])
        self.register_buffer('places', places[None], persistent=False)
        block = (embed_dims, num_heads, mlp_ratio * embed_dims)
        options = {'qkv_bias': False, 'scale': attention_scale, 'eps': LAYER_NORM_EPS}
        self.transformers = nn.ModuleList(
            nn.ModuleList(ViTBlock(*block, **options) for _ in range(depth)) for depth in depths
        )
        widths = [embed_dims * len(depths), self.heatmap_size[0] * self.heatmap_size[1]]
        if hidden_dim is not None:
            widths.insert(1, hidden_dim)
        self.to_heatmap = nn.Sequential()
        for before, after in pairwise(widths):
            self.to_heatmap.append(nn.LayerNorm(before, eps=LAYER_NORM_EPS))
            self.to_heatmap.append(nn.Linear(before, after))

    @property
    def default_init_cfg(self) -> list[dict]:
        """Of linear layers and of layer normalisation."""
        return [
            {'type': 'TruncNormal', 'layer': 'Linear', 'std': 0.02},
            {'type': 'Constant', 'layer': 'LayerNorm', 'val': 1.0},
        ]

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Heatmaps in float32, shape (N, K, H, W), of the one feature map (N, C, h, w).

        Raises:
            UserError: several feature maps, or one of another shape than the head was built for.
        """
        width, height = self.heatmap_size
        heatmaps = self.to_heatmap(self._keypoints(feats)).unflatten(2, (height, width))
        # of autocast; numpy, which decodes, has no bfloat16
        return heatmaps.to(torch.promote_types(heatmaps.dtype, torch.float32))

    @torch.no_grad()
    def attention(self, feats: tuple[Tensor, ...]) -> Tensor:
        """What each keypoint token takes of each patch, in every block.

        Args:
            feats: as :meth:`forward` takes.

        Returns:
            (N, blocks, K, rows, columns), the mean over heads, row by row as the patches lie in the
            picture. A token takes the rest up to 1 of the keypoint tokens.
        """
        found: list[Tensor] = []
        self._keypoints(feats, found)
        return torch.stack(found, 1)

    def _keypoints(
        self, feats: tuple[Tensor, ...], attention: list[Tensor] | None = None
    ) -> Tensor:
        """Keypoint tokens of all Transformers, (N, K, d * Transformers).

        What they take of the patches, (N, K, rows, columns) for each block, goes to ``attention``.
        """
        if len(feats) != 1:
            shapes = ', '.join(str(tuple(feat.shape[1:])) for feat in feats)
            raise UserError(
                f'TokenPoseHead: expected one feature map, got {len(feats)}: {shapes}. Let the '
                'backbone give its last one only.'
            )
        width, height = self.in_featuremap_size
        expected = (self.in_channels, height, width)
        check_map('TokenPoseHead', feats[0], expected, 'in_channels, in_featuremap_size')
        visual = self.patch_embed(to_patches(feats[0], self.patch_size))
        # shape[0] and not len(), which torch.export takes for a constant
        keypoints = self.keypoint_tokens.expand(visual.shape[0], -1, -1)
        z = torch.cat([keypoints, visual], 1) + self.places
        found = []
        for blocks in self.transformers:
            for i, block in enumerate(blocks):
                if i:
                    z = z + self.places
                if attention is not None:
                    weights = block.attn.weights(block.ln1(z)).mean(1)
                    k = self.out_channels
                    attention.append(weights[:, :k, k:].unflatten(2, self.grid))
                z = block(z)
            found.append(z[:, : self.out_channels])
        return torch.cat(found, -1)
