"""Training on a GPU, in at most eight minutes: run it whenever one is at hand.

    python benchmarks/gpu.py [--minutes 8] [--output FILE]
    python benchmarks/gpu.py --tiny --output dry.json           # on a CPU: only that it runs

Steps with free data (plain, ``--amp``, ``--compile``, both) and the memory of MobileNetV2,
ResNet-50 and HRNet; with real data, from drawn pictures through the loader; RLE's loss against
MMPose's; one process over nccl; ``rlepose quickstart``. What helps most to know comes first: when
the minutes are over, the rest is left out and named. The file is written after each part.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import compiled
import data_path
from _record import ROOT, interleaved, ratios, record, result_path, summary
from machine import of_script

MOBILENET = 'configs/rle/rle_mobilenetv2-100_8xb64-210e_coco-256x192.py'
RESNET = data_path.CONFIGS['RLE'][1]
HRNET = 'configs/hrnet/heatmap_hrnet-w32_8xb64-210e_coco-256x192.py'
Rows = list[dict[str, Any]]
ROUNDS = 15


def free_data(config: str, sides: list[str], batch: int, rounds: int) -> Rows:
    """Steps on one batch that is in memory already."""
    return compiled.measure(config, batch, rounds, sides)


def real_data(config: str, batch: int, batches: int, amp: bool) -> Rows:
    """Steps on what a loader gives: decoding, augmentation, the way to the device."""
    import cv2
    from _machine import CORES
    from mmengine.config import Config
    from mmengine.dataset import pseudo_collate, worker_init_fn
    from mmpose.registry import DATASETS
    from torch.utils.data import DataLoader, RandomSampler

    cv2.setNumThreads(0)  # as in a training
    rows = []
    with tempfile.TemporaryDirectory() as name:
        data_path.draw(Path(name))
        run = compiled.Training(config, batch, amp=amp)
        settings = Config.fromfile(ROOT / config).train_dataloader.dataset
        settings.update(data_root=name, ann_file='coco.json', data_prefix={'img': 'coco'})
        workers = min(CORES, 16)
        for kept in (False, True):
            os.environ.pop('RLEPOSE_IMAGE_CACHE', None)
            if kept:
                os.environ['RLEPOSE_IMAGE_CACHE'] = name
            dataset = DATASETS.build(settings)
            # Two batches wait for each worker at first, and must not be counted.
            warm = 2 * workers + 4
            # longer than what is timed, so that no worker runs dry
            count = batch * (warm + batches + warm)
            sampler = RandomSampler(dataset, replacement=True, num_samples=count)
            loader = DataLoader(
                dataset,
                batch,
                sampler=sampler,
                num_workers=workers,
                pin_memory=run.device == 'cuda',
                collate_fn=pseudo_collate,
                worker_init_fn=partial(worker_init_fn, num_workers=workers, rank=0, seed=0),
            )
            for number, data in enumerate(loader):
                if number == warm:
                    start = time.perf_counter()
                if number == warm + batches:
                    break
                run.data = data
                run.step()
            seconds = time.perf_counter() - start
            rows.append(
                {
                    'config': Path(config).stem,
                    'side': f'real data{", decoded kept" if kept else ""}{", amp" if amp else ""}',
                    'batch': batch,
                    'workers': workers,
                    'images_per_second': round(batch * batches / seconds, 1),
                }
            )
        os.environ.pop('RLEPOSE_IMAGE_CACHE', None)
    return rows


def one_process(batch: int, rounds: int) -> Rows:
    """Steps of one process over nccl (gloo on a CPU), beside those without."""
    import torch
    from torch.nn.parallel import DistributedDataParallel

    nccl = torch.cuda.is_available()
    alone, among = (compiled.Training(RESNET, batch) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            'nccl' if nccl else 'gloo', init_method=f'file://{folder}/meet', rank=0, world_size=1
        )
        try:
            wrapped = DistributedDataParallel(among.model)

            def step() -> None:
                data = among.model.data_preprocessor(among.data, True)
                losses = wrapped(**data, mode='loss')
                among.wrapper.update_params(among.model.parse_losses(losses)[0])

            seconds = interleaved(
                {'alone': alone.step, 'DDP': step},
                rounds,
                warmup=2,
                synchronize=torch.cuda.synchronize if nccl else None,
            )
        finally:
            torch.distributed.destroy_process_group()
    return [
        {
            'config': Path(RESNET).stem,
            'side': f'one process, {"nccl" if nccl else "gloo"}',
            'batch': batch,
            'images_per_second': round(batch / summary(seconds['DDP'])['median'], 1),
            'times_plain': summary(ratios(seconds, 'alone', 'DDP'), 3),
        }
    ]


def loss(repeats: int) -> Rows:
    """RLE's loss against MMPose's, forward and backward."""
    return [
        {
            'config': f'RLE loss, {row["device"]}',
            'side': 'autocast' if row['autocast'] else '',
            **row,
        }
        for row in of_script('rle_loss.py', '--repeats', str(repeats))
    ]


def quickstart() -> Rows:
    """Seconds of ``rlepose quickstart``."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-m', 'rlepose_ext', 'quickstart', '--out', folder]
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, timeout=240)
    return [{'config': 'quickstart', 'side': '', 'seconds': round(time.perf_counter() - start)}]


