"""Deformable convolution and deformable attention against plain torch."""

import math

import pytest
import torch
from mmcv.ops import (
    DeformConv2d,
    DeformConv2dPack,
    ModulatedDeformConv2d,
    ModulatedDeformConv2dPack,
    MultiScaleDeformableAttention,
    deform_conv2d,
    modulated_deform_conv2d,
)
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch.autograd import gradcheck
from torch.nn import functional as F

from rlepose_ext.compat import mmcv_ops

if mmcv_ops.PATCH.status() != 'stand-in active':
    pytest.skip('mmcv is compiled: its own ops are in use', allow_module_level=True)

# batch, channels in, out, kernel, stride, padding, dilation, groups, deform groups
CASES = [
    (2, 4, 6, (3, 3), (1, 1), (1, 1), (1, 1), 1, 1),
    (3, 4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, 1),
    (1, 4, 4, (1, 3), (1, 2), (0, 1), (2, 1), 4, 2),
    (2, 4, 2, (3, 3), (1, 1), (2, 2), (2, 2), 1, 4),
]


def plain_deform_conv(x, offset, weight, stride, padding, dilation, groups, deform, mask=None):
    """Sum over kernel taps of weight times the image sampled at the moved tap."""
    batch, _, height, width = x.shape
    kernel_h, kernel_w = weight.shape[2:]
    out_h, out_w = offset.shape[2:]
    offset = offset.view(batch, deform, kernel_h, kernel_w, 2, out_h, out_w)
    if mask is not None:
        mask = mask.view(batch, deform, kernel_h, kernel_w, out_h, out_w)
    rows = torch.arange(out_h, dtype=x.dtype)[:, None] * stride[0] - padding[0]
    columns = torch.arange(out_w, dtype=x.dtype) * stride[1] - padding[1]
    output = 0
    for i in range(kernel_h):
        for j in range(kernel_w):
            taps = []
            for g, part in enumerate(x.chunk(deform, dim=1)):
                y = rows + i * dilation[0] + offset[:, g, i, j, 0]
                z = columns + j * dilation[1] + offset[:, g, i, j, 1]
                grid = torch.stack([z / (width - 1), y / (height - 1)], -1) * 2 - 1
                tap = F.grid_sample(part, grid, padding_mode='zeros', align_corners=True)
                taps.append(tap if mask is None else tap * mask[:, g, i, j, None])
            taps = torch.cat(taps, 1).chunk(groups, dim=1)
            kernels = weight[:, :, i, j].chunk(groups, dim=0)
            output = output + torch.cat(
                [torch.einsum('bchw,oc->bohw', t, k) for t, k in zip(taps, kernels, strict=True)],
                dim=1,
            )
    return output


def draw(case):
    dtype = torch.float64
    batch, c_in, c_out, kernel, stride, padding, dilation, groups, deform = case
    x = torch.randn(batch, c_in, 6, 5, dtype=dtype)
    weight = torch.randn(c_out, c_in // groups, *kernel, dtype=dtype)
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip((6, 5), padding, dilation, kernel, stride, strict=True)
    ]
    taps = kernel[0] * kernel[1] * deform
    offset = 1.5 * torch.randn(batch, 2 * taps, *out, dtype=dtype)
    mask = torch.rand(batch, taps, *out, dtype=dtype)
    bias = torch.randn(c_out, dtype=dtype)
    return [t.requires_grad_() for t in (x, offset, weight, mask, bias)], case[4:]


@pytest.mark.parametrize('case', CASES)
def test_deform_conv_equals_plain_torch(case):
    (x, offset, weight, _, _), geometry = draw(case)
    expected = plain_deform_conv(x, offset, weight, *geometry)
    got = deform_conv2d(x, offset, weight, *geometry)
    torch.testing.assert_close(got, expected)
    upstream = torch.randn_like(got)
    torch.testing.assert_close(
        torch.autograd.grad(got, (x, offset, weight), upstream),
        torch.autograd.grad(expected, (x, offset, weight), upstream),
    )


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('with_bias', [True, False])
def test_modulated_deform_conv_equals_plain_torch(case, with_bias):
    (x, offset, weight, mask, bias), geometry = draw(case)
    inputs = (x, offset, mask, weight) + ((bias,) if with_bias else ())
    expected = plain_deform_conv(x, offset, weight, *geometry, mask=mask)
    if with_bias:
        expected = expected + bias[:, None, None]
    got = modulated_deform_conv2d(x, offset, mask, weight, bias if with_bias else None, *geometry)
    torch.testing.assert_close(got, expected)
    upstream = torch.randn_like(got)
    torch.testing.assert_close(
        torch.autograd.grad(got, inputs, upstream), torch.autograd.grad(expected, inputs, upstream)
    )


def test_deform_conv_gradcheck():
    (x, offset, weight, mask, bias), geometry = draw(
        (1, 2, 2, (2, 2), (1, 1), (0, 0), (1, 1), 1, 1)
    )
    assert gradcheck(lambda *t: deform_conv2d(*t, *geometry), (x, offset, weight))
    assert gradcheck(
        lambda *t: modulated_deform_conv2d(*t, *geometry), (x, offset, mask, weight, bias)
    )


