"""What this machine does, in a quarter of an hour: ``make bench``.

    python benchmarks/machine.py [--parts training ...] [--rounds N] [--output FILE]

Reduced forms of the other benchmarks, with nothing but this checkout: training, samples, RLE's
loss, frames of the demo, start, and how the cost of a training step grows. Writes
``results/machine.MACHINE.json``; a part that fails is a row that says so. Where a GPU is found,
training, loss and frames run there; ``benchmarks/gpu.py`` measures it further.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from _record import ROOT, interleaved, ratios, record, result_path, summary

HERE = Path(__file__).resolve().parent
CONFIG = 'configs/rle/rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py'
BATCH = 32
LOADED = 1000  # samples of a loader
STOCK = {'model.head.type': 'RLEHead', 'model.head.loss.type': 'RLELoss'}
START = 'import mmpose.apis, mmpose.models, mmpose.datasets'
Row = dict[str, Any]


def row(part: str, what: str, unit: str, ours: float, ratio: Row | None, **more: Any) -> Row:
    """A measurement; ``ratio`` is that to stock, or to the first row of its table."""
    return {'part': part, 'what': what, 'unit': unit, 'ours': ours, 'ratio': ratio, **more}


def training(rounds: int) -> list[Row]:
    """Steps on a random batch, each side in processes of its own that take turns."""
    seconds: dict[str, list[float]] = {'stock': [], 'ours': []}
    for _ in range(rounds):
        for side, values in seconds.items():
            command = [sys.executable, '-W', 'ignore', __file__, '--train', side]
            env = {**os.environ, 'RLEPOSE_CPU_SPEED': '0' if side == 'stock' else '1'}
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
            values.append(float(done.stdout.split()[-1]))
    ours = BATCH / summary(seconds['ours'])['median']
    ratio = summary(ratios(seconds, 'stock', 'ours'), 3)
    what = f'RLE, MobileNetV2 0.5x, 192x192, batch {BATCH}, free data'
    return [row('training', what, 'images a second', round(ours, 1), ratio)]


def train(side: str) -> None:
    """Print the seconds of a step."""
    from compiled import Training

    run = Training(CONFIG, BATCH, changes=STOCK if side == 'stock' else {})
    values = interleaved({side: run.step}, repeats=5, warmup=2)[side]
    print(summary(values, 6)['median'])


def of_script(script: str, *options: str, out: str = '--output') -> list[Row]:
    """The rows of another benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'rows.json')
        command = [sys.executable, '-W', 'ignore', str(HERE / script), *options, out, str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(file.read_text())['rows']


def samples(rounds: int) -> list[Row]:
    """Training samples of one core."""
    options = ['--rounds', str(rounds), '--samples', '48', '--methods', 'RLE', 'SKPS']
    return [
        row(
            'samples',
            f'{each["method"]}, {each["side"]}',
            'samples a second and core',
            each['samples_per_second'],
            each['times_stock'],
        )
        for each in of_script('data_path.py', *options)
        if each['side'] != 'stock'
    ]


def loss(rounds: int) -> list[Row]:
    """Forward and backward of the loss of RLE."""
    return [
        row(
            'loss',
            f'RLE, {each["device"]}{", autocast" if each["autocast"] else ""}, '
            f'batch {each["batch"]}, {each["visible"]:.0%} visible',
            'ms',
            each['ours_ms']['median'],
            each['times_faster'],
        )
        for each in of_script('rle_loss.py', '--repeats', str(4 * rounds))
    ]


def frames(rounds: int) -> list[Row]:
    """The loop of the demo."""
    options = ['--only', 'ResNet-50', '--persons', '1', '--rounds', str(rounds)]
    return [
        row(
            'frames',
            f'{each["model"]}, {each["persons"]} person, {each["dtype"]}',
            'ms a frame',
            each['ours_ms'],
            each['times_stock'],
        )
        for each in of_script('inference.py', *options, out='--out')
    ]


def start(rounds: int) -> list[Row]:
    """What a training imports before it does anything."""

    def imported(off: str) -> Callable[[], Any]:
        env = {**os.environ, 'RLEPOSE_PATCHES': off, 'PYTHONPATH': str(ROOT)}
        code = f'import warnings; warnings.simplefilter("ignore"); import rlepose_ext; {START}'
        return lambda: subprocess.run([sys.executable, '-c', code], env=env, check=True)

    sides = {'stock': imported('-deferred_imports'), 'ours': imported('')}
    seconds = interleaved(sides, rounds, warmup=1)
    ratio = summary(ratios(seconds, 'stock', 'ours'), 3)
    return [row('start', START, 'seconds', summary(seconds['ours'])['median'], ratio)]


def scaling(rounds: int) -> list[Row]:
    """How a step grows with joints, crop and batch, and loading with workers."""
    from compiled import Training

    tables: list[dict[str, tuple[int, Row]]] = [
        {
            f'{joints} joints': (BATCH, {'model.head.num_joints': joints})
            for joints in (17, 68, 133)
        },
        {
            f'crop {side}x{side}': (BATCH, {'codec.input_size': (side, side)})
            for side in (128, 192, 256)
        },
        {f'batch {batch}': (batch, {}) for batch in (8, 32, 64)},
    ]
    rows = []
    for table in tables:
        runs = {
            what: Training(CONFIG, batch, changes=changes)
            for what, (batch, changes) in table.items()
        }
        seconds = interleaved({what: run.step for what, run in runs.items()}, rounds, warmup=1)
        first = next(iter(table))
        for what, (batch, _) in table.items():
            per_image = {
                name: [value / table[name][0] for value in seconds[name]] for name in table
            }
            rate = batch / summary(seconds[what])['median']
            ratio = summary(ratios(per_image, first, what), 3)
            rows.append(row('scaling', what, 'images a second', round(rate, 1), ratio))
    return rows + workers(rounds)


def workers(rounds: int) -> list[Row]:
    """Batches of a loader with 1, 2, 4 ... 8 worker processes, as far as there are cores."""
    import cv2
    import data_path
    from _machine import CORES
    from mmengine.config import Config
    from mmengine.dataset import pseudo_collate, worker_init_fn
    from mmpose.registry import DATASETS
    from torch.utils.data import DataLoader, RandomSampler

    cv2.setNumThreads(0)  # as in a training
    with tempfile.TemporaryDirectory() as name:
        data_path.draw(Path(name))
        settings = Config.fromfile(ROOT / data_path.CONFIGS['RLE'][1]).train_dataloader.dataset
        settings.update(data_root=name, ann_file='coco.json', data_prefix={'img': 'coco'})
        dataset = DATASETS.build(settings)
        loaders = {
            f'{count} loader worker{"s" if count > 1 else ""}': DataLoader(
                dataset,
                8,
                # long enough that filling and draining eight workers does not count
                sampler=RandomSampler(dataset, replacement=True, num_samples=LOADED),
                num_workers=count,
                persistent_workers=True,
                collate_fn=pseudo_collate,
                worker_init_fn=partial(worker_init_fn, num_workers=count, rank=0, seed=0),
            )
            for count in (1, 2, 4, 8)
            if count <= CORES
        }
        sides = {what: (lambda loader=loader: list(loader)) for what, loader in loaders.items()}
        seconds = interleaved(sides, rounds, warmup=1)
    first = next(iter(sides))
    return [
        row(
            'scaling',
            what,
            'samples a second',
            round(LOADED / summary(seconds[what])['median']),
            summary(ratios(seconds, first, what), 3),
        )
        for what in sides
    ]


PARTS: dict[str, Callable[[int], list[Row]]] = {
    'training': training,
    'samples': samples,
    'loss': loss,
    'frames': frames,
    'start': start,
    'scaling': scaling,
}


def main() -> None:
    """Run the parts one after the other and write their rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--parts', nargs='+', choices=list(PARTS), default=list(PARTS))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--output', type=Path)
    parser.add_argument('--train', choices=['stock', 'ours'], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        train(args.train)
        return
    rows: list[Row] = []
    for part in args.parts:
        began = time.perf_counter()
        try:
            rows += PARTS[part](args.rounds)
        except Exception as error:  # the other parts are worth having
            rows.append(row(part, f'failed: {error!r}'[:200], '', 0.0, None))
        for each in rows:
            if each['part'] == part:
                print(each, flush=True)
        print(f'{part}: {time.perf_counter() - began:.0f} s', flush=True)
    record(
        args.output or result_path('machine'),
        rows,
        repeats=args.rounds,
        spread='quartiles of ratio',
        seed=0,
        peer='stock MMPose; in scaling, the first row of the same kind',
    )


if __name__ == '__main__':
    main()
