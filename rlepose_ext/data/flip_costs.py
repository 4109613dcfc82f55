"""What it would cost if joint b were the partner of joint a: the numbers behind ``flips``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_CHUNK = 200  # persons: N x K x K at once would not fit for faces


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
