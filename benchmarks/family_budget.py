"""All variants on the same small budget: LSP, 64x64, 400 steps of 32, two seeds.

    python benchmarks/family_budget.py                 # about an hour on two cores
    python benchmarks/family_budget.py --only gcn_     # those whose name contains this

Every variant starts from random weights and sees the same crops in the same order: data set
and augmentation of ``configs/_base_/rle_lsp_192x192.py``, Adam with one learning rate for
all. What is the variant's own: network, loss, codec, and the way its crop is cut. Trainings
run in processes of their own, as many at once as there are cores. A training that would
take longer than ``--limit`` is given up after its first steps and named with its time. Rows
are added to the file as they come; those that are there are not run again.

Needs ``RLEPOSE_SHARED`` (default ``../shared``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _record import ROOT, commit, record
from _small import CONFIGS, chosen, load_small, systems  # first: imports rlepose_ext

# isort: split
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
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
# Seconds that one training may take.
LIMIT = 300.0
TIMED_STEPS = 10
RESULT = ROOT / 'benchmarks' / 'results' / 'family_budget.json'
SHARED = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
MEAN_POSE = 'mean pose, without looking'
# From random weights these are rle_res50 once more, or RLE's own peer.
SAME = ('rle_res50-hmpretrained', 'rle_res50-official', 'reg_res50-smoothl1')


class TooSlow(RuntimeError):
    """A training would not end within the limit."""


class TimeLimit(Hook):
    """Measure the first steps and stop where all of them would take too long.

    Args:
        limit: seconds for the training.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.start = 0.0

    def after_train_iter(self, runner: Runner, batch_idx: int, **_: Any) -> None:
        """Count from the second step on; the first one allocates memory."""
        if batch_idx == 0:
            self.start = time.perf_counter()
        elif batch_idx == TIMED_STEPS:
            step = (time.perf_counter() - self.start) / TIMED_STEPS
            if step * runner.max_iters > self.limit:
                raise TooSlow(f'{step:.2f} s a step: {step * runner.max_iters:.0f} s in all')


def runner_config(path: Path, seed: int, steps: int, work_dir: str) -> Config:
    """The variant's model and codec in the common training.

    Args:
        path: config of the variant.
        seed: of weights, order and augmentation.
        steps: iterations.
        work_dir: where MMEngine logs.
    """
    lsp = Config.fromfile(CONFIGS / '_base_' / 'rle_lsp_192x192.py')
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


def train(path: Path, seed: int, steps: int, limit: float) -> dict[str, Any]:
    """Train and evaluate one variant in this process.

    Returns:
        ``parameters`` and either ``pck`` by threshold, ``seconds`` and ``ms_per_step`` of
        the training, or ``left_out``, the reason.
    """
    with tempfile.TemporaryDirectory() as work_dir:
        runner = Runner.from_cfg(runner_config(path, seed, steps, work_dir))
        runner.register_hook(TimeLimit(limit))
        row: dict[str, Any] = {'parameters': count_parameters(runner.model)}
        start = time.perf_counter()
        try:
            runner.train()
        except TooSlow as error:
            return {**row, 'left_out': str(error)}
        seconds = time.perf_counter() - start
        metrics = runner.val()
    pck = {str(thr): round(float(metrics[f'PCK@{thr}/PCK']), 4) for thr in THRESHOLDS}
    return {
        **row,
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


def in_own_process(name: str, seed: int, args: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Run :func:`train` with ``--worker``.

    Raises:
        RuntimeError: it failed; with the end of what it wrote.
    """
    command = [sys.executable, __file__, '--worker', name, '--seeds', str(seed)]
    command += ['--steps', str(args.steps), '--limit', str(args.limit)]
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
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--steps', type=int, default=STEPS)
    parser.add_argument('--limit', type=float, default=LIMIT, help='seconds for one training')
    parser.add_argument('--jobs', type=int, default=cores, help='trainings at once')
    parser.add_argument('--out', type=Path, default=RESULT)
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    args = parser.parse_args()
    paths = systems(SAME)
    if args.worker:
        torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
        row = train(paths[args.worker], args.seeds[0], args.steps, args.limit)
        print(json.dumps(row))
        return

    lock = threading.Lock()
    order = [*paths, MEAN_POSE]

    def rows() -> list[dict[str, Any]]:
        return json.loads(args.out.read_text())['rows'] if args.out.exists() else []

    def add(row: dict[str, Any]) -> None:
        with lock:
            found = [*rows(), {**row, 'commit': commit()}]
            found.sort(key=lambda row: (order.index(row['name']), row.get('seed', 0)))
            setting = {
                'size': SIZE,
                'batch': BATCH,
                'steps': args.steps,
                'learning_rate': LEARNING_RATE,
                'jobs': args.jobs,
            }
            record(args.out, found, seed=args.seeds, **setting)
            print(row, flush=True)

    def run(job: tuple[str, int]) -> None:
        name, seed = job
        config = str(paths[name].relative_to(ROOT))
        result = in_own_process(name, seed, args, max(cores // args.jobs, 1))
        add({'name': name, 'config': config, 'seed': seed, **result})

    done = {(row['name'], row.get('seed')) for row in rows()}
    if (MEAN_POSE, None) not in done:
        add(mean_pose_row())
    names = chosen(list(paths), args.only)
    # Seeds outside: after half of the time every variant has been run once.
    jobs = [(name, seed) for seed in args.seeds for name in names if (name, seed) not in done]
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(run, jobs))


if __name__ == '__main__':
    main()
