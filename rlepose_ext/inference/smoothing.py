"""Calm joints that do not lag: a Kalman filter by each joint's variance, and the One-Euro filter.

Both keep for every joint of a tracked person where it is and how fast it moves, expect it where
that leads, and go from there to the measured place z by a share, the gain. A small gain is calm
and late; a large one is neither. They differ in what they know. Accelerations and speeds are in
sizes of the person, so that settings mean the same for large and small ones.

**Kalman filter** (Kalman 1960; Bar-Shalom, Li, Kirubarajan, *Estimation with Applications to
Tracking and Navigation*, 2001, section 6.3.2). It knows how uncertain each measurement is: RLE
predicts a standard deviation ``sigma_px`` for each joint and axis, so a joint that is hidden in
this frame moves its estimate less than one that is seen well. For each coordinate

    state           s = (position x, velocity v), and P, the 2x2 covariance of its error
    process noise   in every frame the acceleration is another one, of standard deviation a:
                    Q = a^2 [[dt^4 / 4, dt^3 / 2], [dt^3 / 2, dt^2]]
    predict         s <- F s,  P <- F P F' + Q,  F = [[1, dt], [0, exp(-dt / tau)]]
    measurement     z has the variance R = sigma_px^2
    gain            K = P[:, 0] / (P[0, 0] + R)
    correct         s <- s + K (z - x),  P <- P - K P[0]

tau is how long a velocity lasts that no measurement confirms. Without it (infinity) a joint at
constant velocity has no lag at all, and one that stops goes too far for a while. For constant R
the gain settles: with K = (alpha, beta / dt) and the tracking index L = a dt^2 / sqrt(R),
r = (4 + L - sqrt(8 L + L^2)) / 4, alpha = 1 - r^2, beta = 2 (2 - alpha) - 4 sqrt(1 - alpha)
(Kalata, *The Tracking Index*, IEEE Transactions on Aerospace and Electronic Systems 1984).

**One-Euro filter** (Casiez, Roussel, Vogel, *1 Euro Filter: A Simple Speed-based Low-pass Filter
for Noisy Input in Interactive Systems*, CHI 2012). It knows no variance, and takes speed for a
sign that lag matters more than noise: an exponential average with a cut-off frequency that grows
with the speed.

    alpha(f_c, dt) = 1 / (1 + 1 / (2 pi f_c dt))
    v_t <- v_{t-1} + alpha(d_cutoff) ((z - x_{t-1}) / dt - v_{t-1})
    f_c = min_cutoff + beta |v_t|
    x_t <- p + alpha(f_c) (z - p)

In the paper p is x_{t-1}, so a joint that moves is always behind. Here it is where the joint has
got to by its speed, as in double exponential smoothing, but only as far as it does move, or the
noise of v would let it drift at rest:

    p = x_{t-1} + g v_t dt        g = |v_t|^2 / (|v_t|^2 + moving^2)

``benchmarks/smoothing.py`` compares them and their settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

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
class State:
    """The K joints of one person.

    Attributes:
        value: (K, 2) positions, image px.
        velocity: (K, 2) image px a second.
        covariance: (2, 2, K, 2) of position and velocity, for each coordinate; of the Kalman
            filter.
    """

    value: np.ndarray
    velocity: np.ndarray
    covariance: np.ndarray | None = None


class Smoother:
    """Smooths the joints of tracked persons; :class:`Kalman` and :class:`OneEuro` say how.

    Args:
        max_gap: seconds without the person after which it starts anew.
    """

    def __init__(self, max_gap: float) -> None:
        if not max_gap > 0:
            raise UserError(f'smoothing: expected max_gap above 0, got {max_gap}')
        self.max_gap = max_gap
        self._states: dict[int, tuple[State, float]] = {}

    def start(self, value: np.ndarray, sigma: np.ndarray | None, size: float) -> State:
        """The state of somebody new.

        Args:
            value: (K, 2) measured positions, image px.
            sigma: (K, 2) their standard deviations, image px; ``None`` if they are unknown.
            size: of the person, image px.
        """
        return State(value, np.zeros_like(value))

    def step(
        self, state: State, value: np.ndarray, sigma: np.ndarray | None, size: float, dt: float
    ) -> State:
        """The state ``dt`` seconds later; the others as of :meth:`start`."""
        raise NotImplementedError

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
        keypoints, deviations = poses.keypoints.copy(), poses.sigma_px
        sizes = (poses.boxes[:, 2:] - poses.boxes[:, :2]).max(1).tolist()
        for index, identity in enumerate(poses.track_id.tolist()):
            if identity < 0:
                continue
            measured = keypoints[index].astype(float), None, sizes[index]
            if deviations is not None:
                measured = measured[0], deviations[index].astype(float), sizes[index]
            state, last = self._states.get(identity, (None, -math.inf))
            if state is None or not 0 < time - last <= self.max_gap:
                state = self.start(*measured)
            else:
                seen = np.isfinite(state.value)
                state = self.step(state, *measured, time - last)
                if not seen.all():  # NaN would stay in the filter for ever
                    state = _either(seen, state, self.start(*measured))
            self._states[identity] = state, time
            keypoints[index] = state.value
        self._states = {
            key: entry for key, entry in self._states.items() if time - entry[1] <= self.max_gap
        }
        return replace(poses, keypoints=keypoints)


class Kalman(Smoother):
    """Smooths joints by their own variance, of models that estimate it.

    Args:
        acceleration: a, in person sizes a second squared; higher follows more closely.
        memory: tau, in seconds.
        speed: standard deviation of the velocity of a person who is new, person sizes a second.
        max_gap: seconds without the person after which it starts anew.

    Raises:
        UserError: settings that are not positive; in a call, persons without ``sigma_px``.
    """

    def __init__(
        self,
        acceleration: float = 8.0,
        memory: float = 0.5,
        speed: float = 1.0,
        max_gap: float = 0.5,
    ) -> None:
        if not all(value > 0 for value in (acceleration, memory, speed)):
            raise UserError(
                'smoothing: expected acceleration, memory and speed above 0, got '
                f'{acceleration}, {memory} and {speed}'
            )
        super().__init__(max_gap)
        self.acceleration, self.memory, self.speed = acceleration, memory, speed

    def start(self, value: np.ndarray, sigma: np.ndarray | None, size: float) -> State:
        """See :meth:`Smoother.start`."""
        if sigma is None:
            raise UserError('this smoothing needs sigma_px, of a model with RLE: OneEuro does not')
        none = np.zeros_like(value)
        covariance = np.stack([sigma**2, none, none, none + (self.speed * size) ** 2])
        return State(value, none, covariance.reshape(2, 2, *value.shape))

    def step(
        self, state: State, value: np.ndarray, sigma: np.ndarray | None, size: float, dt: float
    ) -> State:
        """See :meth:`Smoother.step`."""
        pushed = np.array([dt**2 / 2, dt]) * self.acceleration * size
        transition = np.array([[1.0, dt], [0.0, math.exp(-dt / self.memory)]])
        position = state.value + dt * state.velocity
        velocity = transition[1, 1] * state.velocity
        covariance = np.einsum('ij,jk...,lk->il...', transition, state.covariance, transition)
        covariance += np.outer(pushed, pushed)[..., None, None]
        gain = covariance[:, 0] / (covariance[0, 0] + sigma**2)
        error = value - position
        return State(
            position + gain[0] * error,
            velocity + gain[1] * error,
            covariance - gain[:, None] * covariance[None, 0],
        )


class OneEuro(Smoother):
    """Smooths joints by their speed, of models that estimate no variance.

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
        if not all(value > 0 for value in (min_cutoff, d_cutoff, moving)) or not beta >= 0:
            raise UserError(
                'smoothing: expected min_cutoff, d_cutoff and moving above 0 and beta of 0 or '
                f'more, got {min_cutoff}, {d_cutoff}, {moving} and {beta}'
            )
        super().__init__(max_gap)
        self.min_cutoff, self.beta = min_cutoff, beta
        self.d_cutoff, self.moving = d_cutoff, moving

    def step(
        self, state: State, value: np.ndarray, sigma: np.ndarray | None, size: float, dt: float
    ) -> State:
        """See :meth:`Smoother.step`."""
        change = (value - state.value) / dt - state.velocity
        velocity = state.velocity + smoothing_factor(self.d_cutoff, dt) * change
        speed = np.linalg.norm(velocity, axis=-1, keepdims=True) / size
        share = 1.0 / (1.0 + (self.moving / np.maximum(speed, 1e-9)) ** 2)
        expected = state.value + share * velocity * dt
        gain = smoothing_factor(self.min_cutoff + self.beta * speed, dt)
        return State(expected + gain * (value - expected), velocity)


def _either(which: np.ndarray, first: State, second: State) -> State:
    """Coordinates (K, 2) of the first state where it says so, else of the second."""
    return State(
        *(
            None if a is None else np.where(which, a, b)
            for a, b in zip(vars(first).values(), vars(second).values(), strict=True)
        )
    )


def build_smoother(predictor: Any) -> Smoother:
    """The filter for a predictor's joints: Kalman's where they have ``sigma_px``.

    Args:
        predictor: see :mod:`.predictors`.
    """
    known = predictor.has_sigma and predictor.meta.get('sigma_spread') is not None
    return Kalman() if known else OneEuro()
