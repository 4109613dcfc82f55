"""Statistics of each joint over the persons of a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A labelled joint this far over the border of its image still counts as inside, px.
BORDER = 1.0


@dataclass(frozen=True)
class JointStatistics:
    """One joint, over all persons with a labelled joint.

    Attributes:
        name: of the joint.
        labelled: share of persons for whom it is labelled.
        visible: share of the labelled ones with v = 2.
        outside: share of the labelled ones that lie out of the image.
        x, y: mean position in the person's box, 0 to 1 from its upper left corner; None if it
            is never labelled, or too far off to be summed.
        sd_x, sd_y: their standard deviations, or None.
    """

    name: str
    labelled: float
    visible: float
    outside: float
    x: float | None
    y: float | None
    sd_x: float | None
    sd_y: float | None


def joint_statistics(
    keypoints: np.ndarray, labelled: np.ndarray, boxes: np.ndarray, outside: np.ndarray, names
) -> list[JointStatistics]:
    """Shares and mean positions.

    Args:
        keypoints: (N, K, 3) x, y in image px, v.
        labelled: (N, K).
        boxes: (N, 4) x, y, width, height in image px.
        outside: (N, K), from :func:`out_of_image`.
        names: K names.
    """
    persons = labelled.any(axis=1)
    number = max(1, int(persons.sum()))
    usable = np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    result = []
    for k, name in enumerate(names):
        here = labelled[:, k]
        count = int(here.sum())
        known = here & usable
        with np.errstate(over='ignore', invalid='ignore'):
            place = (keypoints[known, k, :2] - boxes[known, :2]) / boxes[known, 2:]
            mean = place.mean(axis=0) if len(place) else [np.nan, np.nan]
            spread = place.std(axis=0) if len(place) else [np.nan, np.nan]
        result.append(
            JointStatistics(
                name=str(name),
                labelled=count / number,
                visible=float((keypoints[here, k, 2] == 2).sum() / max(1, count)),
                outside=float((outside[:, k] & here).sum() / max(1, count)),
                x=_float(mean[0]),
                y=_float(mean[1]),
                sd_x=_float(spread[0]),
                sd_y=_float(spread[1]),
            )
        )
    return result


def _float(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def out_of_image(keypoints: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(N, K) whether a point lies more than :data:`BORDER` px out of its image.

    Args:
        keypoints: (N, K, 3) in image px.
        sizes: (N, 2) width and height of each person's image in px; nan if unknown, which
            counts as inside.
    """
    xy = keypoints[..., :2]
    low = (xy < -BORDER).any(axis=-1) & np.isfinite(sizes).all(axis=-1)[:, None]
    with np.errstate(invalid='ignore'):
        high = (xy > sizes[:, None] - 1 + BORDER).any(axis=-1)
    return low | high
