"""The loss: closed forms, quoted formulas, MMPose's numbers, and inputs that break others."""

import copy
import math

import pytest
import torch
from mmpose.models.losses import RLELoss as StockRLELoss
from model_case import randomised
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.losses import RLELoss
from rlepose_ext.models.losses.rle import MIN_SIGMA, bounded_sigma

Q = ['laplace', 'gaussian', 'official']


def batch(n=4, k=5, dtype=torch.float32):
    """Predictions, sigma logits, labels and binary weights with some zeros."""
    pred = torch.rand(n, k, 2, dtype=dtype)
    logits = torch.randn(n, k, 2, dtype=dtype) - 2
    target = torch.rand(n, k, 2, dtype=dtype)
    weight = (torch.rand(n, k, 1) > 0.3).to(dtype)
    weight[0, :2, 0] = torch.tensor([1.0, 0.0])
    return pred, logits, target, weight


def bent(std=0.2, **kwargs) -> RLELoss:
    return randomised(RLELoss(**kwargs), std)


def zeroed(**kwargs) -> RLELoss:
    loss = RLELoss(**kwargs).double()
    for parameter in loss.parameters():
        nn.init.zeros_(parameter)
    return loss


def quoted(q, pred, logits, target, log_phi):
    """The published formulas, written out; shape (N, K, 2)."""
    sigma = torch.sigmoid(logits)
    d = pred - target
    e = d / (sigma + 1e-9)
    terms = {
        None: torch.zeros_like(d),
        'laplace': torch.log(sigma * 2) + torch.abs(e),
        'gaussian': torch.log(sigma * math.sqrt(2 * math.pi)) + 0.5 * e**2,
        'official': torch.log(sigma * math.sqrt(2 * math.pi))
        + torch.abs(d) / (math.sqrt(2) * sigma + 1e-9),
    }
    phi = log_phi(e.reshape(-1, 2)).reshape(*d.shape[:2], 1)
    return torch.log(sigma) - phi + terms[q]


@pytest.mark.parametrize(('q', 'q0'), [
    ('laplace', torch.distributions.Laplace(0.0, 1.0)),
    ('gaussian', torch.distributions.Normal(0.0, 1.0)),
    # a Laplace density of scale sqrt(2), up to a constant
    ('official', torch.distributions.Laplace(0.0, math.sqrt(2))),
])  # fmt: skip
def test_a_joints_loss_is_twice_its_likelihood_under_the_flow_and_q_of_e(q, q0):
    """2 [log sigma_x + log sigma_y - log G(e)] - log Q0(e), up to a constant."""
    loss = bent(q_distribution=q, size_average=False).double()
    pred, logits, target, _ = batch(3, 4, torch.float64)
    sigma = logits.sigmoid()
    e = ((pred - target) / (sigma + 1e-9)).flatten(0, 1)
    # -log p(g), the flow being the density of e and sigma the change of variables
    nll = sigma.log().sum(-1).flatten() - loss.flow_model.log_prob(e)
    expected = 2 * nll - q0.log_prob(e).sum(-1)
    joints = (values.flatten(0, 1)[:, None, None] for values in (pred, logits, target))
    found = torch.stack([loss(*each) for each in zip(*joints, strict=True)])
    difference = found - expected
    torch.testing.assert_close(difference, difference[:1].expand(12), rtol=0, atol=1e-6)
    if q != 'official':
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('q', Q)
def test_q_does_not_reach_the_flow(q):
    inputs = batch()
    gradients = []
    loss = bent(q_distribution=q)
    for loss.residual in (True, False):
        gradients.append(torch.autograd.grad(loss(*inputs), list(loss.parameters())))
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('residual', [True, False])
def test_the_common_scale_of_sigma(residual):
    """A flow narrower by c undoes sigmas greater by c, but for Q, and for log sigma without Q."""
    pred, logits, target, _ = batch(dtype=torch.float64)
    scale = math.exp(3 * math.tanh(0.3))  # each coordinate is moved by three layers
    sigma = logits.sigmoid() / 3
    normal, narrow = zeroed(residual=residual), zeroed(residual=residual)
    for net in narrow.flow_model.s:
        nn.init.constant_(net[4].bias, -0.3)
    found = narrow(pred, torch.logit(scale * sigma), target)
    found -= normal(pred, torch.logit(sigma), target)
    error = ((pred - target) / sigma).abs()
    expected = error * (1 / scale - 1) if residual else torch.full_like(error, -math.log(scale))
    assert expected.max() < 0
    torch.testing.assert_close(found, expected.sum() / len(pred), rtol=1e-4, atol=0)


