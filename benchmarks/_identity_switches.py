"""How often a tracker takes a person for another one.

Bernardin and Stiefelhagen, *Evaluating Multiple Object Tracking Performance: The CLEAR MOT
Metrics*, EURASIP Journal on Image and Video Processing 2008: a pair of a true and a found person
stays together as long as their boxes overlap enough; the others are paired so that the sum of
overlaps is largest. A switch is a pair of a true person with another identity than its last one,
however long ago that was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pycocotools.mask import iou
from scipy.optimize import linear_sum_assignment

People = tuple[np.ndarray, np.ndarray]


@dataclass
class Followed:
    """What became of one true person.

    Attributes:
        frames: in which the person is there.
        found: in how many of them somebody was found at its place.
        switches: of identity.
    """

    frames: int = 0
    found: int = 0
    switches: int = 0


def id_switches(
    truth: Iterable[People], found: Iterable[People], iou_thr: float = 0.5
) -> dict[int, Followed]:
    """Compare identities over the frames of a video.

    Args:
        truth: of each frame the true identities (N,) and boxes (N, 4) x, y, width, height.
        found: the same of the tracker.
        iou_thr: lowest IoU of a pair.

    Returns:
        True identity to what became of it.

    Raises:
        ValueError: not the same number of frames.
    """
    people: dict[int, Followed] = {}
    last: dict[int, int] = {}
    together: dict[int, int] = {}
    for (true_ids, true_boxes), (ids, boxes) in zip(truth, found, strict=True):
        true_ids, ids = np.asarray(true_ids).tolist(), np.asarray(ids).tolist()
        for person in true_ids:
            people.setdefault(person, Followed()).frames += 1
        together = _pairs(true_ids, ids, _overlaps(true_boxes, boxes), iou_thr, together)
        for person, identity in together.items():
            people[person].found += 1
            people[person].switches += last.get(person, identity) != identity
        last.update(together)
    return people


def _pairs(
    true_ids: list[int],
    ids: list[int],
    overlaps: np.ndarray,
    iou_thr: float,
    before: dict[int, int],
) -> dict[int, int]:
    """True to found identity in one frame."""
    values = np.where(overlaps >= iou_thr, overlaps, 0.0)
    for row, person in enumerate(true_ids):
        if before.get(person) in ids:
            # More than all the others together.
            values[row, ids.index(before[person])] *= 1 + len(true_ids) / iou_thr
    pairs = zip(*linear_sum_assignment(-values), strict=True)
    return {true_ids[row]: ids[column] for row, column in pairs if values[row, column] > 0}


def _overlaps(true_boxes: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N, M) IoU."""
    if not len(true_boxes) or not len(boxes):
        return np.zeros((len(true_boxes), len(boxes)))
    first, second = (np.asarray(part, np.float64) for part in (true_boxes, boxes))
    return np.asarray(iou(first, second, [0] * len(second)))
