"""The adaptive wing loss: the quoted formula, MMPose's numbers, gradients, extremes."""

import math

import pytest
import torch
from mmpose.models.losses import AdaptiveWingLoss as StockAdaptiveWingLoss

from rlepose_ext.errors import UserError
from rlepose_ext.models.losses import AdaptiveWingLoss
from rlepose_ext.models.losses.adaptive_wing import MAX_ERROR, adaptive_wing

SHAPE = (3, 4, 6, 5)


def quoted(pred, y, alpha=2.1, omega=14.0, eps=1.0, theta=0.5):
    """Equation 3 of arXiv 1904.07399 for two numbers."""
    d = abs(y - pred)
    if d < theta:
        return omega * math.log(1 + abs(d / eps) ** (alpha - y))
    a = (
        omega
        * (1 / (1 + (theta / eps) ** (alpha - y)))
        * (alpha - y)
        * (theta / eps) ** (alpha - y - 1)
        / eps
    )
    c = theta * a - omega * math.log(1 + (theta / eps) ** (alpha - y))
    return a * d - c


def maps(dtype=torch.float32):
    """Predictions on both sides of theta, labels of a heatmap, weights with zeros."""
    pred = torch.randn(SHAPE, dtype=dtype).mul(0.8)
    target = torch.rand(SHAPE, dtype=dtype)
    weights = (torch.rand(SHAPE[:2]) > 0.3).to(dtype)
    return pred, target, weights


