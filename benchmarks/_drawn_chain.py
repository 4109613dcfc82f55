"""A drawn video as a file, and what the chain found in it against what was drawn."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from _identity_switches import id_switches
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rlepose_ext.datasets.synthetic.clip import draw_clip
from rlepose_ext.evaluation.offline import evaluate_files
from rlepose_ext.quickstart import Quickstart, run_quickstart

FPS = 25.0
# Width and height; people are about half as high.
VIDEO = {'width': (480, 480), 'height': (288, 288)}


def train_pose_model(out: Path, seed: int) -> Path:
    """The model of ``rlepose quickstart``, or what an earlier run trained."""
    summary = out / 'quickstart' / 'summary.json'
    if not summary.is_file():
        run_quickstart(Quickstart(out=out / 'quickstart', seed=seed, num_pictures=1))
    return Path(json.loads(summary.read_text())['checkpoint'])


def write_video(
    folder: Path, seed: int, frames: int, persons: int, number: int = 0
) -> tuple[Path, Path]:
    """Draw a video, ``<persons>-persons-<number>.mp4``, and its truth, COCO annotations.

    The ``image_id`` of a frame is its number from 0; people have a ``track_id``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clip = draw_clip(np.random.default_rng([seed, persons, number]), frames, persons, VIDEO)
    height, width = clip[0][0].shape[:2]
    video = folder / f'{persons}-persons-{number}.mp4'
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*'mp4v'), FPS, (width, height))
    annotations = []
    for frame, (image, people) in enumerate(clip):
        writer.write(image)
        for person in people:
            ids = {'id': len(annotations) + 1, 'image_id': frame, 'category_id': 1}
            annotations.append({**ids, **person})
    writer.release()
    truth = {
        'images': [{'id': n, 'width': width, 'height': height} for n in range(frames)],
        'annotations': annotations,
        'categories': [{'id': 1, 'name': 'person'}],
    }
    path = video.with_suffix('.json')
    path.write_text(json.dumps(truth))
    return video, path


def box_ap(truth: dict, found: Sequence[dict]) -> dict[str, float]:
    """COCO's AP of boxes.

    Args:
        truth: COCO annotations.
        found: ``image_id``, ``bbox`` (x, y, width, height) and ``score`` of each box.

    Returns:
        ``AP`` and ``AP .5``; 0 where nothing was found.
    """
    if not found:
        return {'AP': 0.0, 'AP .5': 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        reader = COCO()
        # The reader writes into what it is given.
        reader.dataset = {**truth, 'annotations': [dict(ann) for ann in truth['annotations']]}
        reader.createIndex()
        evaluation = COCOeval(
            reader, reader.loadRes([{**box, 'category_id': 1} for box in found]), 'bbox'
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {'AP': float(evaluation.stats[0]), 'AP .5': float(evaluation.stats[1])}


def boxes_of(image_id: int, boxes: np.ndarray, scores: np.ndarray) -> list[dict]:
    """A detector's boxes, (N, 4) x1, y1, x2, y2, as :func:`box_ap` takes them."""
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    return [
        {'image_id': image_id, 'bbox': box, 'score': score}
        for box, score in zip(sides.tolist(), scores.tolist(), strict=True)
    ]


def score_video(truth_file: Path, folder: Path, stem: str) -> dict[str, Any]:
    """Compare what the chain wrote into ``folder`` with the truth.

    Returns:
        ``box_ap``, ``box_ap50``, ``keypoint_ap``, ``keypoint_ap50``; ``people``, for each drawn
        person its frames, the share of them in which it was found, and its switches of identity;
        ``switches_per_100``, the mean over all persons in 100 frames of a person; and
        ``most_per_100``, that of the person with the most.
    """
    truth = json.loads(truth_file.read_text())
    frames = json.loads((folder / f'results_{stem}.json').read_text())['instance_info']
    boxes, followed, drawn = [], [], []
    for number, frame in enumerate(frames):
        people = frame['instances']
        corners = np.array([p['bbox'][0] for p in people], float).reshape(-1, 4)
        scores = np.array([p['bbox_score'] for p in people], float)
        rows = boxes_of(number, corners, scores)
        boxes += rows
        followed.append(([p['track_id'] for p in people], [row['bbox'] for row in rows]))
        true = [ann for ann in truth['annotations'] if ann['image_id'] == number]
        drawn.append(([ann['track_id'] for ann in true], [ann['bbox'] for ann in true]))
    people = id_switches(drawn, followed)
    keypoints, _ = evaluate_files(folder / f'{stem}_coco.json', truth_file)
    area = box_ap(truth, boxes)
    rates = [100 * person.switches / person.frames for person in people.values()]
    total = sum(person.frames for person in people.values())
    return {
        'frames': len(frames),
        'box_ap': round(area['AP'], 4),
        'box_ap50': round(area['AP .5'], 4),
        'keypoint_ap': round(keypoints['AP'], 4),
        'keypoint_ap50': round(keypoints['AP .5'], 4),
        'people': [
            {
                'frames': person.frames,
                'found': round(person.found / person.frames, 4),
                'id_switches': person.switches,
            }
            for _, person in sorted(people.items())
        ],
        'switches_per_100': round(
            100 * sum(person.switches for person in people.values()) / total, 3
        ),
        'most_per_100': round(max(rates), 3),
    }
