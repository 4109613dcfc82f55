"""The flow: exact inverse, exact determinant, a density, and MMPose's numbers."""

import pytest
import torch
from mmpose.models.utils.realnvp import RealNVP as StockRealNVP
from model_case import randomised, share_weights
from torch import nn

from rlepose_ext.models.flows.real_nvp import RealNVP, log_standard_normal


def bent(std: float = 0.15, dtype: torch.dtype = torch.float64) -> RealNVP:
    """A flow far from the identity."""
    return randomised(RealNVP(), std).to(dtype)


def zeroed(dtype: torch.dtype = torch.float64, prior_mean: float = 0.0) -> RealNVP:
    flow = RealNVP(prior_mean).to(dtype)
    for parameter in flow.parameters():
        nn.init.zeros_(parameter)
    return flow


def test_counts():
    flow = RealNVP()
    assert sum(p.numel() for p in flow.parameters()) == 53_784
    assert sum(b.numel() for b in flow.buffers()) == 18
    assert sum(p.numel() for p in flow.s[0].parameters()) == 4_482


def test_initial_weights_are_tiny():
    flow = RealNVP()
    for net in [*flow.s, *flow.t]:
        for index, fan in ((0, 66), (2, 128), (4, 66)):
            bound = 0.01 * (6 / fan) ** 0.5
            weight = net[index].weight.abs()
            assert 0.8 * bound < weight.max() <= bound


def test_zero_nets_leave_the_standard_normal():
    x = torch.randn(50, 2, dtype=torch.float64)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(-1)
    torch.testing.assert_close(zeroed().log_prob(x), expected)
    torch.testing.assert_close(log_standard_normal(x), expected)


def test_a_prior_elsewhere():
    x = torch.randn(50, 2, dtype=torch.float64)
    expected = torch.distributions.Normal(0.5, 1.0).log_prob(x).sum(-1)
    torch.testing.assert_close(zeroed(prior_mean=0.5).log_prob(x), expected)


def test_one_hand_made_layer():
    # Only the biases of the last linear of layer 0, which keeps y: x is shifted and scaled.
    flow = zeroed()
    with torch.no_grad():
        flow.s[0][4].bias.copy_(torch.tensor([0.5, 9.0]))
        flow.t[0][4].bias.copy_(torch.tensor([2.0, 9.0]))
    z = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    scale = torch.tanh(torch.tensor(0.5, dtype=torch.float64))
    x, log_det = flow(z)
    torch.testing.assert_close(x, torch.stack([scale.exp() + 2, -torch.ones_like(scale)])[None])
    torch.testing.assert_close(log_det, scale[None])


def test_inverse_undoes_forward():
    flow = bent()
    z = torch.randn(200, 2, dtype=torch.float64) * 3
    x, log_det = flow(z)
    assert (x - z).abs().max() > 0.5
    back, log_det_back = flow.inverse(x)
    torch.testing.assert_close(back, z, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_det_back, -log_det, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('direction', ['forward', 'inverse'])
def test_log_det_is_that_of_the_jacobian(direction):
    flow = bent()
    transform = getattr(flow, direction)
    points = torch.randn(10, 2, dtype=torch.float64)
    log_det = transform(points)[1]
    for point, value in zip(points, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda p: transform(p[None])[0][0], point)
        assert jacobian[0, 1].abs() + jacobian[1, 0].abs() > 1e-3
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], value)


def test_density_integrates_to_one():
    flow = bent()
    axis = torch.linspace(-16, 16, 241, dtype=torch.float64)
    with torch.no_grad():
        density = flow.log_prob(torch.cartesian_prod(axis, axis)).exp()
    # The sum of a grid is exact for smooth densities; LeakyReLU's kinks cost some 1e-5.
    assert (density.sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1, abs=2e-4)


def test_same_as_stock_both_ways():
    ours, stock = bent(dtype=torch.float32), StockRealNVP()
    share_weights(ours, stock)
    x = torch.randn(100, 2)
    values = [flow.log_prob(x) for flow in (ours, stock)]
    torch.testing.assert_close(*values, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(v.sum(), list(f.parameters()))
                 for v, f in zip(values, (ours, stock), strict=True)]  # fmt: skip
    for a, b in zip(*gradients, strict=True):
        assert a.any()
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_flow_with_other_masks_is_refused():
    state = RealNVP().state_dict()
    state['mask'] = 1 - state['mask']
    with pytest.raises(RuntimeError, match='keep other coordinates'):
        RealNVP().load_state_dict(state)


def test_gradcheck():
    flow = bent()
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(flow.log_prob, (x,))
    assert torch.autograd.gradcheck(lambda z: flow(z), (x,))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_types_are_promoted(dtype):
    flow = bent(dtype=torch.float32)
    x = torch.randn(30, 2).to(dtype)
    expected = flow.log_prob(x.float())
    with torch.autocast('cpu', dtype):
        values = flow.log_prob(x)
        sample = flow(x)[0]
    assert values.dtype == sample.dtype == torch.float32
    assert torch.equal(values, expected)
    assert flow.log_prob(x.double()).dtype == torch.float64


def test_empty_batch_stays_connected():
    flow = bent(dtype=torch.float32)
    x = torch.empty(0, 2, requires_grad=True)
    flow.log_prob(x).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in flow.parameters())
