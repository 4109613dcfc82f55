"""The figure of docs/yolopose.md: where drawn persons are learnt, and what a place says.

python tools/draw_yolopose.py [FILE]    # default: docs/images/yolopose.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from rlepose_ext.codecs import YOLOPoseLabel
from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one

SIDE = 512
# One colour per level, BGR, finest first.
COLOURS = ((60, 200, 60), (230, 150, 30), (30, 110, 240), (200, 60, 200))
SEED = 3


def people() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A drawn picture: pixels, joints (N, K, 2), visibility (N, K), boxes (N, 4) x1, y1, x2, y2."""
    drawing = SyntheticPeopleConfig(
        width=(SIDE, SIDE),
        height=(SIDE, SIDE),
        persons=(0.0, 0.0, 1.0),
        occlusion=0.0,
        truncation=0.0,
        clutter=0,
    )
    image, persons = draw_one(SEED, 'train', 0, drawing)
    joints = np.array([each['keypoints'] for each in persons], np.float32).reshape(-1, 17, 3)
    boxes = np.array([each['bbox'] for each in persons], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return image, joints[..., :2], joints[..., 2], boxes


def faded(image: np.ndarray) -> np.ndarray:
    """Lighter, so that lines are seen."""
    return cv2.addWeighted(image, 0.55, np.full_like(image, 255), 0.45, 0)


def places(image: np.ndarray, codec: YOLOPoseLabel, cells: np.ndarray, boxes: np.ndarray) -> None:
    """Draw boxes, and the cells of each level that learn them, coarse ones below."""
    for x1, y1, x2, y2 in boxes.round().astype(int).tolist():
        cv2.rectangle(image, (x1, y1), (x2, y2), (40, 40, 40), 2)
    for level in reversed(range(len(codec.strides))):
        stride = codec.strides[level]
        for y, x in np.unique(cells[cells[:, 0] == level][:, 2:], axis=0).tolist():
            low, high = (x * stride, y * stride), ((x + 1) * stride, (y + 1) * stride)
            shade = image.copy()
            cv2.rectangle(shade, low, high, COLOURS[level], -1)
            cv2.addWeighted(shade, 0.35, image, 0.65, 0, image)
            cv2.rectangle(image, low, high, COLOURS[level], 2)


def pointing(
    image: np.ndarray, codec: YOLOPoseLabel, labels: dict[str, np.ndarray], box: np.ndarray
) -> None:
    """Draw one place of each level of a person: its anchor, and lines to the labelled joints."""
    own = (labels['boxes'] == box).all(1)
    for level in range(len(codec.strides)):
        here = np.flatnonzero(own & (labels['cells'][:, 0] == level))
        if not len(here):
            continue
        index = here[-1]
        _, anchor, y, x = labels['cells'][index].tolist()
        stride, colour = codec.strides[level], COLOURS[level]
        middle = (np.array([x, y]) + 0.5) * stride
        half = codec.anchors[level, anchor] / 2
        low, high = (tuple((middle + side * half).astype(int).tolist()) for side in (-1, 1))
        cv2.rectangle(image, low, high, colour, 2)
        start = tuple(middle.astype(int).tolist())
        weights = labels['keypoint_weights'][index] > 0
        for point in labels['keypoint_labels'][index][weights].astype(int).tolist():
            cv2.line(image, start, tuple(point), colour, 1, cv2.LINE_AA)
            cv2.circle(image, tuple(point), 3, colour, -1, cv2.LINE_AA)
        cv2.circle(image, start, 5, colour, -1, cv2.LINE_AA)


def main() -> None:
    """Write the figure."""
    root = Path(__file__).resolve().parents[1]
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else root / 'docs/images/yolopose.jpg'
    image, joints, visible, boxes = people()
    codec = YOLOPoseLabel((SIDE, SIDE))
    labels = codec.encode(joints, visible, boxes)
    left, right = faded(image), faded(image)
    places(left, codec, labels['cells'], boxes)
    tallest = boxes[(boxes[:, 3] - boxes[:, 1]).argmax()]
    pointing(right, codec, labels, tallest)
    for number, (stride, colour) in enumerate(zip(codec.strides, COLOURS, strict=True)):
        at = (8, SIDE - 10 - 22 * (3 - number))
        cv2.putText(left, f'1/{stride}', at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 2, cv2.LINE_AA)
    gap = np.full((SIDE, 12, 3), 255, np.uint8)
    cv2.imwrite(str(target), np.hstack([left, gap, right]), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == '__main__':
    main()
