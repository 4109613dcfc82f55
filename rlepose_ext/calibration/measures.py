"""How true and how useful predicted uncertainties are.

*True* (calibrated): errors are as large as predicted. *Useful* (sharp): joints that are called
uncertain are those that are wrong. A constant can be the first and is never the second.

All errors and deviations have one unit, of the caller's choice; M is the number of joints.
"""

from __future__ import annotations

import math

import numpy as np


def covariances(deviation: np.ndarray, correlation: np.ndarray | float) -> np.ndarray:
    """``diag(deviation) C diag(deviation)`` with C of unit variances.

    Args:
        deviation: (..., 2) standard deviations in x and y.
        correlation: of x and y, of a shape that goes with (...).

    Returns:
        (..., 2, 2).
    """
    x, y = np.moveaxis(np.asarray(deviation), -1, 0)
    mixed = correlation * x * y
    return np.stack([np.stack([x * x, mixed], -1), np.stack([mixed, y * y], -1)], -2)


def distances(error: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Mahalanobis distances ``sqrt(e^T S^-1 e)``.

    Args:
        error: (..., 2).
        covariance: S, (..., 2, 2).

    Returns:
        (...). Of a normal density their squares have a chi-squared distribution of two degrees of
        freedom, which is exponential: P(d <= r) = 1 - exp(-r^2 / 2).
    """
    (xx, xy), (_, yy) = np.moveaxis(covariance, (-2, -1), (0, 1))
    x, y = np.moveaxis(error, -1, 0)
    return np.sqrt((yy * x * x - 2 * xy * x * y + xx * y * y) / (xx * yy - xy * xy))


def normal_radius(level: float) -> float:
    """Distance within which a normal density in the plane has this share: sqrt(-2 ln(1 - q))."""
    return math.sqrt(-2 * math.log(1 - level))


def gaussian_nll(error: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """``d^2 / 2 + log det(S) / 2 + log 2 pi``, the negative logarithm of a normal density.

    Args:
        error: (..., 2).
        covariance: S, (..., 2, 2).

    Returns:
        (...), nats.
    """
    (xx, xy), (_, yy) = np.moveaxis(covariance, (-2, -1), (0, 1))
    half_log = 0.5 * np.log(xx * yy - xy * xy)
    return 0.5 * distances(error, covariance) ** 2 + half_log + math.log(2 * math.pi)


def ence(error: np.ndarray, deviation: np.ndarray, edges: np.ndarray | int = 10) -> float:
    """Expected normalised calibration error: mean over bins of ``|RMSE - RMV| / RMV``.

    Levi, Gispan, Giladi, Fetaya, *Evaluating and Calibrating Uncertainty Prediction in Regression
    Tasks*, arXiv 1905.11659, eq. 8. RMSE is the root mean square of the errors in a bin of the
    predicted deviation, RMV that of the deviations. Of few labels it is above 0 by chance: with n
    in a bin by about 0.56 / sqrt(n) for normal errors.

    Args:
        error: (M,), along one axis.
        deviation: (M,), predicted.
        edges: of the bins, or how many bins of equal numbers.

    Returns:
        0 if calibrated.
    """
    if isinstance(edges, int):
        edges = np.quantile(deviation, np.linspace(0, 1, edges + 1))
    edges = np.unique(edges)
    place = np.clip(np.searchsorted(edges, deviation, 'right') - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(place)
    kept = count > 0
    rmse, rmv = (
        np.sqrt(np.bincount(place, values * values)[kept] / count[kept])
        for values in (error, deviation)
    )
    return float(np.mean(np.abs(rmse - rmv) / rmv))


def sparsification(error: np.ndarray, uncertainty: np.ndarray, points: int = 101) -> np.ndarray:
    """Mean error of the joints that are left when the most uncertain ones are taken away.

    Ilg et al., *Uncertainty Estimates and Multi-Hypotheses Networks for Optical Flow*, ECCV 2018,
    section 5. Joints of one uncertainty are taken away in random order; this is the mean over the
    orders, so that a constant gives 1 everywhere.

    Args:
        error: (M,) distances.
        uncertainty: (M,); only its order counts.
        points: shares taken away, from 0 to just below 1.

    Returns:
        (points,), as shares of the mean error of all joints.
    """
    _, group = np.unique(uncertainty, return_inverse=True)
    means = np.bincount(group, error) / np.bincount(group)
    ranked = means[np.sort(group)]
    left = np.ceil(len(error) * (1 - np.linspace(0, 1, points))).astype(int).clip(1)
    return np.cumsum(ranked)[left - 1] / left / error.mean()


def ause(error: np.ndarray, uncertainty: np.ndarray) -> float:
    """Area between :func:`sparsification` by the uncertainty and by the error itself; 0 is best."""
    between = sparsification(error, uncertainty) - sparsification(error, error)
    return float(np.mean((between[1:] + between[:-1]) / 2))
