"""How good the defaults are on photographs: whom they find, and where they put the joints.

    python benchmarks/photographs.py

Fourteen photographs of MMPose's own tests (COCO, CrowdPose, MPII, AI Challenger) with the persons
that were annotated in them. A person is found where a box overlaps the annotated one by IoU 0.5 or
more, best scores first, each box once. Recall counts persons with annotated joints. Precision
leaves MPII out, which annotates one person of several, and boxes on persons that are annotated
without joints. OKS is over the twelve COCO persons with annotated joints, with the boxes that were
found; who is not found counts 0. Close-ups are the same persons cut out, whole and down to the hip,
with a margin of 5 %: 58 pictures that one person fills.

Needs ``RLEPOSE_SHARED`` (default ``../shared``) and weights that are in the cache; what
is not there is left out and said.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _record import RESULTS, ROOT, record

from rlepose_ext import Pose
from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.oks import object_keypoint_similarity
from rlepose_ext.geometry.crops import AREA_OF_BOX
from rlepose_ext.inference.boxes import overlaps
from rlepose_ext.inference.images import read_image
from rlepose_ext.inference.types import PoseResult

RESULT = RESULTS / 'photographs.json'
CODE = ('rlepose_ext/inference', 'rlepose_ext/models/heads')
SAMPLES = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared')) / 'data/mmpose_samples'
# Detector and pose model; None where the model needs no detector.
CHAINS = {
    'movenet-multipose + movenet-thunder': ('movenet-multipose', 'movenet-thunder'),
    'movenet-multipose + movenet-lightning': ('movenet-multipose', 'movenet-lightning'),
    'movenet-multipose': (None, 'movenet-multipose'),
    'rtmdet-m + rtmpose-m': ('rtmdet-m', 'rtmpose-m'),
    'whole picture + movenet-thunder': ('full', 'movenet-thunder'),
}
IOU = 0.5


@dataclass
class Photograph:
    """A picture and who was annotated in it.

    Attributes:
        path: the file.
        boxes: (N, 4) x1, y1, x2, y2 px.
        joints: (N, 17, 3) x, y, labelled, of COCO; None elsewhere.
        counts: (N,) false for persons without annotated joints.
        complete: everybody is annotated.
    """

    path: Path
    boxes: np.ndarray
    joints: np.ndarray | None
    counts: np.ndarray
    complete: bool


def photographs() -> list[Photograph]:
    """The fourteen."""
    found = []
    for name in ('coco', 'crowdpose', 'aic'):
        folder = SAMPLES / name
        content = json.loads((folder / f'test_{name}.json').read_text())
        for image in content['images']:
            people = [a for a in content['annotations'] if a['image_id'] == image['id']]
            boxes = np.array([a['bbox'] for a in people], float)
            boxes[:, 2:] += boxes[:, :2]
            counts = np.array([a['num_keypoints'] > 0 for a in people])
            joints = None
            if name == 'coco':
                joints = np.array([a['keypoints'] for a in people], float).reshape(-1, 17, 3)
            found.append(Photograph(folder / image['file_name'], boxes, joints, counts, True))
    people = json.loads((SAMPLES / 'mpii/test_mpii.json').read_text())
    for name in dict.fromkeys(person['image'] for person in people):
        boxes = []
        for person in (each for each in people if each['image'] == name):
            points = np.array(person['joints'])[np.array(person['joints_vis']) > 0]
            low, high = points.min(0), points.max(0)
            room = 0.1 * (high - low)
            boxes.append([*(low - room), *(high + room)])
        found.append(
            Photograph(
                SAMPLES / 'mpii' / name, np.array(boxes), None, np.ones(len(boxes), bool), False
            )
        )
    return found


def matched(picture: Photograph, found: PoseResult) -> dict[int, int]:
    """Which box found which annotated person."""
    pairs: dict[int, int] = {}
    table = overlaps(found.boxes, picture.boxes)
    for index in np.argsort(-found.box_scores, kind='stable'):
        row = table[index].copy()
        row[list(pairs.values())] = 0
        if len(row) and row.max() >= IOU:
            pairs[int(index)] = int(row.argmax())
    return pairs


def score(pose: Pose, pictures: list[Photograph]) -> dict[str, Any]:
    """Recall, precision and mean OKS of a chain."""
    persons = hits = boxes = right = 0
    similarities: list[float] = []
    for picture in pictures:
        image = read_image(picture.path)
        (result,) = pose(image)
        pairs = matched(picture, result)
        hit = {person for person in pairs.values() if picture.counts[person]}
        persons += int(picture.counts.sum())
        hits += len(hit)
        if picture.complete:
            counted = [i for i in range(len(result)) if i not in pairs or picture.counts[pairs[i]]]
            boxes += len(counted)
            right += sum(i in pairs for i in counted)
        if picture.joints is not None:
            for index in np.flatnonzero(picture.counts):
                box = [i for i, person in pairs.items() if person == index]
                similarities.append(oks(picture, index, result, box[0]) if box else 0.0)
    crops = [crop for picture in pictures for crop in closeups(picture)]
    near = sum(bool(matched(crop, pose(image)[0])) for image, crop in crops)
    return {
        'recall': round(hits / persons, 3),
        'precision': round(right / boxes, 3),
        'oks': round(float(np.mean(similarities)), 4),
        'persons': persons,
        'boxes': boxes,
        'oks_persons': len(similarities),
        'closeups_found': near,
        'closeups': len(crops),
    }


def closeups(picture: Photograph) -> Iterator[tuple[np.ndarray, Photograph]]:
    """Each person of a photograph cut out, whole and the upper half, with the box in it."""
    image = read_image(picture.path)
    height, width = image.shape[:2]
    for x1, y1, x2, y2 in picture.boxes[picture.counts]:
        for below in (0.05, -0.45):
            room = np.array([0.05 * (x2 - x1), 0.05 * (y2 - y1)])
            low = np.clip(np.array([x1, y1]) - room, 0, None).astype(int)
            high = np.array([x2 + room[0], y2 + below * (y2 - y1)])
            high = np.clip(high, 0, [width, height]).astype(int)
            if min(high - low) < 40:
                continue
            box = np.clip(np.array([x1, y1, x2, y2]) - np.tile(low, 2), 0, np.tile(high - low, 2))
            cut = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
            yield cut, Photograph(picture.path, box[None], None, np.ones(1, bool), True)


def oks(picture: Photograph, index: int, result: PoseResult, box: int) -> float:
    """Similarity of one person; the area is 0.53 times that of the annotated box."""
    x1, y1, x2, y2 = picture.boxes[index]
    joints = picture.joints[index]
    return float(
        object_keypoint_similarity(
            result.keypoints[[box]],
            joints[None, :, :2],
            joints[None, :, 2] > 0,
            np.asarray(result.meta['sigmas']),
            np.array([AREA_OF_BOX * (x2 - x1) * (y2 - y1)]),
        )[0]
    )


def main() -> None:
    """Score every chain whose weights are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=RESULT)
    parser.add_argument('--only', default='', help='chains whose name contains this')
    args = parser.parse_args()
    pictures = photographs()
    rows = []
    for name, (detector, model) in CHAINS.items():
        if args.only not in name:
            continue
        try:
            pose = Pose(model, detector=detector)
        except UserError as error:
            print(f'{name}: left out: {str(error)[:100]}')
            rows.append({'chain': name, 'left_out': 'weights were not at hand'})
            continue
        rows.append({'chain': name, **score(pose, pictures)})
        print(rows[-1])
    if not args.only:
        record(args.out, rows, code=CODE, photographs=len(pictures), iou=IOU)


if __name__ == '__main__':
    main()