@pytest.mark.parametrize('average', [True, False])
@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('q', [*Q, None])
def test_equals_the_quoted_formula(q, weighted, average):
    loss = bent(
        residual=q is not None,
        q_distribution=q or 'laplace',
        use_target_weight=weighted,
        size_average=average,
    ).double()
    pred, logits, target, weight = batch(dtype=torch.float64)
    expected = quoted(q, pred, logits, target, loss.flow_model.log_prob)
    expected = (expected * (weight if weighted else 1)).sum() / (4 if average else 1)
    torch.testing.assert_close(loss(pred, logits, target, weight), expected)


@pytest.mark.parametrize('residual', [True, False])
@pytest.mark.parametrize('q', ['laplace', 'gaussian'])
def test_same_as_stock_with_gradients(q, residual):
    kwargs = {'use_target_weight': True, 'residual': residual, 'q_distribution': q}
    ours, stock = bent(**kwargs), StockRLELoss(**kwargs)
    stock.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(stock.state_dict(), strict=True)
    pred, logits, target, weight = batch(16, 17)
    values, gradients = [], []
    for loss in (ours, stock):
        leaves = [pred.clone().requires_grad_(), logits.clone().requires_grad_()]
        value = loss(pred=leaves[0], sigma=leaves[1], target=target, target_weight=weight)
        value.backward()
        values.append(value.detach())
        gradients.append([leaf.grad for leaf in [*leaves, *loss.parameters()]])
    torch.testing.assert_close(*values, rtol=1e-5, atol=1e-4)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max() + 1e-6))


def test_weights_need_not_be_binary():
    loss = bent(use_target_weight=True)
    stock = StockRLELoss(use_target_weight=True)
    stock.load_state_dict(loss.state_dict())
    pred, logits, target, weight = batch()
    weight = weight * torch.rand_like(weight)
    torch.testing.assert_close(
        loss(pred, logits, target, weight), stock(pred, logits, target, weight)
    )
    # one weight per coordinate, and without the last axis
    both = weight.expand(-1, -1, 2)
    assert torch.equal(loss(pred, logits, target, both), loss(pred, logits, target, weight))
    assert torch.equal(
        loss(pred, logits, target, weight[..., 0]), loss(pred, logits, target, weight)
    )


@pytest.mark.parametrize('garbage', [5.0, 1e30, float('inf'), float('nan')])
def test_what_has_no_weight_does_not_matter(garbage):
    """Whatever its label is, or its prediction."""
    loss = bent(use_target_weight=True)
    pred, logits, target, weight = batch()
    expected = loss(pred, logits, target, weight)
    for spoiled in (
        [pred, logits, target.masked_fill(weight == 0, garbage)],
        [*(values.masked_fill(weight == 0, garbage) for values in (pred, logits)), target],
    ):
        leaf = spoiled[0].clone().requires_grad_()
        value = loss(leaf, *spoiled[1:], weight)
        assert torch.equal(value, expected)
        (gradient,) = torch.autograd.grad(value, leaf)
        assert gradient.isfinite().all()
        assert not gradient[(weight == 0)[..., 0]].any()
        assert gradient[(weight > 0)[..., 0]].any()


@pytest.mark.parametrize('q', Q)
def test_gradcheck(q):
    loss = bent(q_distribution=q, use_target_weight=True).double()
    pred, logits, target, weight = batch(2, 3, torch.float64)
    assert torch.autograd.gradcheck(
        lambda p, s: loss(p, s, target, weight), (pred.requires_grad_(), logits.requires_grad_())
    )


@pytest.mark.slow
def test_compiles_to_one_graph_of_equal_numbers():
    """Nothing depends on values in Python, so that no GPU is waited for either."""
    loss = bent(use_target_weight=True)
    compiled = torch.compile(copy.deepcopy(loss), fullgraph=True, backend='eager')
    pred, logits, target, weight = batch()
    target[0, 0, 0], target[1, 1] = float('nan'), 1e9
    for number in (1, 2):
        found = []
        for each in (loss, compiled):
            leaves = [pred.clone().requires_grad_(), logits.clone().requires_grad_()]
            value = each(*leaves, target, weight)
            value.backward()
            parameters = [p.grad for p in each.parameters()]
            found.append([value.detach(), *(leaf.grad for leaf in leaves), *parameters])
            assert each.num_out_of_range[0] == 2 * number
        for a, b in zip(*found, strict=True):
            assert a.isfinite().all()
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize('q', Q)
@pytest.mark.parametrize('residual', [True, False])
@pytest.mark.parametrize('logit', [-1e4, -20.0, 1e4])
@pytest.mark.parametrize('coordinate', [-1e6, 1e6])
def test_extreme_predictions_stay_finite(q, residual, logit, coordinate):
    # Weights that amplify: squares of what a steep flow makes of 1e10 leave float32.
    loss = bent(std=1.0, q_distribution=q, residual=residual)
    pred = torch.full((3, 4, 2), coordinate, requires_grad=True)
    logits = torch.full((3, 4, 2), logit, requires_grad=True)
    value = loss(pred, logits, torch.rand(3, 4, 2))
    value.backward()
    assert value.isfinite()
    for leaf in [pred, logits, *loss.parameters()]:
        assert leaf.grad.isfinite().all()


