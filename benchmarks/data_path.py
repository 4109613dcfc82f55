"""Training samples a second on one core: stock, ours, and ours with decoded pictures kept.

    python benchmarks/data_path.py [--rounds N] [--samples N] [--output FILE]

On drawn pictures with the size, the bytes and the annotations of COCO (640x480, 17 joints) and WFLW
(1024x768, 98 landmarks). Each side is a process of its own, and they take turns. *Stock* reads
the same config without the feature ``data_path`` and without our checks of image files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _record import ROOT, ratios, record, result_path, summary

PICTURES = 48
CONFIGS = {
    'RLE': ('coco', 'configs/rle/rle_res50_8xb64-210e_coco-256x192.py'),
    'SimCC': ('coco', 'configs/simcc/simcc_mobilenetv2-100_8xb64-210e_coco-256x192.py'),
    'heatmap, UDP': ('coco', 'configs/hrnet/heatmap_hrnet-w32-udp_8xb64-210e_coco-256x192.py'),
    'SKPS': ('wflw', 'configs/skps/td-hm_hrnetv2-w18_skps-1xb64-80e_wflw-256x256.py'),
}
SIDES = ('stock', 'ours', 'ours, decoded kept')
SEED = 0


def draw(folder: Path) -> None:
    """Both data sets: smooth colours with noise, as many bytes as photographs have.

    A person's box is a fifth to all of the picture's height; a face, a tenth to a third.
    """
    import cv2
    import numpy as np

    rng = np.random.default_rng(SEED)
    for name, (width, height), joints, noise, reach in (
        ('coco', (640, 480), 17, 12, (0.2, 1.0)),
        ('wflw', (1024, 768), 98, 5, (0.1, 0.33)),
    ):
        images, annotations = [], []
        (folder / name).mkdir()
        for number in range(PICTURES):
            small = rng.integers(0, 256, (12, 16, 3), np.uint8)
            picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
            picture = picture + rng.normal(0, noise, picture.shape)
            file = f'{number}.jpg'
            cv2.imwrite(
                str(folder / name / file),
                np.clip(picture, 0, 255).astype(np.uint8),
                [cv2.IMWRITE_JPEG_QUALITY, 90],
            )
            images.append({'id': number, 'file_name': file, 'width': width, 'height': height})
            tall = rng.uniform(*reach) * height
            wide = tall * rng.uniform(0.35, 0.8)
            x, y = rng.uniform(0, (width - wide, height - tall))
            points = rng.uniform((x, y), (x + wide, y + tall), (joints, 2))
            annotations.append(
                {
                    'id': number,
                    'image_id': number,
                    'category_id': 1,
                    'iscrowd': 0,
                    'bbox': [x, y, wide, tall],
                    'area': wide * tall / 2,
                    'num_keypoints': joints,
                    'keypoints': np.insert(points, 2, 2, axis=1).ravel().tolist(),
                    'segmentation': [rng.uniform(0, height, 60).round(2).tolist()],
                    # of WFLW
                    'center': [x + wide / 2, y + tall / 2],
                    'scale': tall / 200,
                }
            )
        content = {
            'images': images,
            'annotations': annotations,
            'categories': [{'id': 1, 'name': 'person'}],
        }
        (folder / f'{name}.json').write_text(json.dumps(content))


def serve(folder: Path) -> None:
    """Answer ``METHOD COUNT`` on stdin with the CPU seconds of that many samples, as JSON."""
    import random

    import cv2
    import numpy as np
    import torch
    from mmengine.config import Config
    from mmpose.registry import DATASETS
    from mmpose.utils import register_all_modules

    import rlepose_ext  # noqa: F401  (makes MMPose importable)

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    register_all_modules()
    datasets: dict[str, Any] = {}
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        method, count = line.rsplit(maxsplit=1)
        name, config = CONFIGS[method]
        if method not in datasets:
            settings = Config.fromfile(ROOT / config).train_dataloader.dataset
            settings.update(
                data_root=str(folder), ann_file=f'{name}.json', data_prefix={'img': name}
            )
            datasets[method] = DATASETS.build(settings)
        np.random.seed(SEED)  # noqa: NPY002  (which the transforms draw from)
        random.seed(SEED)
        dataset, total = datasets[method], 0
        start = time.process_time()
        for number in range(int(count)):
            sample = dataset[number % PICTURES]
            total += int(sample['inputs'].sum())
        print(json.dumps([time.process_time() - start, total]), file=out, flush=True)


def start(side: str, folder: Path) -> subprocess.Popen:
    """A process that serves one of the sides."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    environment.pop('RLEPOSE_IMAGE_CACHE', None)
    if side == 'stock':
        environment['RLEPOSE_PATCHES'] = '-data_path,-data_checks'
    elif side != 'ours':
        environment['RLEPOSE_IMAGE_CACHE'] = str(folder / 'cache')
    command = [sys.executable, '-W', 'ignore', __file__, '--serve', str(folder)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe)


def ask(process: subprocess.Popen, method: str, count: int) -> tuple[float, int]:
    """CPU seconds for ``count`` samples, and the sum of their pixels."""
    process.stdin.write(f'{method} {count}\n')
    process.stdin.flush()
    seconds, total = json.loads(process.stdout.readline())
    return seconds, total


def measure(rounds: int, samples: int, methods: list[str]) -> list[dict[str, Any]]:
    """A row for each method and side."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'cache').mkdir()
        draw(folder)
        sides = {side: start(side, folder) for side in SIDES}
        try:
            for method in methods:
                seconds: dict[str, list[float]] = {side: [] for side in SIDES}
                sums = {ask(process, method, PICTURES)[1] for process in sides.values()}
                if len(sums) > 1:
                    sys.exit(f'{method}: the sides give different samples')
                for _ in range(rounds):
                    for side, process in sides.items():
                        seconds[side].append(ask(process, method, samples)[0] / samples)
                for side, values in seconds.items():
                    rows.append(
                        {
                            'method': method,
                            'side': side,
                            'ms_per_sample': summary([1e3 * value for value in values]),
                            'samples_per_second': round(1 / summary(values)['median']),
                            'times_stock': summary(ratios(seconds, 'stock', side), 3),
                        }
                    )
                    print(rows[-1], flush=True)
        finally:
            for process in sides.values():
                process.terminate()
                process.wait()
    return rows


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--samples', type=int, default=96)
    parser.add_argument('--methods', nargs='+', choices=list(CONFIGS), default=list(CONFIGS))
    parser.add_argument('--output', type=Path)
    parser.add_argument('--serve', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    rows = measure(args.rounds, args.samples, args.methods)
    record(
        args.output or result_path('data_path'),
        rows,
        code=('rlepose_ext/engine', 'rlepose_ext/datasets', 'rlepose_ext/codecs'),
        repeats=args.rounds,
        spread='quartiles of times_stock',
        seed=SEED,
        peer='the same config without the feature data_path and without checks of image files',
        samples=args.samples,
        pictures=PICTURES,
        unit='CPU seconds of one process',
    )


if __name__ == '__main__':
    main()
