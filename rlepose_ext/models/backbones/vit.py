"""ViT: a plain Vision Transformer, the backbone of ViTPose.

Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021, arXiv 2010.11929; as a pose
backbone Xu et al., *ViTPose*, NeurIPS 2022, arXiv 2204.12484.

    image (3, 256, 192)
      -> patches: 16x16 convolution, stride 16, padding 2 px     (768, 16, 12)
      -> 192 tokens + their position embeddings                  (192, 768)
      -> 12 encoder layers, layer normalisation                  (192, 768)
      -> back to a map                                           (768, 16, 12)

There is no class token. The padding is mmpretrain's way to ViTPose's numbers: patch (i, j)
begins at row 16 i - 2 and column 16 j - 2, so the first ones hold 2 px of zeros, and the last
2 rows and columns of the image are not seen at all.

MMPose's own ViTPose configs take the backbone from mmpretrain. This one has its key names and
gives the same outputs, so the zoo's checkpoints load without mmpretrain:

    pos_embed, patch_embed.projection, layers.i.{ln1, attn.qkv, attn.proj, ln2,
    ffn.layers.0.0, ffn.layers.1}, ln1

MMPose's ``LayerDecayOptimWrapperConstructor`` reads the depth of a parameter from these
names too.

To the token of row i and column j of the grid of patches a learned vector is added, its position
embedding. A checkpoint has as many of them as its grid had places: 14 x 14 after pre-training
on 224 x 224 px, 16 x 12 for persons of 256 x 192 px. The vectors vary smoothly over the
grid, so another grid is sampled from it by bicubic interpolation (Dosovitskiy et al., ICLR
2021, section 3.2).

Tokens are in row-major order, and grids are (rows, columns).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rlepose_ext.checks import check_choice, check_counts, check_rates
from rlepose_ext.errors import UserError
from rlepose_ext.models.layers.vit_block import EPS, ViTBlock
from rlepose_ext.registry import MODELS

Grid = tuple[int, int]


def guess_grid(places: int, like: Grid) -> Grid | None:
    """Rows and columns of a grid of which only the number of places is known.

    Args:
        places: rows times columns.
        like: the model's grid. A grid of its proportions is preferred to a square one.

    Returns:
        (rows, columns), or None if ``places`` is neither of them.
    """
    rows, columns = like
    shrink = math.gcd(rows, columns)
    rows, columns = rows // shrink, columns // shrink
    for height, width in ((rows, columns), (1, 1)):
        scale = math.isqrt(places // (height * width))
        if scale and scale * scale * height * width == places:
            return scale * height, scale * width
    return None


def resize_grid(embedding: Tensor, old: Grid, new: Grid) -> Tensor:
    """Interpolate position embeddings, bicubic, pixel centres aligned.

    Args:
        embedding: (1, rows * columns, dim) on the grid ``old``.
        old: (rows, columns) it has.
        new: (rows, columns) wanted.

    Returns:
        (1, new rows * new columns, dim).
    """
    maps = embedding.transpose(1, 2).unflatten(2, old)
    resized = F.interpolate(maps.float(), size=new, mode='bicubic', align_corners=False)
    return resized.flatten(2).transpose(1, 2).to(embedding.dtype)


def fit_positions(embedding: Tensor, grid: Grid, class_first: bool) -> tuple[Tensor, list[str]]:
    """Bring a checkpoint's position embeddings to a model without class token.

    Args:
        embedding: (1, L, dim).
        grid: (rows, columns) of the model.
        class_first: whether the checkpoint has a class token. If so its position, the
            first, is dropped. It is dropped too where L is one more than a grid.

    Returns:
        The embeddings (1, rows * columns, dim), and what was done to them in words; no
        words if nothing was.

    Raises:
        UserError: L is not the number of places of a square grid or of one with the
            model's proportions.
    """
    done = []
    if embedding.ndim != 3 or embedding.shape[0] != 1:
        raise UserError(
            f'pos_embed: expected shape (1, places, dim), got {tuple(embedding.shape)}.'
        )
    places = embedding.shape[1]
    fits = guess_grid(places, grid)
    if class_first or (fits is None and guess_grid(places - 1, grid) is not None):
        embedding = embedding[:, 1:]
        fits = guess_grid(places - 1, grid)
        done.append('dropped the position of its class token')
    if fits is None:
        raise UserError(
            f'pos_embed: the checkpoint has {places} positions, which is neither a square grid nor '
            f'one of the proportions of {grid[0]} x {grid[1]}, with or without a class token. Set '
            "img_size (height, width) to the checkpoint's."
        )
    if fits != tuple(grid):
        embedding = resize_grid(embedding, fits, grid)
        done.append(f'resized its grid of {fits[0]} x {fits[1]} to {grid[0]} x {grid[1]} (bicubic)')
    return embedding, done


WIDTHS = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
ARCHITECTURES = {
    'small': (384, 12, 12, 1536),  # ViTPose's; others have 6 heads
    'base': (768, 12, 12, 3072),
    'large': (1024, 24, 16, 4096),
    'huge': (1280, 32, 16, 5120),
}
NORMAL_INIT = [
    {'type': 'TruncNormal', 'layer': ['Linear', 'Conv2d'], 'std': 0.02},
    {'type': 'Constant', 'layer': 'LayerNorm', 'val': 1.0},
]


@MODELS.register_module()
class ViTBackbone(BaseModule):
    """Vision Transformer over patches; one feature map at 1/16.

    Parameters at 256 x 192: small 21,663,360, base 85,794,048, large 303,295,488,
    huge 630,910,720.

    Args:
        arch: ``'small'``, ``'base'``, ``'large'`` or ``'huge'``, or a dict with
            ``embed_dims``, ``num_layers``, ``num_heads`` and ``feedforward_channels``.
        img_size: **height, width** of the images in px, as mmpretrain has it. A codec's
            ``input_size`` is (width, height).
        patch_size: side of a patch and stride, px.
        padding: of the images on each side before they are cut, px.
        in_channels: channels of the images.
        qkv_bias: whether queries, keys and values have a bias.
        drop_path_rate: of the last layer; it grows linearly from 0 in the first.
        with_cp: recompute the layers in the backward pass to save memory.
        init_cfg: where the weights come from. Default: normal with deviation 0.02.
            Position embeddings of a checkpoint with another grid are resized, and that of
            a class token is dropped; the log says so.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        arch: str | Mapping[str, int] = 'base',
        img_size: Sequence[int] = (256, 192),
        patch_size: int = 16,
        padding: int = 2,
        in_channels: int = 3,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg or [dict(cfg) for cfg in NORMAL_INIT])
        dim, depth, heads, hidden = _read_arch(arch)
        if not isinstance(img_size, Sequence) or len(img_size) != 2:
            raise UserError(f'ViTBackbone: expected img_size (height, width), got {img_size!r}.')
        check_counts('ViTBackbone', img_height=img_size[0], img_width=img_size[1])
        check_counts('ViTBackbone', patch_size=patch_size, in_channels=in_channels)
        check_counts('ViTBackbone', least=0, padding=padding)
        check_rates('ViTBackbone', drop_path_rate=drop_path_rate)
        self.img_size = tuple(img_size)
        self.grid = tuple((side + 2 * padding - patch_size) // patch_size + 1 for side in img_size)
        check_counts('ViTBackbone', patch_rows=self.grid[0], patch_columns=self.grid[1])
        self.out_channels = (dim,)
        self.with_cp = with_cp

        self.patch_embed = nn.Module()  # mmpretrain's name of the convolution has two parts
        self.patch_embed.projection = nn.Conv2d(
            in_channels, dim, patch_size, stride=patch_size, padding=padding
        )
        self.pos_embed = nn.Parameter(torch.empty(1, self.grid[0] * self.grid[1], dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        rates = [drop_path_rate * i / max(depth - 1, 1) for i in range(depth)]
        self.layers = nn.ModuleList(ViTBlock(dim, heads, hidden, r, qkv_bias) for r in rates)
        self.ln1 = nn.LayerNorm(dim, eps=EPS)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Run the network.

        Args:
            x: images, shape (N, in_channels, *img_size).

        Returns:
            One map, shape (N, embed_dims, *grid); (768, 16, 12) for 'base' at (256, 192).

        Raises:
            UserError: the images have another size than the positions were made for.
        """
        if tuple(x.shape[-2:]) != self.img_size:
            raise UserError(
                f'ViTBackbone: expected images of height {self.img_size[0]} and width '
                f'{self.img_size[1]}, got {x.shape[-2]} and {x.shape[-1]}. Set img_size=(height, '
                "width) of the backbone to the codec's input_size=(width, height), turned round."
            )
        x = self.patch_embed.projection(x).flatten(2).transpose(1, 2) + self.pos_embed
        for layer in self.layers:
            if self.with_cp and x.requires_grad:
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return (self.ln1(x).transpose(1, 2).unflatten(2, self.grid),)

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # The place that torch gives a module to bring an older file into its own form.
        name, token = f'{prefix}pos_embed', f'{prefix}cls_token'
        has_token = token in state_dict
        state_dict.pop(token, None)
        if name in state_dict:
            state_dict[name], done = fit_positions(state_dict[name], self.grid, has_token)
            if done:
                print_log(f'{name} of the checkpoint: {", ".join(done)}.', 'current')
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _read_arch(arch: str | Mapping[str, int]) -> tuple[int, int, int, int]:
    """embed_dims, num_layers, num_heads, feedforward_channels."""
    if not isinstance(arch, Mapping):
        check_choice('ViTBackbone', 'arch', arch, ARCHITECTURES)
        return ARCHITECTURES[arch]
    if set(arch) != set(WIDTHS):
        raise UserError(
            f'ViTBackbone: expected arch to be one of {", ".join(ARCHITECTURES)}, or a dict with '
            f'{", ".join(WIDTHS)}; got a dict with {", ".join(map(str, arch))}.'
        )
    check_counts('ViTBackbone', **arch)
    return tuple(arch[name] for name in WIDTHS)