def test_sigma_has_a_floor_and_is_the_sigmoid_above():
    logits = torch.tensor([-1e4, -20.0, -9.0, 0.0, 1e4])
    sigma = bounded_sigma(logits)
    assert sigma[0] == sigma[1] == torch.tensor(MIN_SIGMA)
    assert torch.equal(sigma[2:], logits[2:].sigmoid())


def test_no_visible_joint_gives_zero_and_zero_gradients():
    loss = bent(use_target_weight=True)
    pred, logits, target, _ = batch()
    pred.requires_grad_()
    logits.requires_grad_()
    value = loss(pred, logits, target, torch.zeros(4, 5, 1))
    value.backward()
    assert value.item() == 0
    for leaf in [pred, logits, *loss.parameters()]:
        assert leaf.grad is not None
        assert not leaf.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('logit', [0.0, -20.0])
def test_half_types_under_autocast(dtype, logit):
    """At logits of -20 a sigmoid in float16 is nearly 0, and 1e-9 is none."""
    loss = bent(use_target_weight=True)
    pred, logits, target, weight = batch()
    logits += logit
    pred, logits = pred.to(dtype).requires_grad_(), logits.to(dtype).requires_grad_()
    expected = loss(pred.float(), logits.float(), target, weight)
    with torch.autocast('cpu', dtype):
        value = loss(pred, logits, target, weight)
    assert value.dtype == loss(pred, logits, target.double(), weight).dtype == torch.float32
    assert torch.equal(value, expected)
    assert loss(pred.double(), logits, target, weight).dtype == torch.float64
    value.backward()
    assert pred.grad.dtype == dtype
    assert pred.grad.isfinite().all() or logit == -20  # there it is beyond float16
    assert logits.grad.isfinite().all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_cuda_autocast_equals_the_cpu():
    loss = bent(use_target_weight=True)
    inputs = batch(16, 17)
    expected = loss(*inputs)
    with torch.autocast('cuda', torch.float16):
        value = loss.cuda()(*(tensor.cuda() for tensor in inputs))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.cpu(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('value', [float('nan'), -float('inf'), 11.1, -10.1])
@pytest.mark.parametrize(('weighted', 'visible'), [(True, True), (True, False), (False, False)])
def test_labels_out_of_range_are_left_out_and_counted(value, weighted, visible):
    """Beyond ten crop sizes, that is."""
    loss = bent(use_target_weight=weighted)
    pred, logits, target, weight = batch()
    weight[2, 3] = float(visible)
    target[1, 1] = torch.tensor([-10.0, 11.0])  # within
    spoiled = target.clone()
    spoiled[2, 3, 1] = value
    pred.requires_grad_()
    result = loss(pred, logits, spoiled, weight)
    (gradient,) = torch.autograd.grad(result, pred)
    assert gradient.isfinite().all()
    assert not gradient[2, 3].any()
    counts = int(visible or not weighted)
    assert loss.num_out_of_range.tolist() == [1, counts]
    loss(pred, logits, spoiled, weight)
    assert loss.num_out_of_range.tolist() == [2, 2 * counts]

    without = weight.clone() if weighted else torch.ones_like(weight)
    without[2, 3] = 0
    loss.use_target_weight = True
    torch.testing.assert_close(result, loss(pred, logits, target, without))


def test_bad_use_is_named():
    pred, logits, target, weight = batch()
    with pytest.raises(UserError, match="q_distribution is 'cauchy'"):
        RLELoss(q_distribution='cauchy')
    for wrong in (None, weight[:, :3]):
        with pytest.raises(UserError, match='weights of shape'):
            RLELoss(use_target_weight=True)(pred, logits, target, wrong)
    with pytest.raises(UserError, match='num_joints'):
        RLELoss()(pred, logits, target[:, :4])
