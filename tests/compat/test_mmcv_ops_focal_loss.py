"""Focal loss against plain torch."""

import math

import pytest
import torch
from mmcv.ops import sigmoid_focal_loss
from torch.autograd import gradcheck
from torch.nn import functional as F

from rlepose_ext.compat import mmcv_ops

if mmcv_ops.PATCH.status() != 'stand-in active':
    pytest.skip('mmcv is compiled: its own ops are in use', allow_module_level=True)


def plain_focal(x, target, gamma, alpha, weight=None):
    p, y = x.sigmoid(), F.one_hot(target, x.shape[1] + 1)[:, :-1]
    loss = -y * alpha * (1 - p) ** gamma * p.log()
    loss = loss - (1 - y) * (1 - alpha) * p**gamma * (1 - p).log()
    if weight is not None:
        loss = loss * torch.cat([weight, weight.new_ones(1)])[target][:, None]
    return loss


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.7)])
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_focal_loss_equals_its_formula(gamma, alpha, weighted, reduction):
    x = (3 * torch.randn(7, 4, dtype=torch.float64)).requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 4, 4, 2])  # 4 is background
    weight = torch.rand(4, dtype=torch.float64) if weighted else None
    expected = plain_focal(x, target, gamma, alpha, weight)
    if reduction != 'none':
        expected = expected.sum() / (7 if reduction == 'mean' else 1)
    got = sigmoid_focal_loss(x, target, gamma, alpha, weight, reduction)
    torch.testing.assert_close(got, expected)
    upstream = torch.randn_like(got)
    torch.testing.assert_close(
        torch.autograd.grad(got, x, upstream), torch.autograd.grad(expected, x, upstream)
    )


def test_focal_loss_by_hand_and_at_extremes():
    x = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    loss = sigmoid_focal_loss(x, torch.tensor([1]), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(loss, x.new_tensor([[0.75, 0.25]]) * 0.25 * math.log(2))
    x = torch.tensor([[500.0, -500.0], [-500.0, 500.0]], requires_grad=True)
    loss = sigmoid_focal_loss(x, torch.tensor([0, 0]), 2.0, 0.25, None, 'none')
    # Right answers cost nothing; wrong ones grow linearly, with finite gradients.
    torch.testing.assert_close(loss, torch.tensor([[0.0, 0], [0.25 * 500, 0.75 * 500]]))
    loss.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[0.0, 0], [-0.25, 0.75]]))


def test_focal_loss_gradcheck():
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 2, 1])
    assert gradcheck(lambda t: sigmoid_focal_loss(t, target, 2.0, 0.25, None, 'none'), x)
