"""Coordinate attention: by hand in loops, exact total, gradients, bad input."""

import pytest
import torch
from model_case import assert_learns
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.layers import CoordAttention

B, C, H, W = 2, 6, 5, 4


def make(channels: int = C, reduction: int = 3) -> CoordAttention:
    """A block in float64 whose parameters and statistics are all random."""
    block = CoordAttention(channels, reduction).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    nn.init.normal_(block.norm.running_mean)
    nn.init.uniform_(block.norm.running_var, 0.5, 2)
    return block


def maps() -> torch.Tensor:
    return torch.randn(B, C, H, W, dtype=torch.float64)


def gate(block: CoordAttention, profile: torch.Tensor, last: nn.Conv2d) -> torch.Tensor:
    """Equations 6 to 8 at one place: C numbers in, C numbers out."""
    norm = block.norm
    hidden = block.squeeze.weight[:, :, 0, 0] @ profile
    hidden = (hidden - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    hidden = hidden * norm.weight + norm.bias
    hidden = hidden * (hidden + 3).clamp(0, 6) / 6
    return torch.sigmoid(last.weight[:, :, 0, 0] @ hidden)


def test_equals_loops():
    block, x = make().eval(), maps()
    got = block(x)
    for b in range(B):
        for row in range(H):
            for column in range(W):
                by_row = gate(block, x[b, :, row].mean(-1), block.gate_h)
                by_column = gate(block, x[b, :, :, column].mean(-1), block.gate_w)
                expected = x[b, :, row, column] * by_row * by_column
                torch.testing.assert_close(got[b, :, row, column], expected)


def test_total():
    assert sum(parameter.numel() for parameter in CoordAttention(17).parameters()) == 53
    # a bottleneck of two: three convolutions of 64, batch norm
    assert sum(parameter.numel() for parameter in CoordAttention(32).parameters()) == 196


def test_gradients():
    assert torch.autograd.gradcheck(make(), (maps().requires_grad_(),))
    block = make()
    assert_learns(block, block(maps()).square().sum())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype):
    with torch.autocast('cpu', dtype):
        assert CoordAttention(17)(1e3 * torch.randn(B, 17, H, W)).isfinite().all()


def test_bad_input_is_named():
    with pytest.raises(UserError, match=r'\(B, 6, H, W\), got \(2, 7, 5, 4\)'):
        make()(torch.zeros(B, 7, H, W))
    with pytest.raises(UserError, match='reduction to be a whole number'):
        CoordAttention(17, 0)
