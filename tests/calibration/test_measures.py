"""Formulas against closed forms, and against netcal's."""

import math

import numpy as np
import pytest
from errors import mixture, normal
from scipy.stats import multivariate_normal

from rlepose_ext.calibration.measures import (
    ause,
    covariances,
    distances,
    ence,
    gaussian_nll,
    normal_radius,
    sparsification,
)

TILTED = covariances(np.array([3.0, 1.0]), 0.5)


def test_covariance_by_hand():
    np.testing.assert_allclose(TILTED, [[9, 1.5], [1.5, 1]])


def test_normal_density():
    error = np.random.default_rng(0).normal(size=(50, 2)) * 3
    expected = -multivariate_normal(cov=TILTED).logpdf(error)
    np.testing.assert_allclose(gaussian_nll(error, TILTED), expected)


@pytest.mark.parametrize('level', [0.5, 0.9, 0.95])
def test_a_normal_ellipse_holds_its_share(level):
    error = normal(np.random.default_rng(1), (1_000_000,)) @ np.linalg.cholesky(TILTED).T
    inside = (distances(error, TILTED) <= normal_radius(level)).mean()
    assert inside == pytest.approx(level, abs=0.002)


def test_ence_of_errors_that_are_a_factor_too_large():
    """RMSE is c RMV in every bin: |c - 1|. With the true deviations it is 0."""
    rng = np.random.default_rng(2)
    deviation = np.exp(rng.normal(size=100_000))
    error = deviation * np.sign(rng.normal(size=100_000))
    assert ence(1.5 * error, deviation) == pytest.approx(0.5)
    assert ence(error, deviation) == pytest.approx(0, abs=1e-12)
    assert ence(1.5 * error, np.ones(100_000)) > 0.5
    noise = ence(deviation * rng.normal(size=100_000), deviation)
    assert noise == pytest.approx(0.56 / math.sqrt(10_000), rel=0.5)


def test_sparsification_by_hand():
    """Of the errors 1, 2, 3, 6 (mean 3) the best order leaves 2, 1.5 and 1."""
    error = np.array([3.0, 1.0, 6.0, 2.0])
    np.testing.assert_allclose(sparsification(error, error, 5), np.array([3, 2, 1.5, 1, 1]) / 3)
    np.testing.assert_allclose(sparsification(error, -error, 5)[:2], [1, 11 / 9])
    np.testing.assert_allclose(sparsification(error, np.zeros(4), 5), 1)
    # the two that tie count as their mean, in any order
    ties = np.array([1.0, 0.0, 1.0, 0.0])
    np.testing.assert_allclose(sparsification(error, ties, 5), [1, 5 / 6, 0.5, 0.5, 0.5])


def test_ause_ranks_what_is_known_of_the_errors():
    """The scale of an error is worth half of the way from knowing nothing to knowing the error."""
    rng = np.random.default_rng(3)
    scale = np.exp(rng.normal(size=50_000))
    error = scale * rng.exponential(size=50_000)
    constant, known = ause(error, np.ones(50_000)), ause(error, scale)
    assert ause(error, error) == 0
    assert 0 < known < 0.5 * constant
    assert ause(error, -scale) > constant
    # Exponential errors of mean 1: the lowest share p of them, below -ln(1 - p), has the mean
    # 1 + (1 - p) ln(1 - p) / p.
    one = rng.exponential(size=200_000)
    share = np.linspace(0, 1, 100_001)[1:-1]
    best = 1 + (1 - share) * np.log(1 - share) / share
    assert ause(one, np.ones(200_000)) == pytest.approx(1 - best.mean(), abs=0.01)


@pytest.mark.parametrize('density', [normal, mixture])
def test_netcal_agrees(density):
    netcal = pytest.importorskip('netcal', reason='netcal is not installed')
    from netcal.metrics.regression import ENCE

    rng = np.random.default_rng(4)
    deviation = np.exp(rng.normal(size=(3000, 2)))
    error = density(rng, (3000,)) * deviation * [1.2, 0.7]
    label = np.zeros_like(error)
    theirs = ENCE(bins=12).measure((error, deviation), label)
    for axis in range(2):
        column = deviation[:, axis]
        edges = np.linspace(column.min(), column.max(), 13)
        assert ence(error[:, axis], column, edges) == pytest.approx(theirs[axis], rel=1e-9)
    covariance = covariances(deviation, 0.3)
    for level in (0.5, 0.9, 0.95):
        inside = distances(error, covariance) <= normal_radius(level)
        theirs = netcal.is_in_quantile((error, covariance), label, level, 'meanstd')[0]
        np.testing.assert_array_equal(inside, np.squeeze(theirs))
