"""The One-Euro filter with a prediction: calm joints at rest that do not lag when they move.

Casiez, Roussel, Vogel, *1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems*, CHI 2012. An exponential average whose cut-off frequency grows with the
speed of the signal:

    alpha(f_c, dt) = 1 / (1 + 1 / (2 pi f_c dt))
    v_t <- v_{t-1} + alpha(d_cutoff) ((x - x_{t-1}) / dt - v_{t-1})
    f_c = min_cutoff + beta |v_t|
    x_t <- p + alpha(f_c) (x - p)

In the paper p is x_{t-1}, so a joint that moves is always behind. Here it is where the joint has
got to by its speed, as in double exponential smoothing, but only as far as it does move, or the
noise of v would let it drift at rest:

    p = x_{t-1} + g v_t dt        g = |v_t|^2 / (|v_t|^2 + moving^2)

The signal is a joint's position in units of the person's size, so that beta and ``moving`` mean
the same for large and small persons. ``benchmarks/smoothing.py`` compares settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.types import PoseResult


def smoothing_factor(cutoff: np.ndarray | float, dt: float) -> np.ndarray | float:
    """Share of the new value that a low-pass filter takes.

    Args:
        cutoff: frequency in Hz.
        dt: seconds since the last value.
    """
    return 1.0 / (1.0 + 1.0 / (2 * math.pi * cutoff * dt))


@dataclass
class _State:
    value: np.ndarray
    speed: np.ndarray
    time: float


class OneEuro:
    """Smooths the joints of tracked persons.

    Args:
        min_cutoff: Hz; lower is smoother at rest.
        beta: 1 / (person sizes); higher follows fast movement more closely.
        d_cutoff: Hz, for the speed.
        moving: person sizes a second; of a joint of this speed, half of its way to the next frame
            is predicted. Infinity is the filter of the paper.
        max_gap: seconds without the person after which it starts anew.

    Raises:
        UserError: frequencies or a speed that are not positive, or a negative beta.
    """

    def __init__(
        self,
        min_cutoff: float = 0.5,
        beta: float = 6.0,
        d_cutoff: float = 1.0,
        moving: float = 0.5,
        max_gap: float = 0.5,
    ) -> None:
        if min(min_cutoff, d_cutoff, moving) <= 0 or beta < 0:
            raise UserError(
                'smoothing: expected min_cutoff, d_cutoff and moving above 0 and beta of 0 or '
                f'more, got {min_cutoff}, {d_cutoff}, {moving} and {beta}'
            )
        self.min_cutoff, self.beta, self.d_cutoff = min_cutoff, beta, d_cutoff
        self.moving, self.max_gap = moving, max_gap
        self._states: dict[int, _State] = {}

    def __call__(self, poses: PoseResult, time: float) -> PoseResult:
        """Smooth one frame.

        Args:
            poses: with ``track_id``; persons without an identity (-1) are left alone.
            time: of the frame, seconds.

        Raises:
            UserError: persons without ``track_id``.
        """
        if not len(poses):
            return poses
        if poses.track_id is None:
            raise UserError('smoothing needs identities: switch tracking on')
        keypoints = poses.keypoints.copy()
        for index, identity in enumerate(poses.track_id.tolist()):
            if identity >= 0:
                size = float((poses.boxes[index, 2:] - poses.boxes[index, :2]).max())
                keypoints[index] = self._filter(identity, keypoints[index], size, time)
        self._states = {
            key: state for key, state in self._states.items() if time - state.time <= self.max_gap
        }
        return replace(poses, keypoints=keypoints)

    def _filter(self, identity: int, value: np.ndarray, size: float, time: float) -> np.ndarray:
        state = self._states.get(identity)
        dt = math.inf if state is None else time - state.time
        if state is None or not 0 < dt <= self.max_gap:
            self._states[identity] = _State(value, np.zeros_like(value), time)
            return value
        step = (value - state.value) / size / dt
        velocity = state.speed + smoothing_factor(self.d_cutoff, dt) * (step - state.speed)
        speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
        share = 1.0 / (1.0 + (self.moving / np.maximum(speed, 1e-9)) ** 2)
        predicted = state.value + share * velocity * dt * size
        cutoff = self.min_cutoff + self.beta * speed
        value = predicted + smoothing_factor(cutoff, dt) * (value - predicted)
        self._states[identity] = _State(value, velocity, time)
        return value
