"""Rounding to 8 bit by hand, its gradients against LSQ+'s formulas, and ranges."""

import math

import pytest
import torch

from rlepose_ext.quant.fake_quant import Point, fake_quantise, fake_quantise_weight, weight_scale


def test_by_hand():
    x = torch.tensor([0.0, 0.24, 0.26, -1.1, 63.0, 900.0, -900.0])
    found = fake_quantise(x, torch.tensor(0.5), torch.tensor(2.0))
    assert found.tolist() == [0.0, 0.0, 0.5, -1.0, 62.5, 62.5, -65.0]


def test_gradients_are_those_of_the_paper():
    s, z = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.3, -2.6))
    x = torch.linspace(-60, 60, 41, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(41, dtype=torch.float64)
    (fake_quantise(x, s, z) * weights).sum().backward()
    q = (x / s + z).detach()
    inside = (q >= -128) & (q <= 127)
    assert 5 < inside.sum() < 36
    torch.testing.assert_close(x.grad, weights * inside)
    ends = q.clamp(-128, 127)
    slope = torch.where(inside, q.round() - q, ends - z.detach())
    torch.testing.assert_close(s.grad, (weights * slope).sum())
    torch.testing.assert_close(z.grad, (weights * torch.where(inside, 0.0, -s.detach())).sum())


def test_scales_of_a_point_have_the_papers_factor():
    x = torch.randn(3, 5, 7)
    plain, learned = Point(), Point()
    for point in (plain, learned):
        point.scale.data.fill_(0.01)
        point.zero_point.data.fill_(1.5)
        point.learned()
    fake_quantise(x, plain.scale, plain.zero_point).sum().backward()
    learned(x).sum().backward()
    factor = 1 / math.sqrt(5 * 7 * 127)
    torch.testing.assert_close(learned.scale.grad, plain.scale.grad * factor)
    torch.testing.assert_close(learned.zero_point.grad, plain.zero_point.grad * factor)


def test_weights_have_a_scale_for_each_channel():
    weight = torch.stack([torch.linspace(-1, 1, 9), torch.linspace(-30, 20, 9), torch.zeros(9)])
    weight = weight.view(3, 1, 3, 3)
    scale = weight_scale(weight)
    torch.testing.assert_close(scale, torch.tensor([1 / 127.5, 30 / 127.5, 1.0]))
    rounded = fake_quantise_weight(weight, scale)
    steps = rounded / scale.view(3, 1, 1, 1)
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert ((rounded - weight).abs() <= 0.5001 * scale.view(3, 1, 1, 1)).all()


@pytest.mark.parametrize('relu6', [False, True])
def test_only_what_passes_a_relu6_counts(relu6):
    point = Point(relu6)
    point.mode = 'observe'
    x = 100 * torch.randn(2, 4, 30, 30)
    assert torch.equal(point(x), x)
    point.set_range(*point.seen)
    top = float((127 - point.zero_point) * point.scale)
    bottom = float((-128 - point.zero_point) * point.scale)
    if relu6:
        assert (bottom, top) == (0, pytest.approx(6, rel=0.02))
    else:
        assert top > 100
        assert bottom < -100
