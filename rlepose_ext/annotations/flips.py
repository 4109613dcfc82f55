r"""Do the flip pairs of the metainfo fit the poses?

A mirrored photograph of a person is a photograph of a person. So when poses are mirrored and
their joints renamed by the flip pairs, nothing measurable may change. Two quantities are
compared, in units of the box's size :math:`s = \sqrt{wh}`:

- **mean place**: joint :math:`a` mirrored about the middle of the box must lie where its partner
  :math:`b` lies: :math:`c_1 = \| (-\bar x_a - \bar x_b,\; \bar y_a - \bar y_b) \|`, over the
  persons with both joints. For a right pair the two :math:`x` have opposite signs, unless the
  data show as many backs as fronts, when both are near 0.
- **distances**: :math:`D_{ij}`, the mean distance between joints, must be the same for partners:
  :math:`c_2 = \operatorname{median}_j |D_{aj} - D_{b\pi(j)}|`. This does not depend on where
  people face, so it also works where the first does not.

Every joint could be the partner of :math:`a`, and the cost :math:`c = \sqrt{c_1^2 + c_2^2}` of
the declared one is compared with the least. A declared partner is *wrong* if another one costs
less than half, by more than :data:`MARGIN` and three standard errors, or if so for :math:`c_2`
alone and :math:`c_1` does not speak against it; *confirmed* if every other one costs more by
three standard errors; else *unclear*: too few poses, or joints too close to each other.

Names are looked at as well: ``left_knee`` must swap with ``right_knee``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rlepose_ext.annotations.metainfo import PoseMeta

MARGIN = 0.02  # in units of the box's size
_ERRORS = 3.0
_FEWEST = 10  # persons with both joints, for a verdict
_MOST = 5000  # persons are enough; evenly spaced ones
_CHUNK = 200  # persons: N x K x K at once would not fit for faces
CONFIRMED, UNCLEAR, WRONG = 'confirmed', 'unclear', 'wrong'
_SIDES = {'left': 'right', 'right': 'left', 'l': 'r', 'r': 'l'}
_WORD = re.compile(r'[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]+|\d+|[^A-Za-z\d]+')


@dataclass(frozen=True)
class JointFlip:
    """One joint and its declared partner.

    Attributes:
        joint, partner: names; the same for a joint in the middle.
        x, partner_x: mean place to the right of the box's middle, in units of the box's size,
            over the persons with both.
        cost: of the declared partner.
        best: the joint that costs least.
        best_cost: its cost.
        error: standard error of a cost.
        persons: with both joints.
        verdict: ``'confirmed'``, ``'unclear'`` or ``'wrong'``.
    """

    joint: str
    partner: str
    x: float
    partner_x: float
    cost: float
    best: str
    best_cost: float
    error: float
    persons: int
    verdict: str

    def __str__(self) -> str:
        return (
            f'{self.joint} swaps with {self.partner} (cost {self.cost:.3f} +- {self.error:.3f}), '
            f'the poses fit {self.best} (cost {self.best_cost:.3f})'
        )


@dataclass
class FlipReport:
    """What names and poses say about the flip pairs.

    Attributes:
        joints: one entry for each joint.
        names: contradictions between names and pairs, each a sentence.
        sided: whether names tell left from right at all.
        facing: share of pairs whose joint named left lies to the right in the image, as with
            people who face the camera; None without such names.
    """

    joints: list[JointFlip] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sided: bool = False
    facing: float | None = None

    def count(self, verdict: str) -> int:
        """Number of joints with a verdict."""
        return sum(joint.verdict == verdict for joint in self.joints)

    @property
    def wrong(self) -> list[JointFlip]:
        """Joints whose partner contradicts the poses."""
        return [joint for joint in self.joints if joint.verdict == WRONG]


def mirrored_name(name: str) -> str | None:
    """``right_knee`` for ``left_knee``; None for a name without a side.

    Words are told apart by capitals, digits and signs: ``LeftKnee``, ``l_knee``, ``Knee.R``. A
    single letter is a side only if it is a word.
    """
    words = _WORD.findall(name)
    mirrored = [_swap_word(word) for word in words]
    return ''.join(mirrored) if mirrored != words else None


def _swap_word(word: str) -> str:
    other = _SIDES.get(word.lower())
    if other is None:
        return word
    return other.upper() if word.isupper() else other.title() if word[0].isupper() else other


def check_names(meta: PoseMeta) -> tuple[list[str], bool]:
    """Contradictions between names and pairs; and whether any name has a side."""
    found, sided = [], False
    known = set(meta.joints)
    for index, name in enumerate(meta.joints):
        partner = meta.joints[meta.partners[index]]
        expected = mirrored_name(name)
        if expected not in known:
            continue  # without a side, or without a counterpart
        sided = True
        if partner != expected:
            said = 'does not swap' if partner == name else f'swaps with {partner}'
            found.append(f'{name} {said}; by its name it swaps with {expected}')
    return found, sided


def check_flips(
    keypoints: np.ndarray, labelled: np.ndarray, boxes: np.ndarray, meta: PoseMeta
) -> FlipReport:
    """Compare the flip pairs with names and poses.

    Args:
        keypoints: (N, K, 2 or more) x, y in image px.
        labelled: (N, K).
        boxes: (N, 4) x, y, width, height in image px; persons without a usable one, or with
            less than two labelled joints, are left out.
        meta: of these K joints.
    """
    names, sided = check_names(meta)
    report = FlipReport(names=names, sided=sided)
    with np.errstate(invalid='ignore'):
        usable = (boxes[:, 2:] > 0).all(axis=1) & np.isfinite(boxes).all(axis=1)
    usable &= labelled.sum(axis=1) > 1
    chosen = np.flatnonzero(usable)
    if not len(chosen):
        return report
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), _MOST)).astype(int)]
    with np.errstate(over='ignore', invalid='ignore'):  # coordinates may be out of range
        all_costs = costs(keypoints[chosen], labelled[chosen], boxes[chosen], meta.partners)
    report.joints = [_judge(a, meta, all_costs) for a in range(len(meta.joints))]
    report.facing = _facing(meta, all_costs) if sided else None
    return report


def _judge(a: int, meta: PoseMeta, c: Costs) -> JointFlip:
    b = meta.partners[a]
    cost, error = c.cost[a], c.error[a]
    best = int(cost.argmin())
    others = np.delete(cost, b)
    verdict = UNCLEAR
    if c.persons[a, b] >= _FEWEST and len(others):
        if _clearly_less(cost, error, best, b):
            verdict = WRONG
        elif (other := _by_distances(a, b, c)) is not None:
            best, verdict = other, WRONG
        elif others.min() - cost[b] > _ERRORS * error[b]:
            verdict = CONFIRMED
    return JointFlip(
        joint=meta.joints[a],
        partner=meta.joints[b],
        x=_finite(c.mean_x[a, b]),
        partner_x=_finite(c.mean_x[b, a]),
        cost=_finite(cost[b]),
        best=meta.joints[best],
        best_cost=_finite(cost[best]),
        error=_finite(error[b]),
        persons=int(c.persons[a, b]),
        verdict=verdict,
    )


def _clearly_less(cost: np.ndarray, error: np.ndarray, one: int, other: int) -> bool:
    """Whether a joint costs less than half of another, beyond chance."""
    noise = _ERRORS * np.hypot(error[one], error[other])
    return cost[one] < cost[other] / 2 and cost[other] - cost[one] > max(MARGIN, noise)


def _by_distances(a: int, b: int, c: Costs) -> int | None:
    """A better partner than b by distances, if the mean places do not speak against it."""
    known = np.where(c.persons[a] >= _FEWEST, c.distance[a], np.inf)
    best = int(known.argmin())
    if not _clearly_less(known, c.distance_error[a], best, b):
        return None
    noise = _ERRORS * np.hypot(c.place_error[a, best], c.place_error[a, b])
    return best if c.place[a, best] - c.place[a, b] <= noise else None


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0


def _facing(meta: PoseMeta, c: Costs) -> float | None:
    sides = []
    for a, b in meta.pairs:
        words = [word.lower() for word in _WORD.findall(meta.joints[a])]
        left, right = (a, b) if {'left', 'l'} & set(words) else (b, a)
        if c.persons[a, b]:
            sides.append(c.mean_x[left, right] > c.mean_x[right, left])
    return float(np.mean(sides)) if sides else None


class Costs(NamedTuple):
    """What each joint b as the partner of each joint a would cost: arrays (K, K), row a.

    Attributes:
        place, place_error: :math:`c_1` and its standard error, in units of the box's size.
        distance, distance_error: the same for :math:`c_2`.
        mean_x: of a, from the box's middle, over the persons with both.
        persons: with both.
    """

    place: np.ndarray
    place_error: np.ndarray
    distance: np.ndarray
    distance_error: np.ndarray
    mean_x: np.ndarray
    persons: np.ndarray

    @property
    def cost(self) -> np.ndarray:
        """Both together."""
        return np.hypot(self.place, self.distance)

    @property
    def error(self) -> np.ndarray:
        """Standard error of both together."""
        return np.hypot(self.place_error, self.distance_error)


def costs(
    keypoints: np.ndarray, labelled: np.ndarray, boxes: np.ndarray, partners: Sequence[int]
) -> Costs:
    """Compare all joints with all.

    Args:
        keypoints: (N, K, 2 or more) x, y in image px.
        labelled: (N, K).
        boxes: (N, 4) x, y, width, height in image px, with positive sides.
        partners: K declared partners. If none swaps, the distances agree whatever they are, and
            are left out.
    """
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    size = np.sqrt(boxes[:, 2:].prod(axis=1))[:, None, None]
    place = np.where(labelled[..., None], (keypoints[..., :2] - middle[:, None]) / size, 0.0)
    x, y, there = place[..., 0], place[..., 1], labelled.astype(float)
    persons = there.T @ there
    number = np.maximum(persons, 1)
    mean_x, mean_y = x.T @ there / number, y.T @ there / number
    dx, dy = -(mean_x + mean_x.T), mean_y - mean_y.T
    square_x, square_y = (x * x).T @ there, (y * y).T @ there
    var_x = (square_x + square_x.T + 2 * x.T @ x) / number - dx**2
    var_y = (square_y + square_y.T - 2 * y.T @ y) / number - dy**2
    c1 = np.hypot(dx, dy)
    error1 = np.sqrt((np.maximum(var_x, 0) + np.maximum(var_y, 0)) / number)
    c1[persons == 0] = error1[persons == 0] = np.inf

    c2, error2 = np.zeros_like(c1), np.zeros_like(c1)
    partners = np.asarray(partners)
    if (partners != np.arange(len(partners))).any():
        distance, variance = _distances(place, there, number)
        c2 = _unlike(distance, persons, partners)
        spread = variance.mean(axis=1)
        error2 = np.sqrt((spread[:, None] + spread) / number)
    return Costs(c1, error1, c2, error2, mean_x, persons.astype(int))


def _unlike(distance: np.ndarray, persons: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """(K, K) median over j of the difference between D[a, j] and D[b, pi(j)].

    Without the j that are a, b or their partners, and those that a or b was never seen with.
    """
    count = len(partners)
    turned, seen = distance[:, partners], persons[:, partners] > 0
    every, result = np.arange(count), np.zeros((count, count))
    for a in range(count):
        rest = seen & (persons[a] > 0)
        rest[:, [a, partners[a]]] = False
        rest[every, every] = rest[every, partners] = False
        gaps = np.where(rest, np.abs(distance[a] - turned), np.inf)
        gaps.sort(axis=1)
        number = rest.sum(axis=1)
        low, high = gaps[every, np.maximum(number - 1, 0) // 2], gaps[every, number // 2 % count]
        result[a, number > 0] = ((low + high) / 2)[number > 0]
    return result


def _distances(
    place: np.ndarray, there: np.ndarray, number: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance between joints, and its variance over persons: (K, K) each."""
    joints = place.shape[1]
    first, second = np.zeros((joints, joints)), np.zeros((joints, joints))
    for start in range(0, len(place), _CHUNK):
        part, mask = place[start : start + _CHUNK], there[start : start + _CHUNK]
        gap = np.linalg.norm(part[:, :, None] - part[:, None], axis=-1)
        gap *= mask[:, :, None] * mask[:, None]
        first += gap.sum(axis=0)
        second += (gap**2).sum(axis=0)
    mean = first / number
    return mean, np.maximum(second / number - mean**2, 0)
