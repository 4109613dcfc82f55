"""Identities by motion, boxes of low score and clothes.

Zhang et al., *ByteTrack: Multi-Object Tracking by Associating Every Detection Box*, ECCV 2022.
Boxes of high score are paired with the persons who are known, those seen last and those lost, where
each is expected to be. Who has no box then may have one of low score: somebody half hidden scores
low, and without a person who is expected there such boxes are mostly wrong, so the others are
dropped.

Three things are added for people who hide one another. Boxes that overlap reach the tracker, which
knows that two persons are there; a box that it follows nobody with is a new person only if it
overlaps those who are followed so little that non-maximum suppression would have kept it. The
colours of the clothes count in so far as the box is not covered by others. And a lost person is
found again by them a little away from where it was expected.

Motion is a Kalman filter over centre, width and height with constant velocity. All four have the
same noise, in shares of the height h as in SORT's successors, so they share a 2x2 covariance P of
position and velocity:

    predict:  x <- F x,  P <- F P F' + diag((h / 20)^2, (h / 160)^2),  F = [[1, 1], [0, 1]]
    correct:  K = P[:, 0] / (P[0, 0] + (h / 20)^2),  x <- x + K (z - x[0]),  P <- P - K P[0]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from rlepose_ext.inference.appearance import SHAPE, alikeness, appearance, clothes, learn
from rlepose_ext.inference.detectors import LOW_SHARE
from rlepose_ext.inference.types import PoseResult

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


@dataclass
class _Track:
    identity: int
    motion: Motion
    colours: np.ndarray | None
    missed: int = 0
    box: np.ndarray = field(default_factory=lambda: np.zeros(4))


class ByteTrack:
    """Gives persons their identities, frame by frame.

    Args:
        high: score of a box that counts in the first pass and may be a new person; the detector's
            ``bbox_thr``.
        low: lowest score of a box that may be a known person.
        nms_thr: a new person overlaps those who are followed by at most this IoU.
        max_missed: frames after which a person that is not found is forgotten.
        colours: weight of the clothes beside the IoU; 0 leaves them out.
    """

    def __init__(
        self,
        high: float = 0.3,
        low: float = 0.1,
        nms_thr: float = 0.3,
        max_missed: int = 30,
        colours: float = 1.0,
    ) -> None:
        self.high, self.low, self.nms_thr = high, low, nms_thr
        self.max_missed, self.colours = max_missed, colours
        self._tracks: list[_Track] = []
        self._next = 0

    def __call__(self, poses: PoseResult) -> PoseResult:
        """The persons of the next frame who are followed, with ``track_id``."""
        for track in self._tracks:
            track.motion.predict(track.missed == 0)
            track.box = track.motion.box
        scene = _Scene(self._tracks, poses, self.colours)
        high, low = poses.box_scores >= self.high, poses.box_scores >= self.low
        fits = scene.similarity(IOU_HIGH)
        lost = np.array([track.missed > 0 for track in self._tracks], bool)
        scene.pair(fits, boxes=high)
        scene.pair(scene.similarity(IOU_LOW), tracks=~lost, boxes=low)
        scene.pair(scene.reunion(), boxes=high)
        for index, track in enumerate(self._tracks):
            box = scene.box_of.get(index)
            if box is None:
                track.missed += 1
                continue
            track.motion.correct(poses.boxes[box])
            track.missed = 0
            if track.colours is not None and scene.is_clear(index, box):
                track.colours = learn(track.colours, scene.colours[box], RATE)
        ids = np.full(len(poses), -1, np.int64)
        for index, box in scene.box_of.items():
            ids[box] = self._tracks[index].identity
        for box in scene.newcomers(high, self.nms_thr):
            colours = None if scene.colours is None else scene.colours[box]
            self._tracks.append(_Track(self._next, Motion.start(poses.boxes[box]), colours))
            ids[box] = self._next
            self._next += 1
        self._tracks = [track for track in self._tracks if track.missed <= self.max_missed]
        return poses[ids >= 0].with_track_id(ids[ids >= 0])


def detector_of(predictor: Any) -> Any:
    """What has the thresholds ``bbox_thr`` and perhaps ``nms_thr``; ``None`` if nothing has."""
    for each in (predictor, getattr(predictor, 'detector', None)):
        if hasattr(each, 'bbox_thr'):
            return each
    return None


@contextmanager
def all_boxes(predictor: Any, overlap: float | None) -> Iterator[None]:
    """Within, the predictor also finds what only the tracker can judge.

    Args:
        predictor: see :mod:`.predictors`.
        overlap: largest IoU of two boxes; ``None`` leaves it as it is.
    """
    detector = detector_of(predictor)
    if detector is None:
        yield
        return
    before = {name: getattr(detector, name, None) for name in ('bbox_thr', 'nms_thr')}
    detector.bbox_thr = before['bbox_thr'] * LOW_SHARE
    if overlap is not None and before['nms_thr'] is not None:
        detector.nms_thr = max(before['nms_thr'], overlap)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                setattr(detector, name, value)


# Lowest IoU of a pair in each pass.
IOU_HIGH, IOU_LOW = 0.1, 0.3
# Clothes that are as similar as these speak neither for nor against a pair; below OTHERS, and with
# most of the person to be seen, it is somebody else; above SAME it is the same.
NEUTRAL, OTHERS, SAME = 0.5, 0.4, 0.6
# A lost person's box grows by this share in 10 frames, and then no more.
GROWTH = 0.3
# How far a lost person may be from where it is expected, in heights: for each frame, and at most.
REACH, FARTHEST = 0.1, 1.5
# Share of a box that others may cover: to learn its clothes, and to begin a new person.
CLEAR, COVERED = 0.3, 0.5
# Share of the new clothes in those that are remembered.
RATE = 0.1


class _Scene:
    """Known persons and boxes of one frame, and who is paired with which."""

    def __init__(self, tracks: list[_Track], poses: PoseResult, weight: float) -> None:
        self.tracks, self.boxes, self.scores = tracks, poses.boxes, poses.box_scores
        self.box_of: dict[int, int] = {}
        self.expected = np.array([track.box for track in tracks]).reshape(-1, 4)
        growth = np.array([min(track.missed, 10) / 10 * GROWTH for track in tracks])
        larger = _grown(self.expected, growth)
        self.iou = np.maximum(_overlap(self.expected, self.boxes), _overlap(larger, self.boxes))
        # How much of the clothes others cover.
        covered = _overlap(clothes(self.boxes), self.boxes, of_first=True)
        np.fill_diagonal(covered, 0)
        self.covered = covered.max(1, initial=0)
        self.weight, self.colours, self.alike = weight, None, None
        if weight and poses.image is not None:
            self.colours = appearance(poses.image, self.boxes)
            known = np.zeros((len(tracks), *SHAPE), np.float32)
            for row, track in enumerate(tracks):
                known[row] = 0 if track.colours is None else track.colours
            self.alike = alikeness(known, self.colours, NEUTRAL)

    def similarity(self, least: float) -> np.ndarray:
        """(tracks, boxes), 0 for those who are no pair."""
        fits = self.iou.copy()
        if self.alike is not None:
            seen = 1 - self.covered
            fits += self.weight * seen * (self.alike - NEUTRAL)
            fits[(self.alike < OTHERS) & (seen > 0.6)] = 0
        return np.where(self.iou >= least, np.maximum(fits, 0), 0)

    def reunion(self) -> np.ndarray:
        """(tracks, boxes) by clothes alone, of boxes not too far away."""
        if self.alike is None or not len(self.tracks) or not len(self.boxes):
            return np.zeros(self.iou.shape)
        heights = self.expected[:, 3] - self.expected[:, 1]
        steps = _centers(self.expected)[:, None] - _centers(self.boxes)[None]
        distance = np.linalg.norm(steps, axis=-1) / heights[:, None]
        reach = np.array([REACH * (track.missed + 1) for track in self.tracks])
        near = distance < np.minimum(reach, FARTHEST)[:, None]
        return np.where(near & (self.alike > SAME), self.alike, 0)

    def pair(
        self,
        similarity: np.ndarray,
        boxes: np.ndarray,
        tracks: np.ndarray | None = None,
    ) -> None:
        """Pair those who are free so that the sum of similarities is largest.

        Args:
            similarity: (tracks, boxes).
            boxes: mask of those that take part.
            tracks: likewise; by default all.
        """
        free = similarity.copy()
        free[:, ~boxes] = 0
        if tracks is not None:
            free[~tracks] = 0
        free[list(self.box_of)] = 0
        free[:, list(self.box_of.values())] = 0
        rows, columns = linear_sum_assignment(-free)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if free[row, column] > 0:
                self.box_of[row] = column

    def is_clear(self, track: int, box: int) -> bool:
        """Whether nobody else, found or expected, covers much of a box."""
        others = [i for i, each in enumerate(self.tracks) if i != track and each.missed < 10]
        hidden = _overlap(clothes(self.boxes[box][None]), self.expected[others], of_first=True)
        return max(hidden.max(initial=0), self.covered[box]) < CLEAR

    def newcomers(self, boxes: np.ndarray, nms_thr: float) -> list[int]:
        """Boxes of new persons, the best first."""
        kept, new = list(self.box_of.values()), []
        for box in np.argsort(-self.scores, kind='stable').tolist():
            if not boxes[box] or box in kept:
                continue
            this, others = self.boxes[box][None], self.boxes[kept]
            covered = _overlap(this, others, of_first=True).max(initial=0)
            if _overlap(this, others).max(initial=0) <= nms_thr and covered <= COVERED:
                kept.append(box)
                new.append(box)
        return new


def _overlap(first: np.ndarray, second: np.ndarray, of_first: bool = False) -> np.ndarray:
    """(N, M) IoU, or the share of each first box that lies in a second; without torch."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    areas = [(each[:, 2:] - each[:, :2]).prod(-1) for each in (first, second)]
    whole = areas[0][:, None] + (0 if of_first else areas[1][None] - common)
    return common / np.maximum(whole, 1e-9)


def _grown(boxes: np.ndarray, share: np.ndarray) -> np.ndarray:
    center, half = _centers(boxes), (boxes[:, 2:] - boxes[:, :2]) / 2 * (1 + share[:, None])
    return np.concatenate([center - half, center + half], axis=1)


def _centers(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _measured(box: np.ndarray) -> np.ndarray:
    box = np.asarray(box, float)
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
