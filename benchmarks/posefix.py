"""Does PoseFix correct poses that it has not seen, and leave right ones alone?

    python benchmarks/posefix.py                 # two seeds, about ten minutes each on one core

A narrow ResNet-18 at 96x144 is trained from scratch on drawn people and the synthetic errors of the
method. Then the held-out people are given with six kinds of poses: with synthetic errors drawn
anew; with all joints *good*, as the method calls what it does not correct; with white noise on all
joints (three strengths); and as they are. AP of the poses before and after the correction is that
of ``mim test``: ``input/AP`` and ``coco/AP``; once as configs have it, once with all joints moved
(``keep_within=0``), as the paper has it. Rows are added to the file as they come; those that
are there are not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from _record import RESULTS, TRAINING
from _results import Results
from _small import CONFIGS  # first: imports rlepose_ext

# isort: split
import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from rlepose_ext.datasets.synthetic import write_dataset
from rlepose_ext.datasets.transforms.synthesize_pose_errors import Candidates, draw, synthesize
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.input_size import at_input_size

RESULT = RESULTS / 'posefix.json'
CODE = (*TRAINING, 'rlepose_ext/evaluation', 'configs/posefix', 'benchmarks/_small.py')
IMAGES, HELD_OUT, EPOCHS, BATCH = 3000, 300, 12, 16
# At 64x96 joints that are a quarter of a heatmap pixel off cost 0.12 of AP.
SIZE = (96, 144)
LEARNING_RATE = 2e-3
# Standard deviations, shares of the square root of the box.
NOISES = {'noise 1 %': 0.01, 'noise 2 %': 0.02, 'noise 5 %': 0.05}
POSES = ('synthetic errors', 'all good', *NOISES, 'no error')
META = parse_pose_metainfo({'from_file': 'configs/_base_/datasets/coco.py'})
NAMES = [META['keypoint_id2name'][k] for k in range(17)]


def input_poses(truth: dict[str, Any], kind: str, seed: int) -> list[dict[str, Any]]:
    """Poses of all labelled persons of an annotation file, with one of :data:`POSES`."""
    rng = np.random.default_rng([seed, POSES.index(kind)])
    poses = []
    for person in truth['annotations']:
        joints = np.array(person['keypoints'], float).reshape(1, 17, 3)
        labelled = joints[..., 2] > 0
        if not labelled.any():
            continue
        points = np.where(
            labelled[0, :, None], joints[0, :, :2], joints[0, labelled[0], :2].mean(0)
        )
        area = float(np.prod(person['bbox'][2:]))
        if kind in NOISES:
            points = points + rng.normal(0, NOISES[kind] * area**0.5, points.shape)
        elif kind == 'all good':
            nobody = np.empty((0, 2))
            around = [Candidates(own, nobody, nobody, nobody) for own in points]
            pairs = zip(around, META['sigmas'], strict=True)
            points = np.stack([draw('good', each, area, sigma, rng) for each, sigma in pairs])
        elif kind == 'synthetic errors':
            rows = np.stack([points, np.zeros_like(points)])
            known = np.stack([np.ones(17, bool), np.zeros(17, bool)])
            pairs, sigmas = META['flip_indices'], META['sigmas']
            points, _, _ = synthesize(rows, known, NAMES, pairs, sigmas, area, rng)
        triples = np.column_stack([points, np.ones(17)]).round(2)
        entry = {'image_id': person['image_id'], 'category_id': 1, 'score': 0.9}
        poses.append({**entry, 'keypoints': triples.ravel().tolist()})
    return poses


def config_of(root: Path, seed: int, epochs: int) -> Config:
    """``configs/posefix`` on the drawn people, small."""
    config = Config.fromfile(CONFIGS / 'posefix/posefix_res50_2xb16-140e_coco-256x192.py')
    config = at_input_size(config, SIZE)
    model = config.model
    model.data_preprocessor.sigma = config.codec.sigma * SIZE[0] / 192
    # a stride of 16: at 32 the last maps would be 3x5
    model.backbone.update(depth=18, stem_channels=16, base_channels=16, strides=(1, 2, 2, 1))
    # the original's 0.01 needs more steps than there are here
    model.backbone.norm_cfg.momentum = 0.1
    model.backbone.pop('init_cfg')
    model.head.update(in_channels=128, deconv_out_channels=(64, 64), deconv_kernel_sizes=(4, 4))
    for split, name in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        loader = config[f'{split}_dataloader']
        loader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
        loader.dataset.update(
            data_root=str(root),
            ann_file=f'annotations/{name}.json',
            data_prefix={'img': f'images/{name}/'},
            pose_file=None if split == 'train' else str(root / 'poses.json'),
        )
    for metric in (*config.val_evaluator, *config.test_evaluator):
        metric.ann_file = str(root / 'annotations/val.json')
    config.train_cfg.update(max_epochs=epochs, val_interval=epochs + 1)
    config.optim_wrapper = {'optimizer': {'type': 'Adam', 'lr': LEARNING_RATE, 'fused': True}}
    config.param_scheduler = [
        {'type': 'LinearLR', 'begin': 0, 'end': 100, 'start_factor': 0.01, 'by_epoch': False},
        {'type': 'CosineAnnealingLR', 'begin': 0, 'end': epochs, 'T_max': epochs, 'eta_min': 0.0,
         'by_epoch': True, 'convert_to_iter_based': True},
    ]  # fmt: skip
    config.default_hooks.checkpoint = {'type': 'CheckpointHook', 'interval': epochs}
    config.randomness = {'seed': seed}
    config.visualizer.vis_backends = []
    return config


def train_and_test(root: Path, seed: int, epochs: int) -> dict[str, Any]:
    """One training, and the AP of each kind of poses before and after."""
    config = config_of(root, seed, epochs)
    # The folder of poses has to hold a file, whose poses are not looked at in training.
    truth = json.loads((root / 'annotations/val.json').read_text())
    (root / 'poses.json').write_text(json.dumps(input_poses(truth, POSES[0], 1000)))
    config.work_dir, config.experiment_name = str(root / f'seed{seed}'), f'posefix_{seed}'
    runner = Runner.from_cfg(config)
    for part in runner.model.head.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 0.1
    start = time.perf_counter()
    runner.train()
    seconds = time.perf_counter() - start
    row = {'name': 'posefix', 'seed': seed, 'train_seconds': round(seconds, 1)}
    row['parameters'] = count_parameters(runner.model)
    kept = config.model.test_cfg.keep_within
    for number, kind in enumerate(POSES):
        (root / 'poses.json').write_text(json.dumps(input_poses(truth, kind, 1000)))
        config.load_from = str(Path(config.work_dir) / f'epoch_{epochs}.pth')
        row[kind] = {}
        for after, within in (('after', kept), ('all moved', 0)):
            config.experiment_name = f'posefix_{seed}_{number}_{within}'
            config.model.test_cfg.keep_within = within
            metrics = Runner.from_cfg(config).test()
            row[kind] |= {
                name: round(float(metrics[f'{key}/AP']), 4)
                for name, key in (('before', 'input'), (after, 'coco'))
            }
    return row


def main() -> None:
    """Train with each seed; rows are added to the file as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--epochs', type=int, default=EPOCHS)
    parser.add_argument('--images', type=int, default=IMAGES)
    parser.add_argument('--held-out', type=int, default=HELD_OUT)
    parser.add_argument('--out', type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    setting = {'images': args.images, 'held_out': args.held_out, 'epochs': args.epochs}
    spread = {'repeats': len(args.seeds), 'spread': 'a row for each seed', 'seed': args.seeds}
    results = Results(args.out, ['posefix'], setting, CODE, **spread)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, 'synthetic')
        write_dataset(root, args.images, args.held_out, seed=0)
        for seed in args.seeds:
            if not results.has('posefix', seed):
                results.add(train_and_test(root, seed, args.epochs))


if __name__ == '__main__':
    main()
