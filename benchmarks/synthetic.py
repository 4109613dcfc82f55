"""How many images a second one process draws, encodes and writes, on one core.

    python benchmarks/synthetic.py [--images 500] [--repeats 5] [--seed 0]

Draws the default data set into a temporary folder with OpenCV limited to one thread;
JPEG encoding, writing and annotations included. The median over the repeats counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2
from _record import record, result_path

from rlepose_ext.datasets.synthetic import GENERATOR_VERSION, write_dataset


def measure(images: int, seed: int) -> float:
    """Images a second of one single-process ``write_dataset``."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_dataset(Path(folder) / 'set', images - 1, 1, seed)
        return images / (time.perf_counter() - start)


def main() -> None:
    """Measure, print, and write ``results/synthetic.MACHINE.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=500, help='images per repeat')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    if args.images < 2 or args.repeats < 1:
        parser.error('--images must be from 2 and --repeats from 1')

    cv2.setNumThreads(1)
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    measure(20, args.seed)  # warm caches
    rates = [round(measure(args.images, args.seed), 1) for _ in range(args.repeats)]
    row = {
        'name': 'draw, encode and write',
        'images_per_second': statistics.median(rates),
        'repeats': rates,
        'images': args.images,
        'generator_version': GENERATOR_VERSION,
    }
    print(f'{row["images_per_second"]} images a second ({rates})')
    record(
        result_path('synthetic'),
        [row],
        code=('rlepose_ext/datasets/synthetic',),
        repeats=args.repeats,
        spread='every rate in repeats',
        seed=args.seed,
    )


if __name__ == '__main__':
    main()
