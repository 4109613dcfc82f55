"""Large selective kernel: the formula written out, parameters, gradients, bad widths."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.necks.attention import (
    LargeSelectiveKernel,
    gated_sum,
    spatial_summary,
)


@pytest.mark.parametrize(('channels', 'total'), [(2, 360), (32, 4_230)])
def test_parameters(channels, total):
    unit = LargeSelectiveKernel(channels)
    assert sum(p.numel() for p in unit.parameters()) == total
    c = channels
    by_hand = 26 * c + 50 * c + 2 * (c * c // 2 + c // 2) + (2 * 2 * 49 + 2) + (c // 2 * c + c)
    assert by_hand == total


def depthwise(x, conv, dilation):
    """A depthwise convolution as a sum over shifted copies of the zero-padded map."""
    size = conv.weight.shape[-1]
    pad = dilation * (size // 2)
    padded = F.pad(x, [pad] * 4)
    out = conv.bias[None, :, None, None].expand_as(x).clone()
    for i in range(size):
        for j in range(size):
            rows = slice(i * dilation, i * dilation + x.shape[2])
            columns = slice(j * dilation, j * dilation + x.shape[3])
            out += conv.weight[:, 0, i, j][None, :, None, None] * padded[:, :, rows, columns]
    return out


def mix(conv, x):
    """A 1x1 convolution as a matrix product."""
    return torch.einsum('oc,nchw->nohw', conv.weight[:, :, 0, 0], x) + conv.bias[:, None, None]


def test_formula_written_out():
    unit = LargeSelectiveKernel(6).double()
    for parameter in unit.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 6, 9, 7, dtype=torch.float64)
    u1 = depthwise(x, unit.near, 1)
    u2 = depthwise(u1, unit.far, 3)
    v1, v2 = mix(unit.reduce_near, u1), mix(unit.reduce_far, u2)
    v = torch.cat([v1, v2], 1)
    summary = torch.stack([v.mean(1), v.max(1).values], 1)
    a = torch.sigmoid(F.conv2d(summary, unit.gate.weight, unit.gate.bias, padding=3))
    expected = x * mix(unit.expand, a[:, :1] * v1 + a[:, 1:] * v2)
    torch.testing.assert_close(unit(x), expected)


def test_a_pixel_sees_23_px():
    unit = LargeSelectiveKernel(2)
    x = torch.zeros(1, 2, 41, 41)
    x[..., 20, 20] = 1
    seen = (unit.far(unit.near(x)) - unit.far(unit.near(x * 0))).abs().sum(1)[0] > 0
    assert seen.any(0).sum() == seen.any(1).sum() == 5 + 3 * 6


def test_parts():
    x = torch.tensor([[[[1.0]], [[5.0]], [[0.0]]]])
    assert spatial_summary(x).flatten().tolist() == [2, 5]
    gates = torch.tensor([[[[0.5]], [[2.0]]]])
    assert gated_sum([x, x + 1], gates).flatten().tolist() == [4.5, 14.5, 2]


def test_every_branch_gets_a_gradient():
    unit = LargeSelectiveKernel(4).double()
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    unit(x).square().sum().backward()
    for name, parameter in unit.named_parameters():
        assert parameter.grad.any(), name
    assert torch.autograd.gradcheck(unit, x[:1, :, :3, :3].detach().requires_grad_())


@pytest.mark.parametrize('channels', [0, 17, -2, '32', 2.0])
def test_bad_widths_are_named(channels):
    with pytest.raises(UserError, match=rf'positive and even, got {channels!r}'):
        LargeSelectiveKernel(channels)
