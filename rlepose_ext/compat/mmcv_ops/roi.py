"""Features of regions: RoIAlign (He et al. 2017) and RoIPool (Girshick 2015).

Regions are rows ``(image index, x1, y1, x2, y2)`` in input pixels; ``spatial_scale``
brings them to the pixels of the feature map.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlepose_ext.compat.mmcv_ops._dtypes import compute_dtype
from rlepose_ext.compat.mmcv_ops._torchvision import torchvision_ops

__all__ = [
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
]

_MAX = 0
# Farther out than any sample counts: marks a bin without samples.
_NOWHERE = -2.0


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output`` with the mean or the maximum of bilinear samples in every bin.

    Args:
        input: (N, C, H, W) features.
        rois: (K, 5), see above.
        output: (K, C, aligned_height, aligned_width), overwritten.
        argmax_y: as ``output`` in mode 0: row where the maximum was sampled, in feature
            pixels; unused in mode 1.
        argmax_x: its column.
        aligned_height: bins per region, downwards.
        aligned_width: bins per region, across.
        spatial_scale: feature pixels per input pixel.
        sampling_ratio: samples per bin and direction; 0 takes one per feature pixel.
        pool_mode: 0 maximum, 1 mean.
        aligned: shift by half a feature pixel, so that pixel centres lie at .5; without
            it regions are at least one feature pixel wide and high.
    """
    dtype = compute_dtype(input, rois)
    size = (aligned_height, aligned_width)
    if pool_mode != _MAX:
        output.copy_(
            torchvision_ops().roi_align(
                input.to(dtype), rois.to(dtype), spatial_scale, *size, sampling_ratio, aligned
            )
        )
        return

    features, rois = input.to(dtype), rois.to(dtype)
    start, extent = _align_region(rois, spatial_scale, aligned)
    bins = extent / extent.new_tensor(size)
    if sampling_ratio > 0:
        grids = torch.full_like(bins, sampling_ratio)
    else:
        grids = bins.ceil().clamp(0)
    output.zero_()
    argmax_y.fill_(_NOWHERE)
    argmax_x.fill_(_NOWHERE)
    # Regions with equally many samples go through in one piece.
    for grid in grids.unique(dim=0):
        rows = (grids == grid).all(dim=1).nonzero().squeeze(1)
        count_y, count_x = (int(n) for n in grid)
        if count_y == 0 or count_x == 0:
            continue
        y = _sample_positions(start[rows, 0], bins[rows, 0], size[0], count_y)
        x = _sample_positions(start[rows, 1], bins[rows, 1], size[1], count_x)
        shape = (len(rows), *size, count_y, count_x)
        y = y[:, :, None, :, None].expand(shape).reshape(len(rows), 1, -1)
        x = x[:, None, :, None, :].expand(shape).reshape(len(rows), 1, -1)
        samples = _bilinear(features, rois[rows, 0].long(), y, x)
        best = samples.reshape(len(rows), -1, *size, count_y * count_x).max(dim=-1)
        output[rows] = best.values.to(output.dtype)
        for argmax, position in ((argmax_y, y), (argmax_x, x)):
            position = position.reshape(len(rows), 1, *size, -1)
            position = position.expand(*best.indices.shape, -1)
            found = position.gather(-1, best.indices[..., None]).squeeze(-1)
            argmax[rows] = found.to(argmax.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``grad_input`` (N, C, H, W); arguments as :func:`roi_align_forward`."""
    dtype = compute_dtype(grad_output, rois)
    grad_output, rois = grad_output.to(dtype), rois.to(dtype)
    if pool_mode != _MAX:
        size = (aligned_height, aligned_width)
        grad_input.copy_(
            torchvision_ops()._roi_align_backward(
                grad_output,
                rois,
                spatial_scale,
                *size,
                *grad_input.shape,
                sampling_ratio,
                aligned,
            )
        )
        return
    # Sampling is linear in the features: its gradient does not depend on their values.
    features = torch.zeros_like(grad_input, dtype=dtype, requires_grad=True)
    y, x = (argmax.to(dtype).flatten(2) for argmax in (argmax_y, argmax_x))
    with torch.enable_grad():
        samples = _bilinear(features, rois[:, 0].long(), y, x)
    (grad,) = torch.autograd.grad(samples, features, grad_output.reshape(samples.shape))
    grad_input.copy_(grad)


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill ``output`` with the maximum of the feature pixels that each bin touches.

    mmcv's variant, not torchvision's: x2 and y2 belong to the region (+1), which is
    scaled without rounding. A bin outside the map, or a region without extent, gives 0.

    Args:
        input: (N, C, H, W) features.
        rois: (K, 5), see above.
        output: (K, C, pooled_height, pooled_width), overwritten.
        argmax: int32, as ``output``: index of the maximum in H * W, -1 where there is none.
        pooled_height: bins per region, downwards.
        pooled_width: bins per region, across.
        spatial_scale: feature pixels per input pixel.
    """
    dtype = compute_dtype(input, rois)
    rois = rois.to(dtype)
    height, width = input.shape[2:]
    y_edges = _bin_edges(rois[:, 2], rois[:, 4], spatial_scale, pooled_height, height)
    x_edges = _bin_edges(rois[:, 1], rois[:, 3], spatial_scale, pooled_width, width)
    output.zero_()
    argmax.fill_(-1)
    # Regions differ in size, so one at a time: the row-wise maxima of every column bin,
    # then their maximum over every row bin. In this order the first of equal maxima in
    # reading order is found, as by the compiled op.
    extents = [edge for low, high in (y_edges, x_edges) for edge in (low[:, 0], high[:, -1])]
    images = rois[:, 0].long()
    for k, (image, y1, y2, x1, x2) in enumerate(torch.stack([images, *extents], 1).tolist()):
        if y2 <= y1 or x2 <= x1:
            continue
        (top, bottom), (left, right) = y_edges[:, k], x_edges[:, k]
        region = input[image, :, y1:y2, x1:x2]
        in_row = _inside(top, bottom, y1, y2)[:, :, None]
        in_column = _inside(left, right, x1, x2)
        rows = region[:, :, None].masked_fill(~in_column, -torch.inf).max(dim=-1)
        best = rows.values[:, None].masked_fill(~in_row, -torch.inf).max(dim=2)
        y, x = best.indices, rows.indices.gather(1, best.indices)
        pooled = ((bottom > top)[:, None] & (right > left)).expand_as(best.values)
        output[k] = best.values.masked_fill(~pooled, 0)
        index = (y + y1) * width + x + x1
        argmax[k] = index.masked_fill(~pooled, -1).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill ``grad_input`` (N, C, H, W): each bin's gradient goes to its maximum."""
    _, channels, height, width = grad_input.shape
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)
    index = plane[:, :, None, None] * (height * width) + argmax.long()
    found = argmax >= 0
    grad = torch.zeros(grad_input.numel(), dtype=compute_dtype(grad_output), device=rois.device)
    grad.index_add_(0, index[found], grad_output[found].to(grad.dtype))
    grad_input.copy_(grad.view_as(grad_input))


