"""DSNT's heatmap loss: MMPose's values, and gradients that are numbers."""

import pytest
import torch
from mmpose.models.losses import JSDiscretLoss

from rlepose_ext.compat.js_divergence import divergence


def maps(beta=1.0):
    logits = torch.randn(2, 3, 8, 6, dtype=torch.float64, requires_grad=True)
    target = torch.rand(2, 3, 8, 6, dtype=torch.float64)
    target[:, :, :4] = 0  # as a Gaussian that was cut off
    heatmaps = (beta * logits).flatten(2).softmax(-1).view_as(logits)
    return logits, heatmaps, target / target.sum((-1, -2), keepdim=True)


def test_values_are_those_of_kl_div():
    _, p, q = maps()
    kl_div = torch.nn.KLDivLoss(reduction='none')
    torch.testing.assert_close(divergence(p, q), kl_div((q + 1e-24).log(), p))
    torch.testing.assert_close(divergence(q, p), kl_div((p + 1e-24).log(), q))


def test_gradients_are_those_of_kl_div_where_both_are_positive():
    _, p, _ = maps()
    p, q = p.detach().requires_grad_(), p.detach().flip(0).requires_grad_()
    ours = torch.autograd.grad(divergence(p, q).sum(), (p, q))
    kl_div = torch.nn.KLDivLoss(reduction='none')
    theirs = torch.autograd.grad(kl_div((q + 1e-24).log(), p).sum(), (p, q))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize('beta', [1.0, 10.0, 1000.0])
def test_unlabelled_joints_and_underflow(beta):
    logits, heatmaps, target = maps(beta)
    weights = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    loss = JSDiscretLoss(use_target_weight=True)(heatmaps, target, weights)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[weights == 0].any()
    if beta < 100:
        assert logits.grad[weights > 0].abs().amax((-1, -2)).min() > 0


def test_gradcheck_through_the_softmax():
    logits, _, target = maps()
    weights = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    loss = JSDiscretLoss(use_target_weight=True)

    def function(logits):
        return loss(logits.flatten(2).softmax(-1).view_as(logits), target, weights)

    assert torch.autograd.gradcheck(function, logits)


def test_equal_maps_have_no_divergence():
    _, heatmaps, _ = maps()
    loss = JSDiscretLoss(use_target_weight=False)
    assert loss(heatmaps, heatmaps).item() == pytest.approx(0, abs=1e-12)
