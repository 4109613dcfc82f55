"""What a predictor scores that never looks at the image: the mean pose in each true box."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np

from rlepose_ext.errors import UserError


def mean_pose(train_json: str | Path) -> np.ndarray:
    """Mean position of each labelled joint in its person's box.

    Returns:
        (K, 2) in units of the box: (0, 0) is its top left, (1, 1) its bottom right corner.

    Raises:
        UserError: no COCO keypoint file, or a joint that is labelled nowhere.
    """
    people = [a for a in _load(train_json)['annotations'] if a.get('num_keypoints', 0) > 0]
    if not people:
        raise UserError(f'{train_json} has no annotation with labelled keypoints.')
    keypoints = np.array([a['keypoints'] for a in people], dtype=float).reshape(len(people), -1, 3)
    boxes = np.array([a['bbox'] for a in people], dtype=float)
    relative = (keypoints[..., :2] - boxes[:, None, :2]) / np.maximum(boxes[:, None, 2:], 1e-6)
    labelled = keypoints[..., 2] > 0
    count = labelled.sum(0)
    if (count == 0).any():
        raise UserError(f'{train_json}: joints {np.flatnonzero(count == 0)} are labelled nowhere.')
    return (relative * labelled[..., None]).sum(0) / count[:, None]


def mean_pose_baseline(train_json: str | Path, val_json: str | Path) -> float:
    """COCO keypoint AP (OKS 0.50 to 0.95) of the mean training pose in each true val box.

    A data set on which this is high can be solved without looking. All predictions have
    score 1.

    Raises:
        UserError: see :func:`mean_pose`.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    pose = mean_pose(train_json)
    val = _load(val_json)
    results = []
    for person in val['annotations']:
        x, y, width, height = person['bbox']
        points = np.concatenate([pose * (width, height) + (x, y), np.ones((len(pose), 1))], axis=1)
        results.append(
            {
                'image_id': person['image_id'],
                'category_id': person['category_id'],
                'keypoints': points.reshape(-1).tolist(),
                'score': 1.0,
            }
        )
    # pycocotools prints its progress.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(val_json))
        evaluation = COCOeval(truth, truth.loadRes(results), 'keypoints')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def _load(path: str | Path) -> dict:
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is not a readable COCO keypoint file: {error}') from error
    if not isinstance(content, dict) or not content.get('annotations'):
        raise UserError(f'{path} is not a COCO keypoint file: it has no annotations.')
    return content
