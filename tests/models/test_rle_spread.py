"""What sigma means in pixels: the standard deviation of the density that the flow has learnt."""

import math

import numpy as np
import pytest
import torch
from model_case import randomised
from torch import nn

from rlepose_ext.models.losses import RLELoss
from rlepose_ext.models.losses.rle import learned_covariance, learned_spread


def stretched(bias: float, shift: float = 0.0) -> RLELoss:
    """A flow of which the density is normal with standard deviation exp(3 tanh(bias))."""
    loss = RLELoss()
    flow = loss.flow_model
    for parameter in flow.parameters():
        nn.init.zeros_(parameter)
    # Of a column that is not used, so that the flow counts as trained.
    flow.s[0][0].weight.data[:, 1 - int(flow.mask[0].argmax())] = 1
    for scale, translation in zip(flow.s, flow.t, strict=True):
        nn.init.constant_(scale[4].bias, bias)
        nn.init.constant_(translation[4].bias, shift)
    return loss


@pytest.mark.parametrize('shift', [0.0, 4.0])
@pytest.mark.parametrize('bias', [-9.0, 1.0])
def test_normal_densities_from_narrow_to_wide(bias, shift):
    expected = math.exp(3 * math.tanh(bias))
    np.testing.assert_allclose(learned_spread(stretched(bias, shift)), [expected] * 2, rtol=1e-4)


@pytest.mark.parametrize('prior_mean', [0.0, 2.0])
def test_is_that_of_samples(prior_mean):
    loss = randomised(RLELoss(prior_mean=prior_mean), 0.3)
    with torch.no_grad():
        samples, _ = loss.flow_model(torch.randn(200_000, 2) + prior_mean)
    np.testing.assert_allclose(learned_spread(loss), samples.std(0), rtol=0.02)
    expected = np.cov(samples.T)
    assert abs(expected[0, 1]) > 0.02 * expected[0, 0]
    np.testing.assert_allclose(learned_covariance(loss), expected, rtol=0.06)


def mixture(number: int) -> torch.Tensor:
    wide = torch.rand(number, 1) < 0.1
    return torch.randn(number, 2) * torch.where(wide, 1.5, 0.3)


@pytest.mark.slow
def test_after_training_it_is_that_of_the_errors():
    """With the real loss, for a sigma that is fixed; Q takes no part in it."""
    loss = RLELoss()
    optimizer = torch.optim.Adam(loss.parameters(), lr=3e-3)
    logits = torch.zeros(512, 1, 2)
    for _ in range(150):
        error = mixture(512)[:, None]
        # mu - g = e sigma, sigma = 1 / 2
        value = loss(error / 2, logits, torch.zeros_like(error))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    expected = math.sqrt(0.9 * 0.3**2 + 0.1 * 1.5**2)
    np.testing.assert_allclose(learned_spread(loss), [expected] * 2, rtol=0.1)


def test_an_initial_flow_says_nothing():
    assert learned_spread(RLELoss()) is None
    assert learned_spread(stretched(0.0)).shape == (2,)
