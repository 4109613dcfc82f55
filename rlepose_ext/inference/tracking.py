"""Identities over frames: who is the same person as before. :mod:`.bytetrack` is another way.

:class:`Tracker` pairs each frame's persons with the known ones so that the sum of similarities is
largest (the assignment problem, solved by SciPy). Similarity is the IoU of the boxes or the object
keypoint similarity of the poses; the known person is first moved on by its last speed, so that two
who pass each other keep their numbers. Whom the poses do not pair, the boxes may: at the edge of
the image few joints are left, and a narrow box makes every error large. A person that is not found
stays known for some frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.oks import object_keypoint_similarity
from rlepose_ext.geometry.crops import AREA_OF_BOX
from rlepose_ext.inference.arguments import METHODS
from rlepose_ext.inference.boxes import overlaps
from rlepose_ext.inference.bytetrack import ByteTrack, detector_of
from rlepose_ext.inference.detectors import LOW_SHARE
from rlepose_ext.inference.types import PoseResult

# The speed of a person is averaged over about this many frames.
_MEMORY = 3.0


@dataclass
class _Track:
    identity: int
    box: np.ndarray
    keypoints: np.ndarray
    seen: np.ndarray
    speed: np.ndarray
    missed: int = 0


class Tracker:
    """Gives persons their identities, frame by frame.

    Args:
        method: ``'iou'``, or ``'oks'`` with IoU for those whom it does not pair.
        threshold: pairs that are less similar are different persons.
        max_missed: frames after which a person that is not found is forgotten.
        kpt_thr: joints with a lower score do not count for OKS.
    """

    def __init__(
        self,
        method: str = 'iou',
        threshold: float = 0.2,
        max_missed: int = 30,
        kpt_thr: float = 0.3,
    ) -> None:
        self.method, self.threshold = method, threshold
        self.max_missed, self.kpt_thr = max_missed, kpt_thr
        self._tracks: list[_Track] = []
        self._next = 0

    def __call__(self, poses: PoseResult) -> PoseResult:
        """The persons of the next frame, with ``track_id``."""
        ids = np.full(len(poses), -1, np.int64)
        found: set[int] = set()
        # Poses say little of a person whom the edge of the image cuts: the boxes decide then.
        for method in dict.fromkeys((self.method, 'iou')):
            similarity = self._similarity(poses, method)
            similarity[similarity < self.threshold] = 0
            similarity[list(found)] = 0
            similarity[:, ids >= 0] = 0
            rows, columns = linear_sum_assignment(-similarity)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                if similarity[row, column] > 0:
                    track = self._tracks[row]
                    _move(track, poses, column, self.kpt_thr)
                    ids[column] = track.identity
                    found.add(row)
        for index, track in enumerate(self._tracks):
            if index not in found:
                track.missed += 1
        self._tracks = [track for track in self._tracks if track.missed <= self.max_missed]
        for column in np.flatnonzero(ids < 0):
            ids[column] = self._next
            self._tracks.append(_start(self._next, poses, column, self.kpt_thr))
            self._next += 1
        return poses.with_track_id(ids)

    def _similarity(self, poses: PoseResult, method: str) -> np.ndarray:
        """(known persons, persons of this frame)."""
        if not self._tracks or not len(poses):
            return np.zeros((len(self._tracks), len(poses)))
        # Moved on by its speed, for as many frames as passed since it was seen.
        shifts = [track.speed * (track.missed + 1) for track in self._tracks]
        moved = list(zip(self._tracks, shifts, strict=True))
        if method == 'iou':
            boxes = np.stack([track.box + np.tile(shift, 2) for track, shift in moved])
            return overlaps(boxes, poses.boxes)
        return np.stack([self._oks(track, shift, poses) for track, shift in moved])

    def _oks(self, track: _Track, shift: np.ndarray, poses: PoseResult) -> np.ndarray:
        sizes = poses.boxes[:, 2:] - poses.boxes[:, :2]
        sigmas = poses.meta.get('sigmas')
        number = poses.keypoints.shape[1]
        similarity = object_keypoint_similarity(
            np.repeat((track.keypoints + shift)[None], len(poses), axis=0),
            poses.keypoints,
            (poses.scores >= self.kpt_thr) & track.seen,
            np.full(number, 0.08) if sigmas is None else np.asarray(sigmas),
            AREA_OF_BOX * sizes.prod(1),
        )
        # No joint in common says nothing.
        return np.nan_to_num(similarity)


def build_tracker(method: str, predictor: Any = None) -> Callable[[PoseResult], PoseResult]:
    """What gives the persons of a video their identities, called with frame after frame.

    Args:
        method: one of :data:`.arguments.METHODS`.
        predictor: whose thresholds ``'bytetrack'`` takes over.

    Raises:
        UserError: another method.
    """
    if method not in METHODS:
        raise UserError(f'tracking: expected one of {", ".join(METHODS)}, got {method!r}')
    if method != 'bytetrack':
        return Tracker(method)
    detector = detector_of(predictor)
    if detector is None:
        return ByteTrack()
    high = detector.bbox_thr
    return ByteTrack(high, high * LOW_SHARE, getattr(detector, 'nms_thr', 0.3))


def box_around(poses: PoseResult, kpt_thr: float, margin: float = 0.1) -> np.ndarray:
    """Boxes around the joints, as the next frame's boxes where no detector runs.

    Args:
        poses: of this frame.
        kpt_thr: joints with a lower score do not count, unless none is higher.
        margin: added on each side, as a share of the size of the joints' extent.

    Returns:
        (N, 4) image px.
    """
    boxes = poses.boxes.copy()
    for index, (points, scores) in enumerate(zip(poses.keypoints, poses.scores, strict=True)):
        seen = scores >= kpt_thr
        if seen.sum() < 2:
            continue
        low, high = points[seen].min(0), points[seen].max(0)
        room = np.maximum(margin * (high - low), 1.0)
        boxes[index] = np.concatenate([low - room, high + room])
    return boxes


def _start(identity: int, poses: PoseResult, index: int, kpt_thr: float) -> _Track:
    seen = poses.scores[index] >= kpt_thr
    return _Track(identity, poses.boxes[index], poses.keypoints[index], seen, np.zeros(2))


def _move(track: _Track, poses: PoseResult, index: int, kpt_thr: float) -> None:
    box = poses.boxes[index]
    step = (_center(box) - _center(track.box)) / (track.missed + 1)
    track.speed = track.speed + (step - track.speed) / _MEMORY
    track.box, track.keypoints = box, poses.keypoints[index]
    track.seen, track.missed = poses.scores[index] >= kpt_thr, 0


def _center(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2