@pytest.mark.parametrize('parameters', [
    {}, {'alpha': 2.5, 'omega': 5.0, 'epsilon': 0.5, 'theta': 0.3}
])  # fmt: skip
def test_the_quoted_formula(parameters):
    names = {'alpha': 'alpha', 'omega': 'omega', 'epsilon': 'eps', 'theta': 'theta'}
    renamed = {names[key]: value for key, value in parameters.items()}
    pred, target, _ = maps(torch.float64)
    values = adaptive_wing(pred, target, **parameters)
    expected = [
        quoted(p, y, **renamed)
        for p, y in zip(pred.flatten().tolist(), target.flatten().tolist(), strict=True)
    ]
    torch.testing.assert_close(values.flatten(), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(('pred', 'label', 'expected'), [
    (0.25, 0.0, 14 * math.log(1 + 0.25**2.1)),
    (0.75, 1.0, 14 * math.log(1 + 0.25**1.1)),
    # half a unit past theta, on the line of slope A = 14 * 1.1 * 0.5^0.1 / (1 + 0.5^1.1)
    (0.0, 1.0, 0.5 * 9.79784961 + 14 * math.log(1 + 0.5**1.1)),
    (1.0, 1.0, 0.0),
])  # fmt: skip
def test_values_by_hand(pred, label, expected):
    pred, label = (torch.tensor(value, dtype=torch.float64) for value in (pred, label))
    assert adaptive_wing(pred, label).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('weighted', ['none', 'joints', 'pixels'])
def test_numbers_of_mmpose(weighted):
    pred, target, weights = maps()
    kwargs = {'use_target_weight': weighted != 'none', 'loss_weight': 0.7}
    if weighted == 'pixels':
        # Offsets of some pixels, weighted by a heatmap: labels of both signs, up to 1.2.
        weights, target = target, 3 * torch.randn(SHAPE)
        target = target.clamp(max=1.2 / weights.max())
    ours, stock = AdaptiveWingLoss(**kwargs), StockAdaptiveWingLoss(**kwargs)
    a, b = pred.clone().requires_grad_(), pred.clone().requires_grad_()
    value, expected = ours(a, target, weights), stock(b, target, weights)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    value.backward()
    expected.backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('weighted', [False, True])
def test_gradcheck(weighted):
    pred, target, _ = maps(torch.float64)
    weights = torch.rand(SHAPE, dtype=torch.float64) if weighted else None
    pred = pred[:1, :2].requires_grad_()
    target = target[:1, :2]
    weights = None if weights is None else weights[:1, :2]
    loss = AdaptiveWingLoss(use_target_weight=weighted)
    assert torch.autograd.gradcheck(lambda x: loss(x, target, weights), (pred,))
    assert torch.autograd.gradcheck(lambda x: adaptive_wing(x, target), (pred,))


@pytest.mark.parametrize('rubbish', [1e3, math.nan])
@pytest.mark.parametrize('ndim', [2, 4])
def test_weight_zero_invariance(rubbish, ndim):
    pred, target, weights = maps()
    if ndim == 4:
        weights = weights[..., None, None] * torch.rand(SHAPE)
    loss = AdaptiveWingLoss(use_target_weight=True)
    expected = loss(pred, target, weights)
    out = (weights == 0) if ndim == 4 else (weights == 0)[..., None, None].expand(SHAPE)
    assert out.any()
    pred, target = pred.masked_fill(out, rubbish), target.masked_fill(out, rubbish)
    pred.requires_grad_()
    value = loss(pred, target, weights)
    assert torch.equal(value, expected)
    value.backward()
    assert pred.grad.isfinite().all()
    assert not pred.grad[out].any()


@pytest.mark.parametrize('use_target_weight', [False, True])
def test_labels_that_are_not_finite_do_not_count(use_target_weight):
    pred, target, _ = maps()
    pred.requires_grad_()
    target[0, 0] = math.nan
    target[1, 1, 2] = math.inf
    loss = AdaptiveWingLoss(use_target_weight=use_target_weight)
    value = loss(pred, target, torch.ones(SHAPE[:2]))
    value.backward()
    assert value.isfinite()
    assert pred.grad.isfinite().all()
    assert not pred.grad[0, 0].any()


@pytest.mark.parametrize('extreme', [1e-38, 1e4, -3e38, math.inf])
def test_extreme_predictions_stay_finite(extreme):
    target = torch.linspace(0, 1, 4096).reshape(1, 1, 64, 64).repeat(1, 8, 1, 1)
    pred = torch.full_like(target, extreme).requires_grad_()
    loss = AdaptiveWingLoss(use_target_weight=True)
    value = loss(pred, target, torch.ones(1, 8)) + loss(pred, target, target)
    value.backward()
    assert value.isfinite()
    assert pred.grad.isfinite().all()
    assert pred.grad.any() == (abs(extreme) < MAX_ERROR)


def test_a_large_label_that_is_met_exactly():
    """A weighted offset of 1.2: exponent 0.9, an infinite slope, nan in MMPose's gradient."""
    target = torch.full((1, 1, 1, 2), 1.2)
    results = []
    for cls in (AdaptiveWingLoss, StockAdaptiveWingLoss):
        pred = torch.tensor([1.2, 1.0]).reshape(1, 1, 1, 2).requires_grad_()
        value = cls()(pred, target)
        value.backward()
        results.append((value.item(), *pred.grad.flatten().tolist()))
    ours, stock = results
    assert ours == (pytest.approx(stock[0]), 0.0, pytest.approx(stock[2]))
    assert math.isnan(stock[1])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    pred, target, weights = maps()
    loss = AdaptiveWingLoss(use_target_weight=True)
    half = pred.to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype):
        value = loss(half, target.to(dtype), weights)
    assert value.dtype == torch.float32
    expected = loss(half.float(), target.to(dtype).float(), weights)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert half.grad.isfinite().all()
    assert loss(pred.double(), target.double(), weights.double()).dtype == torch.float64


def test_bad_input_is_named():
    pred, target, weights = maps()
    loss = AdaptiveWingLoss(use_target_weight=True)
    with pytest.raises(UserError, match='heatmap_size of the codec'):
        loss(pred, target[..., :2], weights)
    for wrong, said in ((weights[:, :3], r'got \(3, 3\)'), (None, 'got None')):
        with pytest.raises(UserError, match=said):
            loss(pred, target, wrong)
    with pytest.raises(UserError, match='theta is 0'):
        AdaptiveWingLoss(theta=0)
