"""Scores of SimCC's joints: MMPose's logits beside those of the distribution, on one model.

    rlepose quickstart --out quickstart
    python benchmarks/simcc_scores.py quickstart/warm_up/epoch_2.pth

The points are the same in all rows. ``ap`` is COCO's of persons scored by the mean of their joints
above 0.2, as MMPose's ``CocoMetric`` does; ``ause`` that of ``rlepose calibrate``; ``shown`` the
share of labelled joints that ``--kpt-thr`` 0.3 draws; ``mean`` of scores.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _record import RESULTS, ROOT, record

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
from mmengine.config import Config

from rlepose_ext.annotations.coco_file import read_json
from rlepose_ext.calibration.measures import ause
from rlepose_ext.calibration.repair import HeldOut
from rlepose_ext.datasets.synthetic import write_dataset
from rlepose_ext.evaluation.offline import evaluate, find_sigmas
from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.calibrating import _labelled, predicted
from rlepose_ext.inference.network import read_bins

MODEL = ROOT / 'configs/quickstart/simcc_resnet18-slim_1xb16-2e_synthetic-96x72.py'
# Of drawings that no training sees: another seed than any of theirs.
DRAWINGS, SEED = 400, 7_000
KINDS = ('logit', 'highest probability', 'softmax')


def measure(
    kind: str, checkpoint: Path, persons: list[dict[str, Any]], truth: dict[str, Any]
) -> dict[str, Any]:
    """One row."""
    score = 'logit' if kind == 'logit' else 'softmax'
    options = {'model.test_cfg.score': score, 'model.test_cfg.sigma': True}
    estimator = PoseEstimator(MODEL, checkpoint, 'cpu', cfg_options=options)
    if kind == 'highest probability':  # of x times that of y
        reading = replace(estimator.bins, reach=1e-3, top=(1.0, 1.0))
        read_bins(estimator.model.head, reading)
    found = predicted(estimator, persons)
    some = found.labelled
    error = np.hypot(*(found.error / found.size[:, None, None])[some].T)
    return {
        'score': kind,
        'ap': round(evaluate(entries(found, persons), truth, find_sigmas('coco'))['AP'], 4),
        'ause': round(ause(error, -found.score[some]), 4),
        'shown': round(float((found.score[some] >= 0.3).mean()), 4),
        'mean': round(float(found.score[some].mean()), 4),
    }


def entries(found: HeldOut, persons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """COCO results; ``found`` has the persons image by image."""
    paths = list(dict.fromkeys(person['img_path'] for person in persons))
    ordered = sorted(persons, key=lambda person: paths.index(person['img_path']))
    results = []
    for person, error, scores in zip(ordered, found.error, found.score, strict=True):
        counted = scores[scores > 0.2]
        points = np.column_stack([person['keypoints'][0] + error, scores])
        results.append(
            {
                'image_id': int(person['img_id']),
                'category_id': 1,
                'keypoints': points.ravel().tolist(),
                'score': float(counted.mean()) if len(counted) else 0.0,
            }
        )
    return results


def main() -> None:
    """Draw people, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('--output', type=Path, default=RESULTS / 'simcc_scores.json')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = write_dataset(Path(folder), 1, DRAWINGS, SEED)
        persons = _labelled(Config.fromfile(MODEL), (data.val_json, data.val_images))
        truth = read_json(data.val_json)
        rows = [measure(kind, args.checkpoint, persons, truth) for kind in KINDS]
    code = ('rlepose_ext/models/heads/simcc_bins.py', 'rlepose_ext/inference')
    command = 'python benchmarks/simcc_scores.py CHECKPOINT'
    record(args.output, rows, code=code, seed=SEED, persons=len(persons), command=command)
    for row in rows:
        print(row)


if __name__ == '__main__':
    main()
