"""What sigma means in pixels: the standard deviation of the density that the flow has learnt."""

import math

import numpy as np
import pytest
import torch

from rlepose_ext.models.losses import RLELoss
from rlepose_ext.models.losses.rle_spread import learned_spread, standard_deviation


class Scaled(torch.nn.Module):
    """A flow of which the density is a normal with known scales."""

    def __init__(self, scales):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.scales = torch.tensor(scales)

    def log_prob(self, x):
        normal = torch.distributions.Normal(torch.zeros(2), self.scales)
        return normal.log_prob(x).sum(-1)


def test_normal_density_without_residual():
    loss = RLELoss(residual=False)
    loss.flow_model = Scaled([0.3, 0.7])
    np.testing.assert_allclose(learned_spread(loss), [0.3, 0.7], rtol=1e-3)


@pytest.mark.parametrize(('q', 'second_moment'), [
    # normal of scale s times another normal: 1 / (1 / s^2 + 1)
    ('gaussian', 1 / (1 / 0.25 + 1)),
    ('laplace', None),
])  # fmt: skip
def test_residual_multiplies_q(q, second_moment):
    loss = RLELoss(q_distribution=q)
    loss.flow_model = Scaled([0.5, 0.5])
    if second_moment is None:
        # exp(-x^2 / (2 s^2) - |x|) by one-dimensional quadrature
        x = np.linspace(-6, 6, 200_001)
        p = np.exp(-(x**2) / (2 * 0.25) - np.abs(x))
        second_moment = (p * x**2).sum() / p.sum()
    np.testing.assert_allclose(learned_spread(loss), math.sqrt(second_moment), rtol=1e-3)


def test_an_initial_flow_says_nothing():
    loss = RLELoss()
    assert learned_spread(loss) is None
    with torch.no_grad():
        next(m for m in loss.flow_model.modules() if isinstance(m, torch.nn.Linear)).weight[0] = 0.5
    assert learned_spread(loss).shape == (2,)


def test_standard_deviation_of_two_points():
    points = torch.tensor([[-1.0, 0.0], [3.0, 0.0]])
    log_density = torch.tensor([math.log(3), 0.0]) + 100
    torch.testing.assert_close(
        standard_deviation(points, log_density).float(), torch.tensor([math.sqrt(3), 0.0])
    )
