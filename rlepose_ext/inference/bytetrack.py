"""Identities by motion, boxes of low score and clothes.

Zhang et al., *ByteTrack: Multi-Object Tracking by Associating Every Detection Box*, ECCV 2022.
Boxes of high score are paired with the persons who are known, those seen last and those lost, where
a Kalman filter expects each. Who was seen last and has no box then may have one of low score:
somebody half hidden scores low, and without a person who is expected there such boxes are mostly
wrong, so the others are dropped. A box that nobody has begins a new person if it scores higher
still and is no second box of somebody who is followed.

Two additions, for persons who hide one another. Boxes that overlap reach the tracker, which knows
that two persons are there. And a pair is similar by what the clothes look like as well as by IoU,
as in DeepSORT (Wojke, Bewley, Paulus, ICIP 2017), whose appearance is that of a network:

    similarity = IoU + clothes (alikeness - NEUTRAL)

How a person looks is averaged over the frames in which nobody is in front of it (an exponential
average, as in JDE: Wang et al., *Towards Real-Time Multi-Object Tracking*, ECCV 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from rlepose_ext.inference.appearance import SHAPE, alikeness, appearance, clothes, learn
from rlepose_ext.inference.boxes import overlaps
from rlepose_ext.inference.detectors import LOW_SHARE
from rlepose_ext.inference.motion import Motion
from rlepose_ext.inference.types import PoseResult

# Lowest IoU of a pair in each pass.
IOU_HIGH, IOU_LOW = 0.1, 0.3
# Alikeness of clothes that speaks neither for nor against a pair.
NEUTRAL = 0.6
# A new person scores more than the others by this, and those who are followed cover at most this
# share of its box.
MORE, COVERED = 0.1, 0.5
# A look is learnt if nobody hides more than this share of the clothes; who is missing for so many
# frames may hide nobody.
CLEAR, RECENT = 0.3, 10
# Share of the new clothes in those that are remembered, at least.
RATE = 0.1


@dataclass
class _Track:
    """A person who is known.

    Attributes:
        identity: its number.
        motion: of its box.
        look: of its clothes, see :func:`appearance`.
        clear: number of frames from which the look was learnt; 0 if it was partly hidden.
        missed: frames since it was last found.
    """

    identity: int
    motion: Motion
    look: np.ndarray
    clear: int
    missed: int = 0


class ByteTrack:
    """Gives persons their identities, frame by frame.

    Args:
        high: score of a box that counts in the first pass; the detector's ``bbox_thr``.
        low: lowest score of a box that may be a known person.
        nms_thr: a new person overlaps those who are followed by at most this IoU.
        max_missed: frames after which a person that is not found is forgotten.
        clothes: weight of the clothes beside the IoU; 0 leaves them out.
    """

    def __init__(
        self,
        high: float = 0.3,
        low: float = 0.1,
        nms_thr: float = 0.3,
        max_missed: int = 30,
        clothes: float = 1.0,
    ) -> None:
        self.high, self.low, self.nms_thr = high, low, nms_thr
        self.max_missed, self.clothes = max_missed, clothes
        # Below 1, so that somebody can be new whatever the threshold is.
        self.new = min(high + MORE, (1 + high) / 2)
        self._tracks: list[_Track] = []
        self._next = 0

    def __call__(self, poses: PoseResult) -> PoseResult:
        """The persons of the next frame who are followed, with ``track_id``."""
        for track in self._tracks:
            track.motion.predict(track.missed == 0)
        boxes, scores = np.asarray(poses.boxes, float), poses.box_scores
        expected = np.array([track.motion.box for track in self._tracks]).reshape(-1, 4)
        seen = np.array([track.missed == 0 for track in self._tracks], bool)
        looks = np.zeros((len(boxes), *SHAPE), np.float32)
        if self.clothes and poses.image is not None:
            looks = appearance(poses.image, boxes)
        iou = overlaps(expected, boxes)
        similarity = iou + self.clothes * (self._alike(looks) - NEUTRAL)
        pairs: dict[int, int] = {}
        _pair(similarity * (iou >= IOU_HIGH) * (scores >= self.high), pairs)
        _pair(similarity * (iou >= IOU_LOW) * (scores >= self.low) * seen[:, None], pairs)

        ids = np.full(len(boxes), -1, np.int64)
        places = expected.copy()
        places[list(pairs)] = boxes[list(pairs.values())]
        there = np.array([track.missed < RECENT for track in self._tracks], bool)
        for index, track in enumerate(self._tracks):
            if index not in pairs:
                track.missed += 1
                continue
            box = pairs[index]
            ids[box], track.missed = track.identity, 0
            track.motion.correct(boxes[box])
            others = there & (np.arange(len(there)) != index)
            if scores[box] >= self.high and _is_clear(boxes[box], places[others]):
                track.clear += 1
                track.look = learn(track.look, looks[box], max(RATE, 1 / track.clear))
        for box in np.argsort(-scores, kind='stable').tolist():
            if ids[box] < 0 and scores[box] >= self.new and self._is_new(boxes, box, ids):
                clear = int(_is_clear(boxes[box], places[there]))
                self._tracks.append(_Track(self._next, Motion.start(boxes[box]), looks[box], clear))
                ids[box] = self._next
                self._next += 1
        self._tracks = [track for track in self._tracks if track.missed <= self.max_missed]
        return poses[ids >= 0].with_track_id(ids[ids >= 0])

    def _alike(self, looks: np.ndarray) -> np.ndarray:
        """(tracks, boxes) alikeness of clothes; neutral where a person's own are unknown."""
        known = np.array([track.look for track in self._tracks], np.float32).reshape(-1, *SHAPE)
        alike = alikeness(known, looks, NEUTRAL)
        alike[[track.clear == 0 for track in self._tracks]] = NEUTRAL
        return alike

    def _is_new(self, boxes: np.ndarray, box: int, ids: np.ndarray) -> bool:
        """Whether a box is not just another one of somebody who is followed."""
        this, followed = boxes[box][None], boxes[ids >= 0]
        overlap = overlaps(this, followed).max(initial=0)
        return overlap <= self.nms_thr and overlaps(this, followed, 'iof').max(initial=0) <= COVERED


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


def _pair(similarity: np.ndarray, pairs: dict[int, int]) -> None:
    """Pair those who are free so that the sum of similarities is largest.

    Args:
        similarity: (tracks, boxes); those at 0 or less are no pairs.
        pairs: index of a track to that of its box; is added to.
    """
    free = np.maximum(similarity, 0)
    free[list(pairs)] = 0
    free[:, list(pairs.values())] = 0
    for row, column in zip(*(axis.tolist() for axis in linear_sum_assignment(-free)), strict=True):
        if free[row, column] > 0:
            pairs[row] = column


def _is_clear(box: np.ndarray, others: np.ndarray) -> bool:
    """Whether boxes of others, (N, 4), leave most of the clothes in a box to be seen."""
    return overlaps(clothes(box[None]), others, 'iof').max(initial=0) < CLEAR