def parts(tiny: bool) -> Iterator[tuple[str, Callable[[], Rows]]]:
    """Name and function of each part, the most wanted first."""
    batch, rounds = (2, 1) if tiny else (64, ROUNDS)
    # RLEPOSE_CPU_SPEED does nothing on a GPU
    quick, every = ['plain', 'amp'], ['plain', 'compile', 'amp', 'compile, amp']
    if tiny:  # bfloat16 is slow on most CPUs
        quick = every = ['plain']
    yield 'RLE loss', partial(loss, 2 if tiny else 21)
    yield 'MobileNetV2', partial(free_data, MOBILENET, every, batch, rounds)
    yield 'ResNet-50', partial(free_data, RESNET, every, batch, rounds)
    yield 'HRNet-w32', partial(free_data, HRNET, quick, batch, rounds)
    yield (
        'real data, MobileNetV2',
        partial(real_data, MOBILENET, batch, 2 if tiny else 150, not tiny),
    )
    yield 'real data, ResNet-50', partial(real_data, RESNET, batch, 2 if tiny else 150, not tiny)
    yield 'one process over nccl', partial(one_process, batch, rounds)
    if not tiny:
        yield 'quickstart', quickstart


def run_part(name: str, measure: Callable[[], Rows]) -> Rows:
    """The rows of a part, or one that says how it failed."""
    try:
        rows = measure()
    except Exception as error:  # the other parts are worth having
        rows = [{'config': name, 'side': f'failed: {error!r}'[:300]}]
    for row in rows:
        print(row, flush=True)
    return [{'part': name, **row} for row in rows]


def main() -> None:
    """Run the parts while there is time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=8)
    parser.add_argument('--tiny', action='store_true', help='a dry run')
    parser.add_argument('--output', type=Path)
    args = parser.parse_args()
    import torch

    if not args.tiny and not torch.cuda.is_available():
        sys.exit('torch sees no GPU; --tiny --output FILE is a dry run')
    began, rows, left_out = time.perf_counter(), [], []
    for name, measure in parts(args.tiny):
        if time.perf_counter() - began > 60 * args.minutes * 0.8:
            left_out.append(name)
        else:
            rows += run_part(name, measure)
            print(f'{name}: {time.perf_counter() - began:.0f} s so far', flush=True)
        record(
            args.output or result_path('gpu'),
            rows,
            repeats=ROUNDS,
            spread='quartiles of times_plain and times_faster',
            seed=compiled.SEED,
            left_out=left_out,
        )
    if left_out:
        print(f'no time was left for: {", ".join(left_out)}')


if __name__ == '__main__':
    main()
