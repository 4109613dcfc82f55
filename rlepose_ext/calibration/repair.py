"""Make the uncertainty of joints true, from labels that the model has not seen.

Three repairs, each on top of the one before:

1. A *scale* per joint and axis: the root mean square of error / sigma. The standard deviation is
   then ``spread * sigma`` with a spread of each joint.
2. By option a *curve* (isotonic regression): the size of errors as a rising function of the
   predicted size, for a sigma that is too sure where it is small and not sure enough where it is
   large, or the other way round. Lengths are shares of the person's size, the root of the box area.
3. *Ellipses* that hold a promise whatever the density (split conformal prediction). The Mahalanobis
   distance r of n labels is sorted, and the ellipse of level q gets the ceil((n + 1) q)-th smallest
   as its radius. If a new label and the n are exchangeable, it is inside with a probability of at
   least q, and at most q + 1 / (n + 1) where distances do not tie. Vovk, Gammerman, Shafer,
   *Algorithmic Learning in a Random World*, 2005; Angelopoulos, Bates, arXiv 2107.07511, section 1.
   The n labels must not be those of steps 1 and 2. Labels of one image are alike and not
   exchangeable with those of another: many images count, not many persons in a few.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlepose_ext.calibration.measures import covariances, distances

LEVELS = (0.5, 0.9, 0.95)
# Labels of a joint, of all parts together, and images with it in each part, below which nothing
# is said of it. Fewer than 19 labels give no ellipse of 95 %.
FEWEST, FEWEST_IMAGES = 100, 19
# Errors in sigmas of labels that the model has made itself, which may have been rounded.
_OWN = 0.01
# Of the curve: at most so many bins, with at least so many labels each.
_BINS, _IN_BIN = 50, 50


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions of M persons with labels, K joints each.

    Attributes:
        error: (M, K, 2) prediction less label, image px.
        sigma: (M, K, 2) of the model, image px.
        score: (M, K).
        flow_nll: (M, K) negative logarithm of the density that the model has learnt, at the label;
            coordinates in sizes of the person. NaN without it.
        labelled: (M, K) boolean.
        visible: (M, K) boolean; labelled and not marked as occluded.
        size: (M,) root of the area of each person's box, image px.
        image: (M,) number of the image.
        names: of the joints.
    """

    error: np.ndarray
    sigma: np.ndarray
    score: np.ndarray
    flow_nll: np.ndarray
    labelled: np.ndarray
    visible: np.ndarray
    size: np.ndarray
    image: np.ndarray
    names: tuple[str, ...]

    def __getitem__(self, persons: np.ndarray) -> HeldOut:
        """Some of the persons: an index array or a mask."""
        fields = {k: v[persons] for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        return replace(self, **fields)

    def split(self, seed: int, parts: int = 2) -> list[HeldOut]:
        """Parts of as equal numbers of images as possible; all persons of an image in one."""
        images = np.random.default_rng(seed).permutation(np.unique(self.image))
        return [self[np.isin(self.image, some)] for some in np.array_split(images, parts)]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the repairs have found, as it stands in checkpoints and exported files.

    Attributes:
        spread: (K, 2) standard deviation of the error in sigmas.
        correlation: (K,) of the errors in x and y.
        radius: (K, levels) of ellipses, in standard deviations; NaN for joints without calibration.
        curve: predicted and repaired standard deviations in sizes of the person, (2, points).
    """

    spread: np.ndarray
    correlation: np.ndarray
    radius: np.ndarray
    curve: np.ndarray | None = None

    def deviation(self, sigma: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Standard deviations in x and y of sigma (N, K, 2) of persons of a size (N,), px."""
        deviation = sigma * self.spread
        if self.curve is None:
            return deviation
        # At both ends of the curve it goes on in proportion.
        share = np.maximum(deviation, 1e-12) / size[:, None, None]
        known = np.clip(share, self.curve[0, 0], self.curve[0, -1])
        repaired = np.exp(np.interp(np.log(known), *np.log(self.curve)))
        calibrated = np.isfinite(self.radius[:, :1])
        return np.where(calibrated, deviation * repaired / known, deviation)

    def covariance(self, sigma: np.ndarray, size: np.ndarray) -> np.ndarray:
        """(N, K, 2, 2) px²; arguments as above."""
        return covariances(self.deviation(sigma, size), self.correlation)

    def to_plain(self) -> dict[str, Any]:
        """Lists and numbers, as JSON and safe checkpoints have them; NaN is ``None``."""
        return {
            'levels': list(LEVELS),
            **{k: None if v is None else _plain(v.tolist()) for k, v in vars(self).items()},
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Calibration:
        """The inverse."""
        values = {name: content[name] for name in ('spread', 'correlation', 'radius', 'curve')}
        return cls(**{k: None if v is None else np.array(v, float) for k, v in values.items()})


def fit(
    shape: HeldOut,
    promise: HeldOut,
    proof: HeldOut,
    spread: np.ndarray | None = None,
    correlation: float = 0.0,
    isotonic: bool = False,
) -> tuple[Calibration, dict[str, str]]:
    """Fit all repairs.

    Args:
        shape: persons for scale, correlation and curve.
        promise: other persons, for the radii.
        proof: others again, of whom it is only asked whether they can prove a joint.
        spread: (2,) the model's own, which joints without enough labels keep.
        correlation: likewise.
        isotonic: with the curve.

    Returns:
        The calibration, and why joints are left out of it, by their names.
    """
    number = len(shape.names)
    fallback = np.full(2, np.nan) if spread is None else np.asarray(spread, float)
    spreads, correlations = np.tile(fallback, (number, 1)), np.full(number, float(correlation))
    left: dict[str, str] = {}
    parts = shape, promise, proof
    for joint, name in enumerate(shape.names):
        labels = sum(int(part.labelled[:, joint].sum()) for part in parts)
        images = [len(np.unique(part.image[part.labelled[:, joint]])) for part in parts]
        some = shape.labelled[:, joint]
        z = shape.error[some, joint] / shape.sigma[some, joint]
        if not labels:
            left[name] = 'no labels'
        elif labels < FEWEST or min(images) < FEWEST_IMAGES:
            left[name] = (
                f'{labels} labels in {" + ".join(map(str, images))} images, expected {FEWEST} '
                f'labels and {FEWEST_IMAGES} images in each of the three parts'
            )
        elif (np.sqrt((z * z).mean(0)) < _OWN).any():
            left[name] = 'the labels are predictions of this model, expected others'
        else:
            spreads[joint], correlations[joint] = np.sqrt((z * z).mean(0)), _correlation(z)
    known = np.array([name not in left for name in shape.names])
    radius = np.where(known[:, None], 0.0, np.full(len(LEVELS), np.nan))
    result = Calibration(spreads, correlations, radius)
    if isotonic and known.any():
        result = replace(result, curve=_curve(shape, result, known))
    found = distances(promise.error, result.covariance(promise.sigma, promise.size))
    for joint in np.flatnonzero(known):
        some = found[promise.labelled[:, joint], joint]
        result.radius[joint] = [conformal_quantile(some, level) for level in LEVELS]
    return result, left


def conformal_quantile(values: np.ndarray, level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n values; infinite if there are not as many."""
    # Rounded first: 20 * 0.95 is a little more than 19 in floating point.
    rank = math.ceil(round((len(values) + 1) * level, 9))
    return float(np.sort(values)[rank - 1]) if rank <= len(values) else math.inf


def ellipses(covariance: np.ndarray, radius: np.ndarray | float) -> np.ndarray:
    """Ellipses ``e^T S^-1 e = radius^2`` as OpenCV draws them.

    Args:
        covariance: S, (..., 2, 2) px².
        radius: of a shape that goes with (...).

    Returns:
        (..., 3): longer and shorter half axis, px, and the angle of the longer one with the x axis
        in degrees, from -90 to 90, clockwise on the screen (y points down). NaN stays NaN.
    """
    (xx, xy), (_, yy) = np.moveaxis(np.asarray(covariance, float), (-2, -1), (0, 1))
    middle, apart = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    half = [np.sqrt(middle + apart) * radius, np.sqrt(np.maximum(middle - apart, 0)) * radius]
    angle = np.where(np.isnan(half[0]), np.nan, np.degrees(np.arctan2(2 * xy, xx - yy) / 2))
    return np.stack([*half, angle], axis=-1)


def _correlation(z: np.ndarray) -> float:
    """``sin(pi/2 tau)`` of Kendall's tau: of elliptical densities, and outliers do not move it."""
    from scipy.stats import kendalltau

    tau = kendalltau(*z.T).statistic
    return float(np.clip(np.sin(np.pi / 2 * np.nan_to_num(tau)), -0.99, 0.99))


def _curve(shape: HeldOut, scaled: Calibration, known: np.ndarray) -> np.ndarray:
    """Isotonic regression of squared errors on the predicted deviations, in equal bins."""
    from scipy.optimize import isotonic_regression

    some = shape.labelled & known
    size = shape.size[:, None, None]
    predicted = (scaled.deviation(shape.sigma, shape.size) / size)[some].ravel()
    squared = ((shape.error / size) ** 2)[some].ravel()
    order = np.argsort(predicted)
    bins = np.array_split(order, int(np.clip(len(order) // _IN_BIN, 1, _BINS)))
    x = [np.sqrt((predicted[i] ** 2).mean()) for i in bins]
    y = isotonic_regression([squared[i].mean() for i in bins], weights=[len(i) for i in bins]).x
    return np.maximum([x, np.sqrt(y)], 1e-12)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if math.isnan(value) else value
