"""Predictions whose errors have a known distribution."""

import numpy as np

from rlepose_ext.calibration.repair import HeldOut

NAMES = ('nose', 'left wrist', 'right wrist')
# Of what is true, per joint: standard deviations in x and y in sigmas, and their correlation.
SPREAD = np.array([[0.5, 0.5], [2.0, 1.0], [2.0, 1.0]])
CORRELATION = np.array([0.0, 0.6, -0.6])


def normal(rng, shape):
    return rng.normal(size=(*shape, 2))


def laplace(rng, shape):
    """Elliptical, of unit variances, with heavier tails than a normal one."""
    return normal(rng, shape) * np.sqrt(rng.exponential(size=(*shape, 1)))


def mixture(rng, shape):
    """One in ten errors is four times as large as the others; unit variances."""
    wide = rng.random((*shape, 1)) < 0.1
    return normal(rng, shape) * np.where(wide, 4, 1) / np.sqrt(0.9 + 0.1 * 16)


def held_out(persons, seed=0, density=normal, per_image=1):
    """Predictions of a model whose sigma is right up to a factor per joint and axis."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(50, 500, persons)
    shape = (persons, len(NAMES))
    sigma = size[:, None, None] * np.exp(rng.normal(-3, 0.7, (*shape, 2)))
    x, y = np.moveaxis(density(rng, shape), -1, 0)
    unit = np.stack([x, CORRELATION * x + np.sqrt(1 - CORRELATION**2) * y], -1)
    return HeldOut(
        error=unit * SPREAD * sigma,
        sigma=sigma,
        score=1 - sigma.mean(-1) / size[:, None],
        flow_nll=np.full(shape, np.nan),
        labelled=np.ones(shape, bool),
        visible=rng.random(shape) < 0.8,
        size=size,
        image=np.arange(persons) // per_image,
        names=NAMES,
    )
