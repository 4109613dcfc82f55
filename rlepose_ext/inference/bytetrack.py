"""Identities by motion, boxes of low score and clothes.

Zhang et al., *ByteTrack: Multi-Object Tracking by Associating Every Detection Box*, ECCV 2022.
Boxes of high score are paired with the persons who are known, those seen last and those lost, where
each is expected to be. Who has no box then may have one of low score: somebody half hidden scores
low, and without a person who is expected there such boxes are mostly wrong, so the others are
dropped.

Persons who hide one another need more. Boxes that overlap reach the tracker, which knows that two
persons are there. What their clothes look like counts beside motion, in so far as no other known
person is expected in front of them, and is learnt while nobody is. By their clothes, a lost person
is found again a little away from where it was expected or last seen; a box is not given to somebody
if it looks more like another who is expected there; and a second box of a person is not another
person. A box that nobody has begins a new person only if non-maximum suppression would have kept it
beside those who are followed.
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


@dataclass
class _Track:
    """A person who is known.

    Attributes:
        identity: its number.
        motion: of its box.
        look: of its clothes, see :func:`appearance`.
        clear: number of frames from which the look was learnt; 0 if it was partly hidden.
        box: where it is expected, (4,).
        seen: where it was last found, (4,).
        missed: frames since then.
    """

    identity: int
    motion: Motion
    look: np.ndarray
    clear: int
    box: np.ndarray
    seen: np.ndarray
    missed: int = 0


class ByteTrack:
    """Gives persons their identities, frame by frame.

    Args:
        high: score of a box that counts in the first pass and may be a new person; the detector's
            ``bbox_thr``.
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
        self._tracks: list[_Track] = []
        self._next = 0

    def __call__(self, poses: PoseResult) -> PoseResult:
        """The persons of the next frame who are followed, with ``track_id``."""
        for track in self._tracks:
            track.motion.predict(track.missed == 0)
            track.box = track.motion.box
        scene = _Scene(self._tracks, poses, self.clothes)
        high, low = poses.box_scores >= self.high, poses.box_scores >= self.low
        seen = np.array([track.missed == 0 for track in self._tracks], bool)
        scene.pair(scene.similarity(IOU_HIGH), boxes=high)
        scene.pair(scene.similarity(IOU_LOW), tracks=seen, boxes=low)
        scene.pair(scene.reunion(), boxes=high)
        scene.drop_doubles()
        for index, track in enumerate(self._tracks):
            box = scene.box_of.get(index)
            if box is None:
                track.missed += 1
                continue
            track.motion.correct(scene.boxes[box])
            track.missed, track.seen = 0, scene.boxes[box]
            if high[box] and scene.is_clear(box, index):
                track.clear += 1
                track.look = learn(track.look, scene.looks[box], max(RATE, 1 / track.clear))
        ids = np.full(len(poses), -1, np.int64)
        for index, box in scene.box_of.items():
            ids[box] = self._tracks[index].identity
        for box in scene.newcomers(high, self.nms_thr):
            corners = scene.boxes[box]
            person = (Motion.start(corners), scene.looks[box], int(scene.is_clear(box)))
            self._tracks.append(_Track(self._next, *person, corners, corners))
            ids[box] = self._next
            self._next += 1
        self._tracks = [
            track
            for index, track in enumerate(self._tracks)
            if track.missed <= self.max_missed and index not in scene.doubles
        ]
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
# Alikeness of clothes. NEUTRAL speaks neither for nor against a pair. Below OTHER, it is somebody
# else if most of the clothes can be seen; above SAME it is the same person.
OTHER, NEUTRAL, SAME = 0.45, 0.6, 0.6
# How much of the clothes may be hidden for that; to learn them; and what hidden ones still count.
MOST, CLEAR, HIDDEN = 0.4, 0.3, 0.2
# Whose clothes are more alike by this, and whose IoU is at least this share, has a better claim.
BETTER, CLOSER = 0.1, 0.8
# Two tracks of one person: IoU of their boxes, alikeness of their clothes, and how long one of
# them must have been known to be a person of its own.
DOUBLE, TWIN, YOUNG = 0.3, 0.75, 10
# A lost person's box grows by this share in 10 frames, and then no more; for so long it may also
# hide others.
GROWTH, RECENT = 0.3, 10
# How far a lost person may be from where it is expected or was last seen, in heights: for each
# frame, and at most.
REACH, FARTHEST = 0.1, 1.5
# Share of a new person's box that those who are followed may cover.
COVERED = 0.5
# Share of the new clothes in those that are remembered, at least.
RATE = 0.1


