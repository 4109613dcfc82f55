"""All variants on the same small budget: LSP, 64x64, 400 steps of 32, two seeds.

    python benchmarks/family_budget.py                 # about an hour on two cores
    python benchmarks/family_budget.py --only gcn_     # those whose name contains this
    python benchmarks/family_budget.py --only gcn_ --again     # also if they are there
    python benchmarks/family_budget.py --also rle_res50    # of what does not fit into the hour

Every variant starts from random weights and sees the same crops in the same order: data set
and augmentation of ``configs/rle/_base_/rle_lsp-192x192.py``, Adam with one learning rate for
all. What is the variant's own: network, loss, codec, and the way its crop is cut. Trainings
run in processes of their own, as many at once as there are cores. Rows are added to the
file as they come; those that are there are not run again. What does not fit into the hour
is in the file too, with the reason.

Needs ``RLEPOSE_SHARED`` (default ``../shared``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _record import RESULTS, ROOT, TRAINING
from _results import Results
from _small import (
    CONFIGS,
    FAMILIES,
    chosen,
    load_small,
    systems,
)  # first: imports rlepose_ext

# isort: split
import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.functional import keypoint_pck_accuracy

from rlepose_ext.datasets.synthetic import mean_pose
from rlepose_ext.models.count import count_parameters

SIZE = 64
BATCH = 32
STEPS = 400
WARM_UP = 40
LEARNING_RATE = 1e-3
THRESHOLDS = (0.2, 0.1)
RESULT = RESULTS / 'family_budget.json'
CODE = (
    *TRAINING,
    'benchmarks/_small.py',
    'configs/_base_',
    *(f'configs/{family}' for family in FAMILIES),
)
SHARED = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
MEAN_POSE = 'mean pose, without looking'
# From random weights these are rle_res50 once more, or RLE's own peer.
SAME = ('rle_res50-hmpretrained', 'rle_res50-official', 'reg_res50-smoothl1')
# Variants on HRNet-Lite take about seven minutes each on one core: the hour has room for one of
# each kind.
LEFT_OUT = {
    'rle_res50': 'seven minutes a training',
    'rle_scnet50': 'seven minutes a training',
    'rle_movenet-lightning': 'a backbone to start from trained; here all start from random weights',
    'gcn_hrnet-w32-classifiers': 'the whole HRNet-W32: more than twice the time of HRNet-Lite',
    'td-hm_hrnetv2-w18_skps': 'a quarter slower than HRNet-Lite; SKPS is here on MobileNetV2',
    'heatmap_hrnetlite-hardswish': 'heatmap_hrnetlite with another activation',
    'simcc_hrnetlite-hardswish': 'simcc_hrnetlite with another activation',
    'gau_hrnetlite-ca': 'gau_hrnetlite-softmax with 53 more parameters',
    'gau_hrnetlite-narrow': 'gau_hrnetlite-softmax with fewer channels',
    'gau_hrnetlite-softmaxplus': 'gau_hrnetlite-softmax with another factor',
    'gcn_hrnetlite-after': 'graphs: gcn_hrnetlite-classifiers is here',
    'gcn_hrnetlite-before': 'graphs: gcn_hrnetlite-classifiers is here',
    'gcn_hrnetlite-parallel': 'graphs: gcn_hrnetlite-classifiers is here',
    'gcn_hrnetlite-gaugcn5': 'graphs: gcn_hrnetlite-classifiers is here',
    'gcn_hrnetlite-gaugcn6': 'graphs: gcn_hrnetlite-classifiers is here',
    'gcn_hrnetlite-cross-head': 'graphs: gcn_hrnetlite-classifiers is here',
    'gcn_hrnetlite-cross-stage3': 'graphs: gcn_hrnetlite-classifiers is here',
    'gcn_hrnetlite-cross-stem': 'graphs: gcn_hrnetlite-classifiers is here',
    'gau_hrnetlite-supergau': 'gau_hrnetlite-softmaxplus at three more places',
    'heatmap_hrnetlite-gau': 'heatmap_hrnetlite with a block of gau_hrnetlite-softmax',
    'simcc_hrnetlite-lsk': 'simcc_hrnetlite with an attention neck',
    'simcc_hrnetlite-sk': 'simcc_hrnetlite with an attention neck',
}


def runner_config(path: Path, seed: int, steps: int, work_dir: str) -> Config:
    """The variant's model and codec in the common training.

    Args:
        path: config of the variant.
        seed: of weights, order and augmentation.
        steps: iterations.
        work_dir: where MMEngine logs.
    """
    lsp = Config.fromfile(CONFIGS / 'rle/_base_/rle_lsp-192x192.py')
    meta = parse_pose_metainfo(lsp.metainfo)
    variant = load_small(path, SIZE, meta['num_keypoints'], meta['skeleton_links'])
    own = {step.type: step for step in variant.train_dataloader.dataset.pipeline}
    # The crop, and the targets in it, are the variant's.
    mine = {name: own[name] for name in ('TopdownAffine', 'GenerateTarget')}
    loaders = {
        split: {
            **lsp[f'{split}_dataloader'],
            'batch_size': BATCH,
            'num_workers': 0,
            'persistent_workers': False,
        }
        for split in ('train', 'val')
    }
    loaders['train']['drop_last'] = True
    for loader in loaders.values():
        loader['dataset'].pipeline = [mine.get(s.type, s) for s in loader['dataset'].pipeline]
    adam = {'type': 'Adam', 'lr': LEARNING_RATE, 'fused': True}
    return Config(
        {
            'default_scope': 'mmpose',
            'work_dir': work_dir,
            'model': variant.model,
            'train_dataloader': loaders['train'],
            'val_dataloader': loaders['val'],
            'train_cfg': {'by_epoch': False, 'max_iters': steps, 'val_interval': steps + 1},
            'val_cfg': {},
            'val_evaluator': [
                {'type': 'PCKAccuracy', 'thr': thr, 'norm_item': 'bbox', 'prefix': f'PCK@{thr}'}
                for thr in THRESHOLDS
            ],
            'optim_wrapper': {'optimizer': adam},
            'param_scheduler': [
                {
                    'type': 'LinearLR',
                    'start_factor': 0.01,
                    'begin': 0,
                    'end': WARM_UP,
                    'by_epoch': False,
                },
                {
                    'type': 'CosineAnnealingLR',
                    'begin': 0,
                    'end': steps,
                    'T_max': steps,
                    'eta_min': 0.0,
                    'by_epoch': False,
                },
            ],
            'default_hooks': {
                'checkpoint': None,
                'logger': {'type': 'LoggerHook', 'interval': 100},
            },
            'randomness': {'seed': seed},
            'log_level': 'ERROR',
        }
    )


def train(path: Path, seed: int, steps: int) -> dict[str, Any]:
    """Train and evaluate one variant in this process.

    Returns:
        ``parameters``, ``pck`` by threshold, ``seconds`` and ``ms_per_step`` of the training.
    """
    with tempfile.TemporaryDirectory() as work_dir:
        runner = Runner.from_cfg(runner_config(path, seed, steps, work_dir))
        parameters = count_parameters(runner.model)
        start = time.perf_counter()
        runner.train()
        seconds = time.perf_counter() - start
        metrics = runner.val()
    pck = {str(thr): round(float(metrics[f'PCK@{thr}/PCK']), 4) for thr in THRESHOLDS}
    return {
        'parameters': parameters,
        'pck': pck,
        'seconds': round(seconds, 1),
        'ms_per_step': round(1000 * seconds / steps, 1),
    }


def mean_pose_row() -> dict[str, Any]:
    """What the mean pose of the training persons, put into each true box, scores."""
    folder = SHARED / 'data' / 'lsp'
    people = json.loads((folder / 'lsp_val.json').read_text())['annotations']
    joints = np.array([person['keypoints'] for person in people]).reshape(len(people), -1, 3)
    boxes = np.array([person['bbox'] for person in people])
    guess = boxes[:, None, :2] + mean_pose(folder / 'lsp_train.json') * boxes[:, None, 2:]
    size = np.repeat(boxes[:, 2:].max(1, keepdims=True), 2, axis=1)
    pck = {
        str(thr): round(
            float(keypoint_pck_accuracy(guess, joints[..., :2], joints[..., 2] > 0, thr, size)[1]),
            4,
        )
        for thr in THRESHOLDS
    }
    return {'name': MEAN_POSE, 'parameters': 0, 'pck': pck}


def in_own_process(name: str, seed: int, steps: int, threads: int) -> dict[str, Any]:
    """Run :func:`train` with ``--worker``.

    Raises:
        RuntimeError: it failed; with the end of what it wrote.
    """
    command = [sys.executable, __file__, '--worker', name, '--seeds', str(seed)]
    command += ['--steps', str(steps)]
    env = {
        **os.environ,
        'OMP_NUM_THREADS': str(threads),
        'RLEPOSE_DATA': str(SHARED / 'data'),
    }
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{name}, seed {seed}: status {done.returncode}\n{done.stderr[-2000:]}')
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Run what is missing; or, as ``--worker``, one training, its row on stdout."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', default=[], help='variants whose name contains it')
    parser.add_argument('--also', choices=list(LEFT_OUT), nargs='+', default=[], metavar='NAME')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--steps', type=int, default=STEPS)
    parser.add_argument('--again', action='store_true', help='run those that are in the file too')
    parser.add_argument('--jobs', type=int, default=cores, help='trainings at once')
    parser.add_argument('--out', type=Path, default=RESULT)
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    args = parser.parse_args()
    paths = systems(SAME)
    if args.worker:
        torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
        print(json.dumps(train(paths[args.worker], args.seeds[0], args.steps)))
        return

    setting = {'size': SIZE, 'batch': BATCH, 'steps': args.steps, 'learning_rate': LEARNING_RATE}
    results = Results(
        args.out,
        [*paths, MEAN_POSE],
        setting,
        CODE,
        seed=args.seeds,
        repeats=len(args.seeds),
        spread='a row for each seed',
    )
    configs = {name: str(path.relative_to(ROOT)) for name, path in paths.items()}
    if not results.has(MEAN_POSE):
        results.add(mean_pose_row())
    for name, reason in LEFT_OUT.items():
        if not any(results.has(name, seed) for seed in args.seeds):
            results.add({'name': name, 'config': configs[name], 'left_out': reason})

    def run(job: tuple[str, int]) -> None:
        name, seed = job
        result = in_own_process(name, seed, args.steps, max(cores // args.jobs, 1))
        results.add({'name': name, 'config': configs[name], 'seed': seed, **result})

    fits = [name for name in paths if name not in LEFT_OUT or name in args.also]
    names = chosen(fits, args.only)
    if args.again:
        results.drop(lambda row: row['name'] in names and row.get('seed') in args.seeds)
    # Seeds outside: after half of the time every variant has been run once.
    jobs = [(name, seed) for seed in args.seeds for name in names if not results.has(name, seed)]
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(run, jobs))


if __name__ == '__main__':
    main()