def test_deform_conv_with_fixed_offsets_is_a_convolution():
    x, weight = torch.randn(2, 3, 7, 6), torch.randn(4, 3, 3, 3)
    still = torch.zeros(2, 18, 7, 6)
    expected = F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(deform_conv2d(x, still, weight, 1, 1), expected)
    # One pixel down and two to the right: offsets are (y, x).
    moved = still.clone()
    moved[:, 0::2], moved[:, 1::2] = 1, 2
    expected = F.conv2d(F.pad(x, (-1, 3, 0, 2)), weight)
    torch.testing.assert_close(deform_conv2d(x, moved, weight, 1, 1), expected)


def test_deform_conv_weight_gradient_alone_and_twice():
    (x, offset, weight, _, _), geometry = draw(CASES[0])
    got = deform_conv2d(x.detach(), offset.detach(), weight, *geometry)
    expected = plain_deform_conv(x, offset, weight, *geometry)
    for _ in range(2):
        upstream = torch.randn_like(got)
        torch.testing.assert_close(
            torch.autograd.grad(got, weight, upstream, retain_graph=True),
            torch.autograd.grad(expected, weight, upstream, retain_graph=True),
        )


def test_deform_conv_under_autocast():
    layer, plain = DeformConv2dPack(3, 4, 3, padding=1), torch.nn.Conv2d(3, 4, 3, padding=1)
    plain.weight, plain.bias = layer.weight, None
    x = torch.randn(2, 3, 5, 5)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = layer(x)
    out.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    torch.testing.assert_close(out.float(), plain(x), atol=0.1, rtol=0.05)


@pytest.mark.parametrize(
    'layer',
    [DeformConv2dPack(4, 6, 3, padding=1), ModulatedDeformConv2dPack(4, 6, 3, padding=1)],
    ids=['DCN', 'DCNv2'],
)
def test_deform_conv_layers_start_as_convolutions(layer):
    x = torch.randn(2, 4, 6, 5)
    factor = 0.5 if isinstance(layer, ModulatedDeformConv2d) else 1.0  # sigmoid(0)
    expected = factor * F.conv2d(x, layer.weight, padding=1)
    out = layer(x)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    assert all(p.grad.any() for p in layer.parameters())


def test_deform_conv_of_an_image_smaller_than_the_kernel():
    layer = DeformConv2d(2, 3, 3, padding=1)
    x = torch.randn(1, 2, 2, 2)
    out = layer(x, torch.zeros(1, 18, 2, 2))
    torch.testing.assert_close(out, F.conv2d(x, layer.weight, padding=1))


def attention_case():
    dtype = torch.float64
    shapes = torch.tensor([[4, 3], [2, 5]])
    start = torch.tensor([0, 12])
    value = torch.randn(2, 22, 2, 3, dtype=dtype)
    locations = 1.4 * torch.rand(2, 4, 2, 2, 3, 2, dtype=dtype) - 0.2  # some outside
    weights = torch.randn(2, 4, 2, 6, dtype=dtype).softmax(-1).view(2, 4, 2, 2, 3)
    return value, shapes, start, locations, weights


def loop_attention(value, shapes, start, locations, weights):
    batch, queries, heads, levels, points, _ = locations.shape
    out = torch.zeros(batch, queries, heads, value.shape[-1], dtype=value.dtype)
    for b, q, h, level, p in torch.cartesian_prod(
        *(torch.arange(n) for n in (batch, queries, heads, levels, points))
    ).tolist():
        height, width = shapes[level].tolist()
        x, y = locations[b, q, h, level, p].tolist()
        x, y = x * width - 0.5, y * height - 0.5
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if 0 <= row < height and 0 <= column < width:
                    near = (1 - abs(y - row)) * (1 - abs(x - column))
                    pixel = value[b, start[level] + row * width + column, h]
                    out[b, q, h] += near * weights[b, q, h, level, p] * pixel
    return out.flatten(2)


def test_deformable_attention_op_equals_a_loop():
    case = attention_case()
    out = MultiScaleDeformableAttnFunction.apply(*case, 64)
    torch.testing.assert_close(out, loop_attention(*case))


def test_deformable_attention_op_gradcheck():
    value, shapes, start, locations, weights = attention_case()
    tensors = [t[:1].clone().requires_grad_() for t in (value, locations, weights)]
    assert gradcheck(
        lambda v, x, w: MultiScaleDeformableAttnFunction.apply(v, shapes, start, x, w, 64), tensors
    )


def test_deformable_attention_module_equals_its_definition():
    layer = MultiScaleDeformableAttention(
        embed_dims=8, num_heads=2, num_levels=2, num_points=3, dropout=0.0, batch_first=True
    )
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    shapes, start = torch.tensor([[4, 3], [2, 5]]), torch.tensor([0, 12])
    query, value = torch.randn(2, 4, 8), torch.randn(2, 22, 8)
    reference = torch.rand(2, 4, 2, 2)
    out = layer(
        query,
        value=value,
        reference_points=reference,
        spatial_shapes=shapes,
        level_start_index=start,
    )
    offsets = layer.sampling_offsets(query).view(2, 4, 2, 2, 3, 2)
    weights = layer.attention_weights(query).view(2, 4, 2, 6).softmax(-1).view(2, 4, 2, 2, 3)
    size = shapes.flip(1)[None, None, None, :, None]
    sampled = loop_attention(
        layer.value_proj(value).view(2, 22, 2, 4).detach(),
        shapes,
        start,
        reference[:, :, None, :, None] + offsets / size,
        weights.detach(),
    )
    torch.testing.assert_close(out, layer.output_proj(sampled) + query)
    out.square().sum().backward()
    assert all(parameter.grad.any() for parameter in layer.parameters())