class _Scene:
    """Known persons and boxes of one frame, and who is paired with which.

    Attributes:
        boxes: (N, 4) image px.
        looks: (N, ...) of the clothes; 0 without an image.
        iou: (tracks, N) with where each person is expected.
        alike: (tracks, N) of the clothes; neutral where they are unknown.
        hidden: (tracks, N) share of the clothes in a box that other known persons may hide.
        box_of: index of a track to that of its box.
        doubles: indices of tracks that follow somebody whom an older one follows.
    """

    def __init__(self, tracks: list[_Track], poses: PoseResult, weight: float) -> None:
        self.tracks, self.scores, self.weight = tracks, poses.box_scores, weight
        self.boxes = np.asarray(poses.boxes, float)
        self.box_of: dict[int, int] = {}
        self.doubles: set[int] = set()
        count = len(tracks)
        self.expected = np.array([track.box for track in tracks]).reshape(-1, 4)
        missed = np.array([track.missed for track in tracks], int)
        larger = _grown(self.expected, np.minimum(missed / 10, 1) * GROWTH)
        self.iou = np.maximum(overlaps(self.expected, self.boxes), overlaps(larger, self.boxes))
        self.recent = missed < RECENT
        hide = overlaps(clothes(self.boxes), self.expected, mode='iof').T
        hide[~self.recent] = 0
        self.hidden = np.zeros_like(self.iou)
        for index in range(count):
            self.hidden[index] = np.delete(hide, index, axis=0).max(0, initial=0)
        self.looks = np.zeros((len(self.boxes), *SHAPE), np.float32)
        if weight and poses.image is not None:
            self.looks = appearance(poses.image, self.boxes)
        known = np.array([track.look for track in tracks], np.float32).reshape(-1, *SHAPE)
        self.clear = np.array([track.clear > 0 for track in tracks], bool)
        self.alike = alikeness(known, self.looks, NEUTRAL)
        self.alike[~self.clear] = NEUTRAL

    def similarity(self, least: float) -> np.ndarray:
        """(tracks, boxes) by motion and clothes; 0 for those who are no pair.

        Args:
            least: IoU of a pair.
        """
        counts = 1 - (1 - HIDDEN) * self.hidden
        fits = self.iou + self.weight * counts * (self.alike - NEUTRAL)
        fits[(self.alike < OTHER) & (self.hidden < MOST)] = 0
        rivals = self.clear & self.recent
        for index in np.flatnonzero(self.clear):
            rival = rivals & (np.arange(len(self.tracks)) != index)
            claim = self.alike[rival] * (self.iou[rival] >= CLOSER * self.iou[index])
            best = claim.max(0, initial=0)
            fits[index, (best > SAME) & (best > self.alike[index] + BETTER)] = 0
        return np.where(self.iou >= least, np.maximum(fits, 0), 0)

    def reunion(self) -> np.ndarray:
        """(tracks, boxes) by clothes alone, of boxes not too far away."""
        heights = (self.expected[:, 3] - self.expected[:, 1])[:, None]
        seen = np.array([track.seen for track in self.tracks]).reshape(-1, 4)
        way = np.minimum(_distance(self.expected, self.boxes), _distance(seen, self.boxes))
        frames = np.array([track.missed + 1 for track in self.tracks])[:, None]
        near = way < np.minimum(REACH * frames, FARTHEST) * heights
        return np.where(near & (self.alike > SAME) & self.clear[:, None], self.alike, 0)

    def pair(
        self, similarity: np.ndarray, boxes: np.ndarray, tracks: np.ndarray | None = None
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

    def drop_doubles(self) -> None:
        """Forget young tracks of persons whom an older one follows."""
        for index, box in list(self.box_of.items()):
            track = self.tracks[index]
            for other, its in list(self.box_of.items()):
                known = self.tracks[other]
                if other == index or track.clear >= min(YOUNG, known.clear):
                    continue
                overlap = overlaps(self.boxes[box][None], self.boxes[its][None]).item()
                # One that never was to be seen alone has no look of its own.
                look = track.look if track.clear else self.looks[box]
                if (
                    overlap > DOUBLE
                    and alikeness(look[None], known.look[None], NEUTRAL).item() > TWIN
                ):
                    self.doubles.add(index)
                    del self.box_of[index]
                    break

    def is_clear(self, box: int, track: int | None = None) -> bool:
        """Whether nobody else, found or expected, hides much of the clothes in a box."""
        others = [
            self.boxes[self.box_of[index]] if index in self.box_of else self.expected[index]
            for index in range(len(self.expected))
            if index != track
            and index not in self.doubles
            and (index in self.box_of or self.recent[index])
        ]
        hide = overlaps(clothes(self.boxes[box][None]), np.array(others).reshape(-1, 4), mode='iof')
        return hide.max(initial=0) < CLEAR

    def newcomers(self, boxes: np.ndarray, nms_thr: float) -> list[int]:
        """Boxes of new persons, the best first."""
        kept, new = list(self.box_of.values()), []
        for box in np.argsort(-self.scores, kind='stable').tolist():
            if not boxes[box] or box in kept:
                continue
            this, others = self.boxes[box][None], self.boxes[kept]
            if overlaps(this, others).max(initial=0) > nms_thr:
                continue
            if overlaps(this, others, mode='iof').max(initial=0) > COVERED:
                continue
            kept.append(box)
            new.append(box)
        return new


def _grown(boxes: np.ndarray, share: np.ndarray) -> np.ndarray:
    center, half = _centers(boxes), (boxes[:, 2:] - boxes[:, :2]) / 2 * (1 + share[:, None])
    return np.concatenate([center - half, center + half], axis=1)


def _centers(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.linalg.norm(_centers(first)[:, None] - _centers(second)[None], axis=-1)
