"""Draw the figure of docs/posefix.md: the five kinds of errors on drawn people.

    python tools/draw_pose_errors.py [docs/images/posefix_errors.jpg]

Green is where a joint is, red where the error has put it. Some joints of
one of two persons have the error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
import cv2
import numpy as np
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one
from rlepose_ext.datasets.transforms.synthesize_pose_errors import KINDS, Candidates, draw

ROOT = Path(__file__).resolve().parents[1]
DRAWING = SyntheticPeopleConfig(
    width=(288, 288), height=(288, 288), persons=(0.0, 1.0), occlusion=0.0, truncation=0.0
)
SCALE, GREEN, RED, WHITE = 2, (80, 200, 60), (50, 50, 240), (255, 255, 255)
SHOWN = ('left_elbow', 'left_wrist', 'right_elbow', 'right_wrist', 'left_knee', 'right_ankle')


def main() -> None:
    """Write the figure."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / 'docs/images/posefix_errors.jpg'
    meta = parse_pose_metainfo({'from_file': 'configs/_base_/datasets/coco.py'})
    image, persons = next(
        found
        for found in (draw_one(0, 'train', index, DRAWING) for index in range(1000))
        if len(found[1]) == 2 and beside(found[1])
    )
    joints = np.array([p['keypoints'] for p in persons], float).reshape(2, 17, 3)[..., :2]
    area = float(np.prod(persons[0]['bbox'][2:]))
    rng = np.random.default_rng(0)
    panels = []
    for kind in KINDS:
        panel = cv2.resize(image, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
        panel = cv2.addWeighted(panel, 0.55, np.full_like(panel, 255), 0.45, 0)
        for first, second in meta['skeleton_links']:
            line(panel, joints[0, first], joints[0, second], GREEN)
        for k in [meta['keypoint_name2id'][name] for name in SHOWN]:
            pair = meta['flip_indices'][k]
            rows = Candidates(joints[0, k], joints[1:, k], joints[:1, pair], joints[1:, pair])
            point = draw(kind, rows, area, meta['sigmas'][k], rng)
            if point is not None:
                line(panel, joints[0, k], point, RED)
                dot(panel, joints[0, k], GREEN)
                dot(panel, point, RED)
        panels.append(titled(crop(panel, persons), kind))
    cv2.imwrite(str(out), np.hstack(panels), [cv2.IMWRITE_JPEG_QUALITY, 75])
    print(f'{out}: {out.stat().st_size:,} bytes')


def beside(persons: list[dict]) -> bool:
    """Whether both are whole and near each other, without hiding each other."""
    (x1, _, w1, h1), (x2, _, w2, h2) = (person['bbox'] for person in persons)
    gap = max(x1, x2) - min(x1 + w1, x2 + w2)
    return all(p['num_keypoints'] == 17 for p in persons) and 0 < gap < 30 and min(h1, h2) > 120


def crop(panel: np.ndarray, persons: list[dict]) -> np.ndarray:
    """The part with both persons."""
    boxes = np.array([person['bbox'] for person in persons])
    low = np.maximum((boxes[:, :2].min(0) - 15) * SCALE, 0).astype(int)
    high = ((boxes[:, :2] + boxes[:, 2:]).max(0) + 15).astype(int) * SCALE
    return panel[low[1] : high[1], low[0] : high[0]]


def titled(panel: np.ndarray, title: str) -> np.ndarray:
    """The panel with a border and its name on top."""
    panel = cv2.copyMakeBorder(panel, 36, 6, 6, 6, cv2.BORDER_CONSTANT, value=WHITE)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(panel, title, (10, 26), font, 0.9, (40, 40, 40), 2, cv2.LINE_AA)
    return panel


def line(panel: np.ndarray, first: np.ndarray, second: np.ndarray, color: tuple) -> None:
    """A line between points of the image."""
    cv2.line(panel, at(first), at(second), color, 2, cv2.LINE_AA)


def dot(panel: np.ndarray, point: np.ndarray, color: tuple) -> None:
    """A joint."""
    cv2.circle(panel, at(point), 6, WHITE, -1, cv2.LINE_AA)
    cv2.circle(panel, at(point), 5, color, -1, cv2.LINE_AA)


def at(point: np.ndarray) -> tuple[int, int]:
    """A point of the image in px of a panel."""
    return tuple(int(value) for value in np.rint((point + 0.5) * SCALE - 0.5))


if __name__ == '__main__':
    main()
