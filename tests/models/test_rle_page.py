"""docs/rle.md: its code is the loss, and its numbers are those of the loss."""

import math
import re

import pytest
import torch
from model_case import randomised
from torch import nn

from rlepose_ext.models.losses import RLELoss

# By how much sigma is wider and the flow narrower in each column of the page's table.
COLUMNS = ((1, 1), (2, 1), (2, 2))


@pytest.fixture(scope='module')
def page(root) -> str:
    return (root / 'docs/rle.md').read_text()


def test_the_code_is_the_loss(page):
    (block,) = re.findall(r'^```python\n(.*?)^```', page, re.S | re.M)
    exec(block, names := {})
    loss = randomised(RLELoss(size_average=False), 0.3)
    mu, logits, g = torch.rand(50, 2), torch.randn(50, 2), torch.rand(50, 2)
    nets = list(zip(loss.flow_model.s, loss.flow_model.t, strict=True))
    found = names['rle'](mu, logits, g, nets)
    expected = torch.stack(
        [loss(*(each[k][None, None] for each in (mu, logits, g))) for k in range(50)]
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_joint_in_numbers(page):
    (table,) = re.findall(r'^\| \| as predicted.*?\n\n', page, re.S | re.M)
    rows = [row.strip('|').split('|')[1:] for row in table.strip().splitlines()[2:]]
    printed = [[float(cell) for cell in row] for row in rows]
    for number, case in enumerate(COLUMNS):
        found, gradients = joint(*case)
        assert found == pytest.approx([row[number] for row in printed], abs=6e-5)
        if number == 0:
            assert gradients == pytest.approx([36, -37.5, 1.28, 1.625], abs=1e-3)
            assert '(36, -37.5)' in page
            assert '(1.28, 1.625)' in page


def joint(widening: float, narrowing: float) -> tuple[list[float], list[float]]:
    """Numbers of the page's joint, as its table lists them, and gradients by mu and log sigma."""
    loss = RLELoss().double()
    for parameter in loss.parameters():
        nn.init.zeros_(parameter)
    for net in loss.flow_model.s:  # each coordinate is moved by three layers
        nn.init.constant_(net[4].bias, -math.atanh(math.log(narrowing) / 3))
    mu = torch.tensor([[0.52, 0.24]], dtype=torch.float64, requires_grad=True)
    sigma = torch.tensor([[0.05, 0.04]], dtype=torch.float64) * widening
    log_sigma = sigma.log().requires_grad_()
    g = torch.tensor([[96 / 192, 64 / 256]], dtype=torch.float64)
    sigma = log_sigma.exp()
    value = loss(mu[None], torch.logit(sigma)[None], g[None])
    e = ((mu - g) / sigma).detach()
    log_g = loss.flow_model.log_prob(e)
    nll = (sigma.log().sum() - log_g).item()
    gradients = torch.cat(torch.autograd.grad(value, (mu, log_sigma))).flatten().tolist()
    value, log_sigma = value.item(), log_sigma.sum().item()
    return [*e[0].tolist(), log_sigma, log_g.item(), nll, value - 2 * nll, value], gradients
