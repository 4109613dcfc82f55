"""How many images a second one process draws, encodes and writes, on one core.

    python benchmarks/synthetic.py [--images 500] [--repeats 5] [--seed 0] [--json FILE]

Draws the default data set into a temporary folder with OpenCV limited to one thread and
prints the median over the repeats, JPEG encoding, writing and annotations included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

import rlepose_ext
from rlepose_ext.datasets.synthetic import GENERATOR_VERSION, write_dataset


def measure(images: int, seed: int) -> float:
    """Images a second of one single-process ``write_dataset``."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_dataset(Path(folder) / 'set', images - 1, 1, seed)
        return images / (time.perf_counter() - start)


def _commit() -> str:
    command = ['git', 'rev-parse', 'HEAD']
    answer = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or 'unknown'


def main() -> None:
    """Measure, print, and write the result where ``--json`` says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=500, help='images per repeat')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, help='file for the result')
    args = parser.parse_args()
    if args.images < 2 or args.repeats < 1:
        parser.error('--images must be from 2 and --repeats from 1')

    cv2.setNumThreads(1)
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    measure(20, args.seed)  # warm caches
    rates = [round(measure(args.images, args.seed), 1) for _ in range(args.repeats)]
    result = {
        'benchmark': 'synthetic',
        'command': ' '.join(['python', *sys.argv]),
        'commit': _commit(),
        'seed': args.seed,
        'machine': {'platform': platform.platform(), 'cores': os.cpu_count(), 'used_cores': 1},
        'versions': {
            'rlepose_ext': rlepose_ext.__version__,
            'generator': GENERATOR_VERSION,
            'python': platform.python_version(),
            'opencv': cv2.__version__,
            'numpy': np.__version__,
        },
        'images_per_second': rates,
        'median': statistics.median(rates),
    }
    print(f'{result["median"]:.0f} images/s on one core (median of {rates})')
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
