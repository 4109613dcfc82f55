"""Multi-scale deformable attention (Zhu et al. 2021, eq. 3) through mmcv's torch path.

On the CPU ``mmcv.ops.MultiScaleDeformableAttention`` uses that path by itself; on CUDA
it calls these two. Points are (x, y) in [0, 1] of each level, pixel centres at
(i + 0.5) / size; outside the level the value is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlepose_ext.compat.mmcv_ops._dtypes import compute_dtype

__all__ = ['ms_deform_attn_backward', 'ms_deform_attn_forward']


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted sum of the values sampled at ``sampling_locations``.

    Args:
        value: (B, sum of H * W, heads, D), levels one after the other, rows of pixels.
        value_spatial_shapes: (levels, 2), height and width in pixels.
        value_level_start_index: (levels,), unused: it follows from the shapes.
        sampling_locations: (B, Q, heads, levels, points, 2), (x, y) in [0, 1].
        attention_weights: (B, Q, heads, levels, points).
        im2col_step: unused.

    Returns:
        (B, Q, heads * D), in the type of ``value``.
    """
    dtype = compute_dtype(value, sampling_locations, attention_weights)
    operands = [x.to(dtype) for x in (value, sampling_locations, attention_weights)]
    return _attend(*operands, value_spatial_shapes.tolist()).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Fill the three gradients; arguments as :func:`ms_deform_attn_forward`.

    Runs the forward pass again under autograd, because mmcv keeps only the inputs.
    """
    dtype = compute_dtype(value, sampling_locations, attention_weights)
    operands = [
        x.detach().to(dtype).requires_grad_()
        for x in (value, sampling_locations, attention_weights)
    ]
    with torch.enable_grad():
        output = _attend(*operands, value_spatial_shapes.tolist())
    grads = torch.autograd.grad(output, operands, grad_output.to(dtype))
    for target, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads, strict=True):
        target.copy_(grad)


def _attend(value: Tensor, locations: Tensor, weights: Tensor, shapes: list) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    # Autocast would send the float32 sampling below back to 16 bits.
    with torch.autocast(value.device.type, enabled=False):
        return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
