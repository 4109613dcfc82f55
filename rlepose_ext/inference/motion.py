"""Where a person's box goes: a Kalman filter with constant velocity.

Of the centre, the width and the height. All four have the same noise, in shares of the height h as
in the successors of SORT (Bewley et al., ICIP 2016), so they share a 2x2 covariance P of position
and velocity:

    predict:  x <- F x,  P <- F P F' + diag((h / 20)^2, (h / 160)^2),  F = [[1, 1], [0, 1]]
    correct:  K = P[:, 0] / (P[0, 0] + (h / 20)^2),  x <- x + K (z - x[0]),  P <- P - K P[0]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_POSITION, _VELOCITY = 1 / 20, 1 / 160
_STEP = np.array([[1.0, 1.0], [0.0, 1.0]])


@dataclass
class Motion:
    """Where a box is and goes.

    Attributes:
        state: (2, 4) centre x, y, width, height in image px, and their change in a frame.
        covariance: (2, 2), of each of the four.
    """

    state: np.ndarray
    covariance: np.ndarray

    @classmethod
    def start(cls, box: np.ndarray) -> Motion:
        """A box x1, y1, x2, y2 that may move anywhere."""
        state = np.stack([_measured(box), np.zeros(4)])
        height = state[0, 3]
        return cls(state, np.diag([(2 * _POSITION * height) ** 2, (10 * _VELOCITY * height) ** 2]))

    def predict(self, seen: bool) -> None:
        """Go on by a frame; who is not ``seen`` keeps its size."""
        if not seen:
            self.state[1, 2:] = 0
        height = self.state[0, 3]
        noise = np.diag([(_POSITION * height) ** 2, (_VELOCITY * height) ** 2])
        self.state = _STEP @ self.state
        self.covariance = _STEP @ self.covariance @ _STEP.T + noise

    def correct(self, box: np.ndarray) -> None:
        """Take a box x1, y1, x2, y2 that was found."""
        noise = (_POSITION * self.state[0, 3]) ** 2
        gain = self.covariance[:, :1] / (self.covariance[0, 0] + noise)
        self.state = self.state + gain * (_measured(box) - self.state[0])
        self.covariance = self.covariance - gain * self.covariance[:1]

    @property
    def box(self) -> np.ndarray:
        """(4,) x1, y1, x2, y2."""
        center, half = self.state[0, :2], np.maximum(self.state[0, 2:], 1e-3) / 2
        return np.concatenate([center - half, center + half])


def _measured(box: np.ndarray) -> np.ndarray:
    box = np.asarray(box, float)
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
