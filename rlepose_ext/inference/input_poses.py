"""The poses that PoseFix is to correct, by any top-down model of MMPose.

The model is tested as ``mim test`` would test it, on the annotation files of a config of
``configs/posefix``; what its metric would judge is written where that config looks for it.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS

from rlepose_ext.engine.joint_count import check_joint_count
from rlepose_ext.errors import UserError
from rlepose_ext.inference.loading import config_and_checkpoint
from rlepose_ext.zoo.counting import load_config

SPLITS = ('train', 'val')


def prepare(
    model: str,
    checkpoint: str | None,
    target: str,
    splits: Sequence[str] = SPLITS,
    boxes: str | None = None,
    force: bool = False,
) -> Iterator[tuple[str, Path, int]]:
    """Write the input poses of each split.

    Args:
        model: config, or name.
        checkpoint: file or URL; by default the published one.
        target: config of ``configs/posefix``, whose data sets have ``ann_file`` and
            ``pose_file``.
        splits: of :data:`SPLITS`.
        boxes: file of detected boxes for ``val``; by default those of the annotations, as in
            training.
        force: overwrite files.

    Yields:
        Split, file, and number of poses.

    Raises:
        UserError: a model that is not top-down or has other joints, a config that takes no poses,
            or a file that is missing or in the way.
    """
    config, checkpoint = config_and_checkpoint(model, checkpoint)
    kind = MODELS.get(config.model.type)
    if kind is None or not issubclass(kind, TopdownPoseEstimator):
        raise UserError(
            f'{model}: expected a top-down model, got a {config.model.get("type")}. Poses of '
            'others can be corrected too: give their results file as pose_file, with scores.'
        )
    wanted = load_config(target)
    datasets = {split: wanted.get(f'{split}_dataloader', {}).get('dataset', {}) for split in splits}
    for split, dataset in datasets.items():
        path = dataset.get('pose_file')
        if not path:
            raise UserError(
                f'{target}: expected {split}_dataloader.dataset.pose_file, got none. Give a config '
                'of configs/posefix.'
            )
        if Path(path).exists() and not force:
            raise UserError(f'{path} exists already; add --force to overwrite it')
    if boxes is not None and not Path(boxes).is_file():
        raise UserError(f'the file of boxes {boxes} does not exist')
    for split, dataset in datasets.items():
        path = Path(dataset.pose_file)
        poses = _poses(config, checkpoint, dataset, split, boxes if split == 'val' else None)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'.{path.name}.part')
        part.write_text(json.dumps(poses))
        part.replace(path)
        yield split, path, len(poses)


def _poses(
    config: Config, checkpoint: str, dataset: Mapping[str, Any], split: str, boxes: str | None
) -> list[dict]:
    """What the model finds in a data set, in COCO's results format."""
    config = copy.deepcopy(config)
    metainfo = dataset.get('metainfo') or {'from_file': 'configs/_base_/datasets/coco.py'}
    root = dataset.get('data_root') or ''
    config.test_dataloader.dataset = {
        'type': 'BaseCocoStyleDataset',
        'metainfo': metainfo,
        'data_root': root,
        'ann_file': dataset.ann_file,
        'data_prefix': dataset.data_prefix,
        'data_mode': 'topdown',
        'bbox_file': boxes,
        'test_mode': True,
        'pipeline': config.test_dataloader.dataset.pipeline,
    }
    with tempfile.TemporaryDirectory() as folder:
        own = config.test_evaluator
        own = next(iter(own)) if isinstance(own, (list, tuple)) else own
        config.test_evaluator = {
            'type': 'CocoMetric',
            'ann_file': os.path.join(root, dataset.ann_file),
            'score_mode': own.get('score_mode', 'bbox_keypoint'),
            # In training each annotated person has a pose of its own.
            'nms_mode': own.get('nms_mode', 'oks_nms') if split == 'val' else 'none',
            'format_only': True,
            'outfile_prefix': f'{folder}/found',
        }
        config.load_from, config.resume, config.launcher = checkpoint, False, 'none'
        config.work_dir = 'work_dirs/posefix_prepare'
        config.experiment_name = f'posefix_prepare_{split}_{Path(folder).name}'
        runner = Runner.from_cfg(config)
        check_joint_count(runner.model, runner.test_loop.dataloader.dataset, training=True)
        runner.test()
        return json.loads(Path(folder, 'found.keypoints.json').read_text())
