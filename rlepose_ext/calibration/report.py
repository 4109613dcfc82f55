"""Prove a calibration on labels that it has not seen: a table, two plots, JSON.

Errors and deviations are shares of the person's size (:class:`.repair.HeldOut`), so that large
persons do not decide. Every number has a 95 % interval, from resampling images with replacement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rlepose_ext.calibration.measures import (
    ause,
    covariances,
    distances,
    ence,
    gaussian_nll,
    normal_radius,
    sparsification,
)
from rlepose_ext.calibration.repair import LEVELS, Calibration, HeldOut

REPEATS = 200
# Fewer joints than this in a group give no number.
_FEWEST = 20
# Of the plots: readable for colour-blind eyes (Okabe and Ito), and by their dashes.
_STYLES = {
    'calibrated': ('#0072B2', '-'),
    'uncalibrated': ('#D55E00', '--'),
    'score': ('#CC79A7', '-.'),
    'constant': ('#000000', ':'),
    'constant per joint': ('#E69F00', (0, (5, 1, 1, 1, 1, 1))),
}
Interval = list[float]


@dataclass(frozen=True, eq=False)
class Claim:
    """What a row of the table says of the L joints that prove.

    Attributes:
        error: (L, 2) shares of the person's size.
        rank: (L,), larger is less certain.
        deviation: (L, 2) standard deviations; ``None`` for mere rankings.
        distance: (L,) Mahalanobis.
        radius: (L, levels) of the ellipses.
        nll: (L,).
    """

    error: np.ndarray
    rank: np.ndarray
    deviation: np.ndarray | None = None
    distance: np.ndarray | None = None
    radius: np.ndarray | None = None
    nll: np.ndarray | None = None

    def __getitem__(self, index: np.ndarray) -> Claim:
        return replace(self, **{k: v[index] for k, v in vars(self).items() if v is not None})

    def numbers(self) -> dict[str, float]:
        """The measures by name."""
        found = {'ause': ause(np.hypot(*self.error.T), self.rank)}
        if self.nll is not None:
            found['nll'] = float(self.nll.mean())
        if self.deviation is not None:
            found['ence'] = ence(self.error.ravel(), self.deviation.ravel())
        if self.distance is not None:
            inside = (self.distance[:, None] <= self.radius).mean(0)
            found |= {
                f'coverage_{round(100 * q)}': float(v) for q, v in zip(LEVELS, inside, strict=True)
            }
        return found


@dataclass(frozen=True, eq=False)
class Proof:
    """All claims about the joints that prove, and who they belong to.

    Attributes:
        claims: by the row's name.
        joint: (L,) index of the joint.
        image: (L,) number of the image.
        visible: (L,).
        size: (L,) of the person, px.
        names: of the joints.
        conformal: (L,) lowest level of an ellipse that holds the label.
    """

    claims: Mapping[str, Claim]
    joint: np.ndarray
    image: np.ndarray
    visible: np.ndarray
    size: np.ndarray
    names: tuple[str, ...]
    conformal: np.ndarray


def prove(
    proof: HeldOut, promise: HeldOut, shape: HeldOut, before: Calibration, after: Calibration
) -> Proof:
    """Set the rows of the table beside each other on the same joints.

    Args:
        proof: persons that the calibration has not seen.
        promise: those of the radii.
        shape: those of the scales, from which the constants are.
        before: the model's own spread and correlation, for all joints.
        after: of :func:`.repair.fit`; joints that are not in it are left out.
    """
    known = np.isfinite(after.radius[:, 0])
    some = proof.labelled & known
    size = np.broadcast_to(proof.size[:, None], some.shape)[some]
    joint = np.broadcast_to(np.arange(len(known)), some.shape)[some]
    error = proof.error[some] / size[:, None]

    def claim(deviation: np.ndarray, correlation: np.ndarray, radius: np.ndarray | None) -> Claim:
        covariance = covariances(deviation, correlation)
        normal = np.tile([normal_radius(level) for level in LEVELS], (len(error), 1))
        return Claim(
            error,
            np.hypot(*deviation.T),
            deviation,
            distances(error, covariance),
            normal if radius is None else radius,
            gaussian_nll(error, covariance),
        )

    relative = np.where(shape.labelled[..., None] & known[:, None], shape.error, np.nan)
    squared = (relative / shape.size[:, None, None]) ** 2
    all_joints = np.full((len(known), 2), np.sqrt(np.nanmean(squared)))
    each_joint = np.sqrt(np.nanmean(squared[:, known], axis=0))
    constants = np.full((len(known), 2), np.nan)
    constants[known] = each_joint
    own, repaired = (
        each.deviation(proof.sigma, proof.size)[some] / size[:, None] for each in (before, after)
    )
    correlation = after.correlation[joint]
    claims = {
        'constant': claim(all_joints[joint], np.zeros(len(error)), None),
        'constant per joint': claim(constants[joint], np.zeros(len(error)), None),
        'score': Claim(error, -proof.score[some]),
        'learnt density': Claim(error, np.hypot(*own.T), nll=proof.flow_nll[some]),
        'uncalibrated': claim(own, before.correlation[joint], None),
        'scaled': claim(repaired, correlation, None),
        'calibrated': claim(repaired, correlation, after.radius[joint]),
        'exact sigma': _exact(error, repaired),
    }
    if not np.isfinite(claims['learnt density'].nll).all():
        del claims['learnt density']
    if not np.isfinite(own).all():
        del claims['uncalibrated']
    sorted_of = distances(promise.error, after.covariance(promise.sigma, promise.size))
    conformal = np.zeros(len(error))
    for number in np.unique(joint):
        fitted = np.sort(sorted_of[promise.labelled[:, number], number])
        mine = joint == number
        place = np.searchsorted(fitted, claims['calibrated'].distance[mine]) + 1
        conformal[mine] = place / (len(fitted) + 1)
    return Proof(
        claims, joint, np.broadcast_to(proof.image[:, None], some.shape)[some],
        proof.visible[some], size, proof.names, conformal,
    )  # fmt: skip


def _exact(error: np.ndarray, deviation: np.ndarray) -> Claim:
    """Errors for which the deviations (L, 2) are true: standardised ones, dealt anew to the joints.

    AUSE is above 0 even then, because errors of equal standard deviation still differ: the less the
    deviations differ, the nearer it is to that of a constant. ENCE is 0 in truth; what it is here,
    chance alone makes of so many labels.
    """
    dealt = np.random.default_rng(0).permutation(error / deviation) * deviation
    return Claim(dealt, np.hypot(*deviation.T), deviation)


def table(proof: Proof, seed: int, repeats: int = REPEATS) -> dict[str, Any]:
    """All numbers, each as [value, low, high] by the name of the measure.

    Args:
        proof: of :func:`prove`.
        seed: of the resampling.
        repeats: of the resampling.

    Returns:
        ``rows`` over all joints; ``joints``, ``visibility`` and ``size`` with the rows
        'uncalibrated' and 'calibrated' of each group.
    """
    few = [name for name in ('uncalibrated', 'calibrated') if name in proof.claims]
    found: dict[str, Any] = {'rows': over_all(proof, seed, repeats)}
    for kind, name, members in _groups(proof):
        group = {'joints_that_prove': int(members.sum())}
        if members.sum() >= _FEWEST:
            group |= intervals(proof, members, few, seed, repeats)
        found.setdefault(kind, {})[name] = group
    return found


def over_all(proof: Proof, seed: int, repeats: int = REPEATS) -> dict[str, dict[str, Interval]]:
    """All rows over all joints; see :func:`table`."""
    every = np.ones(len(proof.joint), bool)
    return intervals(proof, every, list(proof.claims), seed, repeats)


def over_splits(proofs: Iterable[Proof]) -> dict[str, Interval]:
    """The row 'calibrated' of several splits of the same images: mean, lowest and highest.

    Radii come from a quarter of the images and are proven on half of them. With a few hundred, the
    joints of one face being wrong together, which image is where moves the coverage by more than
    the intervals of :func:`table` show, as those resample the second part only.
    """
    found = [proof.claims['calibrated'].numbers() for proof in proofs]
    values = {key: [each[key] for each in found] for key in found[0]}
    return {key: [float(np.mean(v)), min(v), max(v)] for key, v in values.items()}


def _groups(proof: Proof) -> Iterator[tuple[str, str, np.ndarray]]:
    for number in np.unique(proof.joint):
        yield 'joints', proof.names[number], proof.joint == number
    yield 'visibility', 'visible', proof.visible
    yield 'visibility', 'occluded', ~proof.visible
    low, high = np.quantile(proof.size, [1 / 3, 2 / 3])
    yield 'size', f'below {low:.0f} px', proof.size < low
    yield 'size', f'{low:.0f} to {high:.0f} px', (proof.size >= low) & (proof.size < high)
    yield 'size', f'{high:.0f} px and more', proof.size >= high


def intervals(
    proof: Proof, members: np.ndarray, names: list[str], seed: int, repeats: int
) -> dict[str, dict[str, Interval]]:
    """Numbers of the claims with these names, over the joints that are members (L,), see above.

    Of ENCE, low and high lie around the value as the resamples lie around their mean: it is a mean
    of absolute values, to which chance adds, and resampling once more.
    """
    place = np.flatnonzero(members)
    _, image = np.unique(proof.image[place], return_inverse=True)
    rng, number = np.random.default_rng(seed), image.max() + 1
    draws = [place]
    for _ in range(repeats):
        times = np.bincount(rng.integers(number, size=number), minlength=number)
        draws.append(np.repeat(place, times[image]))
    found = {}
    for name in names:
        values = [proof.claims[name][draw].numbers() for draw in draws]
        found[name] = {}
        for key, value in values[0].items():
            drawn = np.array([v[key] for v in values[1:]])
            if key == 'ence':
                drawn = (drawn + value - drawn.mean()).clip(0)
            found[name][key] = [value, *np.percentile(drawn, [2.5, 97.5])]
    return found


def as_text(rows: Mapping[str, Mapping[str, Interval]]) -> str:
    """The rows as a table for the terminal: value, and half of the interval's width."""
    columns = ['nll', 'ence', 'ause', *(f'coverage_{round(100 * q)}' for q in LEVELS)]
    heads = ['NLL', 'ENCE', 'AUSE', *(f'in {q:.0%}' for q in LEVELS)]
    lines = [' ' * 20 + ''.join(f'{head:>16}' for head in heads)]
    for name, numbers in rows.items():
        cells = []
        for column in columns:
            value, low, high = numbers.get(column, (None, 0, 0))
            half = (high - low) / 2
            form = '{:.1%} ±{:.1%}' if column.startswith('coverage') else '{:.3f} ±{:.3f}'
            cells.append('-' if value is None else form.format(value, half))
        lines.append(f'{name:<20}' + ''.join(f'{cell:>16}' for cell in cells))
    return '\n'.join(lines)


