"""Learned position embeddings of one token grid, brought to another.

A Vision Transformer adds to the token of row i and column j of the grid of patches a learned
vector. A checkpoint has as many of them as its grid had places: 14 x 14 after pre-training
on 224 x 224 px, 16 x 12 for persons of 256 x 192 px. The vectors vary smoothly over the
grid, so another grid is sampled from it by bicubic interpolation (Dosovitskiy et al., ICLR
2021, section 3.2).

Tokens are in row-major order, and grids are (rows, columns).
"""

import math

import torch.nn.functional as F
from torch import Tensor

from rlepose_ext.errors import UserError

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