def _align_region(rois: Tensor, scale: float, aligned: bool) -> tuple[Tensor, Tensor]:
    """Top-left corner and extent of each region, both (K, 2) as (y, x), feature pixels."""
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    start, end = corners[:, [1, 0]], corners[:, [3, 2]]
    extent = end - start
    return start, extent if aligned else extent.clamp(min=1)


def _sample_positions(start: Tensor, size: Tensor, bins: int, count: int) -> Tensor:
    """Positions of ``count`` evenly spread samples in each bin, (K, bins, count)."""
    index = torch.arange(bins, device=start.device, dtype=start.dtype)
    inner = (torch.arange(count, device=start.device, dtype=start.dtype) + 0.5) / count
    return start[:, None, None] + (index[:, None] + inner) * size[:, None, None]


def _bilinear(features: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample ``features[image]`` (N, C, H, W) at y, x, both (K, C or 1, P): (K, C, P).

    Positions are feature pixels with centres at integers. Up to one pixel outside they
    take the border's value, farther out 0.
    """
    _, channels, height, width = features.shape
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.floor(), x.floor()
    down, across = y - top, x - left
    top, left = top.long(), left.long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    plane = image[:, None] * channels + torch.arange(channels, device=image.device)
    base = plane[:, :, None] * (height * width)
    flat = features.reshape(-1)

    def at(row: Tensor, column: Tensor) -> Tensor:
        return flat[base + row * width + column]

    upper = at(top, left) * (1 - across) + at(top, right) * across
    lower = at(bottom, left) * (1 - across) + at(bottom, right) * across
    return (upper * (1 - down) + lower * down) * inside


def _bin_edges(low: Tensor, high: Tensor, scale: float, bins: int, limit: int) -> Tensor:
    """First and last-plus-one pixel of every bin, (2, K, bins) int64."""
    start, end = low * scale, (high + 1) * scale
    step = ((end - start) / bins)[:, None]
    index = torch.arange(bins + 1, device=low.device, dtype=low.dtype)
    edges = index * step + start[:, None]
    first, last = edges[:, :-1].floor(), edges[:, 1:].ceil()
    last = torch.where(step > 0, last, first)
    return torch.stack([first, last]).clamp(0, limit).long()


def _inside(first: Tensor, last: Tensor, low: int, high: int) -> Tensor:
    """Which of the pixels low ... high - 1 each bin touches, (bins, high - low)."""
    pixel = torch.arange(low, high, device=first.device)
    return (pixel >= first[:, None]) & (pixel < last[:, None])
