"""Deformable convolution, plain (Dai et al. 2017) and modulated (Zhu et al. 2019).

mmcv and torchvision agree on everything: offsets are (y, x) pairs per kernel tap in
input pixels, deformable groups outermost; samples outside the image by a pixel or more
are 0. ``im2col_step`` and the two scratch buffers of mmcv's calls have no meaning here. mmcv
gives the numbers by their names.
"""

from __future__ import annotations

from torch import Tensor

from rlepose_ext.compat.mmcv_ops._dtypes import compute_dtype
from rlepose_ext.compat.mmcv_ops._torchvision import torchvision_ops

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
]

Grads = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **options: int,
) -> None:
    """Overwrite ``output`` (B, O, h, w).

    ``input`` is (B, C, H, W), ``weight`` (O, C / group, kH, kW), ``offset``
    (B, 2 * deformable_group * kH * kW, h, w). Stride (dW, dH), padding and dilation are
    in input pixels. ``columns``, ``ones`` and ``im2col_step`` are unused.
    """
    output.copy_(_forward(input, weight, offset, None, None, _plain(options)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **options: int,
) -> None:
    """Fill ``grad_input`` and ``grad_offset``; arguments as :func:`deform_conv_forward`."""
    grads = _backward(grad_output, input, weight, offset, None, None, _plain(options))
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **options: int,
) -> None:
    """Add ``scale`` times the weight's gradient to ``grad_weight``."""
    # The values of the weight do not enter its own gradient, only its shape does.
    grads = _backward(grad_output, input, grad_weight, offset, None, None, _plain(options))
    grad_weight.add_(grads[1].to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **options: int,
) -> None:
    """Overwrite ``output`` (B, O, h, w); each sampled value is multiplied by its mask.

    ``input`` is (B, C, H, W), ``weight`` (O, C / group, kernel_h, kernel_w), ``bias``
    (O,) or empty where ``with_bias`` is false, ``offset``
    (B, 2 * deformable_group * kernel_h * kernel_w, h, w), ``mask`` half as many channels.
    Stride, padding and dilation are in input pixels. ``ones`` and ``columns`` are unused.
    """
    bias = bias if with_bias else None
    output.copy_(_forward(input, weight, offset, mask, bias, _modulated(options)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **options: int,
) -> None:
    """Fill the five gradients; arguments as :func:`modulated_deform_conv_forward`."""
    bias = bias if with_bias else None
    grads = _backward(grad_output, input, weight, offset, mask, bias, _modulated(options))
    targets = (grad_input, grad_weight, grad_offset, grad_mask)
    for target, grad in zip(targets, grads, strict=False):
        target.copy_(grad)
    if with_bias:
        grad_bias.copy_(grads[4])


def _plain(options: dict[str, int]) -> tuple[int, ...]:
    """Stride, padding, dilation and groups in torchvision's order."""
    pairs = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW')
    return tuple(options[name] for name in (*pairs, 'group', 'deformable_group'))


def _modulated(options: dict[str, int]) -> tuple[int, ...]:
    pairs = [f'{name}_{axis}' for name in ('stride', 'pad', 'dilation') for axis in 'hw']
    return tuple(options[name] for name in (*pairs, 'group', 'deformable_group'))


def _forward(input, weight, offset, mask, bias, geometry) -> Tensor:
    operands = _operands(input, weight, offset, mask, bias)
    return torchvision_ops().deform_conv2d(*operands, *geometry, mask is not None)


def _backward(grad_output, input, weight, offset, mask, bias, geometry) -> Grads:
    """Gradients of input, weight, offset, mask, bias."""
    operands = _operands(input, weight, offset, mask, bias)
    grad_output = grad_output.to(operands[0].dtype).contiguous()
    return torchvision_ops()._deform_conv2d_backward(
        grad_output, *operands, *geometry, mask is not None
    )


def _operands(input, weight, offset, mask, bias) -> list[Tensor]:
    # torchvision takes a placeholder mask and a bias of zeros where there is none.
    mask = input.new_zeros(input.size(0), 1) if mask is None else mask
    bias = input.new_zeros(weight.size(0)) if bias is None else bias
    operands = (input, weight, offset, mask, bias)
    dtype = compute_dtype(*operands)
    return [operand.to(dtype).contiguous() for operand in operands]