def draw_reliability(proof: Proof, path: Path) -> None:
    """How often ellipses of each level hold the label, beside how often they should."""
    figure = Figure(figsize=(4.6, 4.4), layout='constrained')
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color='0.6', linewidth=1)
    levels = {'calibrated': proof.conformal}
    for name in ('uncalibrated', 'constant'):
        if name in proof.claims:
            levels[name] = 1 - np.exp(-(proof.claims[name].distance ** 2) / 2)
    for name, values in levels.items():
        color, line = _STYLES[name]
        axis.plot(np.sort(values), np.arange(1, len(values) + 1) / len(values), color=color,
                  linestyle=line, label=name)  # fmt: skip
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect='equal')
    axis.set_xlabel('level of the ellipse')
    axis.set_ylabel('share of labels inside')
    _finish(figure, axis, 'below the line: too sure', path)


def draw_sparsification(proof: Proof, path: Path) -> None:
    """Mean error of the joints that are left, when the most uncertain ones are taken away."""
    figure = Figure(figsize=(4.6, 4.4), layout='constrained')
    axis = figure.subplots()
    error = np.hypot(*proof.claims['calibrated'].error.T)
    taken = np.linspace(0, 100, 101)[:-1]
    axis.plot(taken, sparsification(error, error)[:-1], color='#009E73', label='the error itself')
    for name, (color, line) in _STYLES.items():
        if name != 'uncalibrated' and name in proof.claims:
            left = sparsification(error, proof.claims[name].rank)[:-1]
            axis.plot(taken, left, color=color, linestyle=line, label=name)
    axis.set(xlim=(0, 100), ylim=(0, None))
    axis.set_xlabel('joints taken away, the most uncertain first, %')
    axis.set_ylabel('mean error of the others, share of that of all')
    _finish(figure, axis, 'lower: knows better what is wrong', path)


def _finish(figure: Figure, axis: Any, title: str, path: Path) -> None:
    axis.set_title(title, loc='left', fontsize=10)
    axis.legend(frameon=False, fontsize=9)
    axis.grid(color='0.9', linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ('top', 'right'):
        axis.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)
