#!/usr/bin/env python3
"""Draw docs/images/rle_toy.png: L1, L2 and RLE on noise that is known.

    python tools/draw_rle_toy.py               # half a minute on one CPU core

In one dimension a label is g = w.x + s(x) noise, with s(x) = exp(-3 + 0.7 x_1). mu and log sigma
are linear in x, and the density of e = (mu - g) / sigma is the generalised normal one,

    G(e) = b / (2 a Gamma(1/b)) exp(-|e / a|^b)

whose exponent b and width a are learnt: b = 2 is a normal, b = 1 a Laplace density. In two
dimensions G is the RealNVP of the real loss. There every seventh label is off to the same side.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from torch import Tensor

from rlepose_ext.models.losses import RLELoss

ROOT = Path(__file__).resolve().parents[1]
SETS, LABELS, STEPS = 30, 200, 800
TRUTH = torch.tensor([0.3, -1.0, 0.5, 1.0])
LOG_SCALE = torch.tensor([-3.0, 0.7, 0.0, 0.0])


def draw_noise(name: str, shape: tuple[int, ...]) -> Tensor:
    """Noise of standard deviation 1."""
    if name == 'Laplace':
        return torch.distributions.Laplace(0.0, math.sqrt(0.5)).sample(shape)
    wide = torch.rand(shape) < (0.1 if name == 'mixture' else 0.0)
    return torch.randn(shape) * (torch.where(wide, 3.0, 1 / 3) if name == 'mixture' else 1.0)


def log_g(e: Tensor, log_a: Tensor, log_b: Tensor) -> Tensor:
    """Logarithm of the generalised normal density."""
    b = log_b.exp()
    power = ((e.abs() + 1e-6) / log_a.exp()) ** b
    return log_b - math.log(2) - log_a - torch.lgamma(1 / b) - power


def fit(noise: str, loss: str, log_sigma: float = 0.0) -> dict[str, float]:
    """Train on ``SETS`` sets of labels at once, each with parameters of its own.

    Args:
        noise: 'normal', 'Laplace' or 'mixture'.
        loss: 'L2', 'L1' or 'RLE'.
        log_sigma: where the logarithm of sigma starts.

    Returns:
        ``error`` of w, root mean square in units of exp(-3); of RLE also medians over the sets: of
        the exponent ``b``, of the level of ``sigma`` in those units, and of ``deviation``, that
        level times the standard deviation of G.
    """
    torch.manual_seed(0)
    x = torch.randn(SETS, LABELS, 4)
    x[..., 0] = 1
    g = x @ TRUTH + (x @ LOG_SCALE).exp() * draw_noise(noise, x.shape[:2])
    w, v = torch.zeros(SETS, 4, 1), torch.zeros(SETS, 4, 1)
    v[:, 0] = log_sigma
    log_a, log_b = torch.zeros(SETS, 1), torch.zeros(SETS, 1)
    parameters = [each.requires_grad_() for each in (w, v, log_a, log_b)]
    optimizer = torch.optim.Adam(parameters, lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        d, log_s = (x @ w).squeeze(-1) - g, (x @ v).squeeze(-1)
        if loss == 'RLE':
            e = d / log_s.exp()
            value = 2 * (log_s - log_g(e, log_a, log_b)) + e.abs()  # + a constant
        else:
            value = d.abs() if loss == 'L1' else d.square()
        optimizer.zero_grad()
        value.mean(1).sum().backward()
        optimizer.step()
        schedule.step()
    unit = math.exp(LOG_SCALE[0])
    found = {'error': (w[..., 0] - TRUTH).square().sum(1).mean().sqrt() / unit}
    if loss == 'RLE':
        b, sigma = log_b.exp(), v[:, 0].exp() / unit
        spread = log_a.exp() * ((torch.lgamma(3 / b) - torch.lgamma(1 / b)) / 2).exp()
        found |= {'b': b.median(), 'sigma': sigma.median(), 'deviation': (sigma * spread).median()}
    return {name: number.item() for name, number in found.items()}


def draw_errors(number: int) -> Tensor:
    """Two-dimensional noise (number, 2): tilted around 0, and every seventh around (2, 1)."""
    near = torch.randn(number, 2) @ torch.tensor([[0.3, 0.2], [0.0, 0.2]])
    far = torch.tensor([2.0, 1.0]) + 0.3 * torch.randn(number, 2)
    return torch.where(torch.rand(number, 1) < 1 / 7, far, near)


def fit_plane(loss: str) -> tuple[float, RLELoss, Tensor, Tensor]:
    """Find one point mu, and sigma, from 700 labels that are :func:`draw_errors` around 0.

    Returns:
        Distance of mu from 0 in tenths, the loss, and mu and sigma (2,).
    """
    torch.manual_seed(0)
    g, rle = 0.1 * draw_errors(700)[:, None], RLELoss()
    mu, logits = torch.zeros(2, requires_grad=True), torch.full((2,), -2.0, requires_grad=True)
    parameters = [{'params': [mu, logits], 'lr': 0.01}, {'params': rle.parameters(), 'lr': 2e-3}]
    optimizer = torch.optim.Adam(parameters)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    for _ in range(500):
        d = mu - g
        if loss == 'RLE':
            value = rle(mu.expand_as(g), logits.expand_as(g), g)
        else:
            value = (d.abs() if loss == 'L1' else d.square()).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    return 10 * mu.norm().item(), rle, mu.detach(), logits.detach().sigmoid()


def draw_density(axes: Axes, rle: RLELoss, mu: Tensor, sigma: Tensor) -> None:
    """Labels and the density that the flow gives them, p(g) = G(e) / (sigma_x sigma_y)."""
    labels = draw_errors(700)
    x, y = torch.meshgrid(
        torch.linspace(-1.2, 3.2, 221), torch.linspace(-1.2, 2.2, 171), indexing='xy'
    )
    with torch.no_grad():
        e = (mu - 0.1 * torch.stack([x, y], -1).flatten(0, 1)) / sigma
        density = (rle.flow_model.log_prob(e).exp() / sigma.prod() / 100).view_as(x)
    axes.scatter(*labels.T, s=3, color='0.55', linewidths=0)
    axes.contour(x, y, density, levels=[0.03, 0.1, 0.3, 1.0], cmap='viridis')
    axes.plot(*(10 * mu), 'r+', markersize=12, markeredgewidth=2)


def main() -> None:
    """Fit, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=ROOT / 'docs/images/rle_toy.png')
    args = parser.parse_args()
    mpl.use('Agg')
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(11, 3.4), layout='constrained')
    print('| noise | L2 | L1 | RLE | exponent b |\n|---|---:|---:|---:|---:|')
    e = torch.linspace(-4, 4, 401)
    for number, noise in enumerate(('normal', 'Laplace', 'mixture')):
        found = {loss: fit(noise, loss) for loss in ('L2', 'L1', 'RLE')}
        errors = [each['error'] for each in found.values()]
        print(f'| {noise} |', *(f'{error:.3f} |' for error in errors), f'{found["RLE"]["b"]:.2f} |')
        places = [number + shift for shift in (-0.25, 0, 0.25)]
        colours, losses = ['#888888', '#4c78a8', '#e45756'], ['L2', 'L1', 'RLE']
        left.bar(places, errors, 0.22, color=colours, label=None if number else losses)
        # drawn with standard deviation 1
        b = torch.tensor(found['RLE']['b'])
        log_a = (torch.lgamma(1 / b) - torch.lgamma(3 / b)) / 2
        middle.plot(e, log_g(e, log_a, b.log()).exp(), label=f'{noise}, b = {b:.2f}')
    for start in (-3.0, -1.5, 0.0):
        found = fit('Laplace', 'RLE', start)
        print(f'sigma started at {math.exp(start + 3):.2f} and ended at {found["sigma"]:.2f}, '
              f'times the deviation of G {found["deviation"]:.2f}')  # fmt: skip
    for loss in ('L2', 'L1', 'RLE'):
        distance, rle, mu, sigma = fit_plane(loss)
        print(f'plane, {loss}: mu is {distance:.3f} off')
    draw_density(right, rle, mu, sigma)
    left.legend(fontsize=8)
    left.set(title='1-D: error of w', xticks=range(3))
    left.set_xticklabels(['normal', 'Laplace', 'mixture'])
    middle.set(title='1-D: the densities learnt', xlabel='e in standard deviations', yscale='log')
    middle.set_ylim(1e-3, 3)
    middle.legend(fontsize=8, loc='upper right')
    right.set(title='2-D: labels, density learnt, mu')
    figure.savefig(args.out, dpi=90)
    print(f'{args.out}: {args.out.stat().st_size / 1000:.0f} kB')


if __name__ == '__main__':
    main()
