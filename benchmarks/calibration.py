"""Whether a calibrated sigma is true, and what RLE brings beside L1 and L2.

    python benchmarks/calibration.py             # all rows, 27 minutes of two cores each, two seeds
    python benchmarks/calibration.py --only drawn --seeds 0
    python benchmarks/calibration.py --only drawn --seeds 0 --checkpoint epoch_6.pth
    python benchmarks/calibration.py --only lsp --seeds 0 --checkpoint movenet-seed0.pth
    python benchmarks/calibration.py --only L1 L2 RLE heatmaps+RLE --minutes 10

| row | what is trained, then calibrated by ``rlepose calibrate`` |
|---|---|
| drawn | ``rlepose quickstart``; labels are those of drawings made for this |
| lsp | RLE on MoveNet Lightning's backbone, on lsp_val |
| faces68 | RLE on MobileNetV2 0.5x, on the faces of other persons |
| L1, L2 | on LSP, MobileNetV2 0.5x from ImageNet: MMPose's RegressionHead |
| RLE | the same with RLE; calibrated too |
| heatmaps+RLE | half of the minutes heatmaps, then RLE from that backbone; calibrated too |

The last four rows have the same minutes, on lsp_val with flip test, and a file of their own,
results/losses.json. Rows are written as they come, and those that are there already are skipped
(``--again`` makes them anew). Needs ``RLEPOSE_SHARED``
(default ``../shared``) for all but drawn people, and MoveNet's weights for lsp.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import lsp_finetune
import numpy as np
from _record import RESULTS, ROOT, TRAINING, WHICH_ROWS, command_line, origin, record
from faces68 import BACKBONE, EPOCHS, rlepose
from faces68 import train as train_faces
from lsp_finetune import MINUTES, SHARED, earlier, epochs_in

CODE = (*TRAINING, 'rlepose_ext/calibration', 'rlepose_ext/inference', 'configs/rle')
DRAWN = ROOT / 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
FACES = ROOT / 'configs/skps/rle_mobilenetv2-050_1xb64_faces68-128x128.py'
LSP = ROOT / 'configs/rle/rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py'
# Of drawings that no training sees: another seed than any of theirs.
DRAWINGS, DRAWING_SEED = 1600, 7_000


def regression(loss: str) -> Callable[[Any], None]:
    """MMPose's head with this loss in place of RLE."""

    def change(config: Any) -> None:
        config.model.head.type = 'RegressionHead'
        config.model.head.loss = {'type': loss, 'use_target_weight': True}

    return change


def heatmaps(config: Any) -> None:
    """Heatmaps of 48x48 on the same backbone."""
    codec = {'type': 'MSRAHeatmap', 'input_size': (192, 192), 'heatmap_size': (48, 48), 'sigma': 2}
    config.model.pop('neck')
    config.model.head = {
        'type': 'HeatmapHead',
        'in_channels': 1280,
        'out_channels': 14,
        'loss': {'type': 'KeypointMSELoss', 'use_target_weight': True},
        'decoder': codec,
    }
    config.model.test_cfg = {'flip_test': True, 'flip_mode': 'heatmap', 'shift_heatmap': True}
    steps = config.train_dataloader.dataset.pipeline
    (target,) = (step for step in steps if step.type == 'GenerateTarget')
    target.encoder = codec


SIDES: dict[str, Callable[[Any], None]] = {
    'L1': regression('L1Loss'),
    'L2': regression('MSELoss'),
    'RLE': lambda config: None,
    'heatmaps+RLE': heatmaps,
}
ROWS = ('drawn', 'lsp', 'faces68', *SIDES)


def written(change: Callable[[Any], None], start: Path, target: Path) -> Path:
    """LSP's config with a change, from a backbone, as one file."""
    import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

    # isort: split
    from mmengine.config import Config

    config = Config.fromfile(LSP)
    config.model.backbone.init_cfg.checkpoint = str(start)
    change(config)
    config.dump(target)
    return target


def calibrated(config: Path, checkpoint: Path, folder: Path, *more: Any) -> dict[str, Any]:
    """What ``rlepose calibrate`` reports over all joints; its plots stay in ``folder/report``."""
    rlepose('calibrate', config, checkpoint, '--report', folder / 'report', *more)
    report = json.loads((folder / 'report' / 'report.json').read_text())
    kept = ('images', 'persons', 'joints_that_prove', 'flip_test')
    rows = {
        name: {measure: [round(v, 4) for v in values] for measure, values in numbers.items()}
        for name, numbers in report['rows'].items()
    }
    groups = report['visibility'].items()
    groups = {f'{name} joints': v['calibrated'] for name, v in groups if 'calibrated' in v}
    groups['without flip test'] = report['without_flip_test']['calibrated']
    coverage = {
        name: {key: round(numbers[key][0], 4) for key in ('coverage_90', 'coverage_95')}
        for name, numbers in groups.items()
    }
    return {**{name: report[name] for name in kept}, 'calibration': rows, 'coverage': coverage}


def drawn(seed: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Drawn people: the quickstart's model, or a checkpoint of it."""
    from rlepose_ext.datasets.synthetic import write_dataset

    checkpoint = folder / 'drawn.pth'
    if args.checkpoint is None:
        rlepose('quickstart', '--out', folder / 'quickstart', '--seed', seed)
        (found,) = (folder / 'quickstart' / 'train').glob('epoch_6.pth')
        shutil.copy(found, checkpoint)
    else:
        shutil.copy(args.checkpoint, checkpoint)
    data = write_dataset(folder / 'drawings', 1, DRAWINGS, DRAWING_SEED + seed)
    found = calibrated(DRAWN, checkpoint, folder, '--data', data.val_json, data.val_images)
    return {**found, 'trained_before': args.checkpoint is not None}


def lsp(seed: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """RLE on MoveNet's backbone."""
    from rlepose_ext.zoo.weights import fetch

    shutil.copy(fetch('movenet-lightning'), folder)
    config = lsp_finetune.resolved('movenet', folder)
    if args.checkpoint is not None:
        checkpoint = shutil.copy(args.checkpoint, folder / 'lsp.pth')
        return calibrated(config, checkpoint, folder) | {'trained_before': True}
    return on_lsp(config, seed, args, folder)


def on_lsp(
    config: Path,
    seed: int,
    args: argparse.Namespace,
    folder: Path,
    share: float = 1,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Train for a share of the minutes, or so many epochs; calibrate if the head has sigma."""
    checkpoint = folder / f'{config.stem}.pth'
    if epochs is None:
        epochs = epochs_in(share * args.minutes, config, folder, *args.cfg_options)
    row = lsp_finetune.train(config, seed, epochs, folder, *args.cfg_options, keep=checkpoint)
    if 'RLEHead' in config.read_text():
        row |= calibrated(config, checkpoint, folder)
    return row


def faces68(seed: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """RLE on faces."""
    imagenet(folder)
    checkpoint = folder / 'faces.pth'
    row = train_faces('RLE', seed, EPOCHS, folder, *args.cfg_options, keep=checkpoint)
    kept = {name: row[name] for name in ('epochs', 'nme', 'train_seconds')}
    return kept | calibrated(FACES, checkpoint, folder)


def side(name: str, seed: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A row of the second table."""
    start = imagenet(folder)
    share, before = 1.0, {}
    path = args.output or RESULTS / 'losses.json'
    if name == 'heatmaps+RLE':
        share = 0.5
        config = written(SIDES[name], start, folder / 'heatmaps.py')
        epochs = earlier(path, name, args.minutes, 'heatmap_epochs')
        before = {'heatmap_epochs': on_lsp(config, seed, args, folder, share, epochs)['epochs']}
        start = folder / 'heatmaps.pth'
    change = SIDES['RLE'] if share < 1 else SIDES[name]
    config = written(change, start, folder / 'side.py')
    epochs = earlier(path, name, args.minutes)
    return on_lsp(config, seed, args, folder, share, epochs) | before


def imagenet(folder: Path) -> Path:
    """MobileNetV2 0.5x from ImageNet."""
    target = folder / 'mobilenetv2-050_imagenet_backbone.pth'
    rlepose('convert', 'mmpose-clean', BACKBONE, target, '--backbone')
    return target


def beside(report: Path, target: Path) -> None:
    """Both plots of a report as one picture, as docs/images/calibration.png is."""
    plots = [cv2.imread(str(report / f'{n}.png')) for n in ('reliability', 'sparsification')]
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), np.hstack(plots))


def add(path: Path, row: dict[str, Any]) -> None:
    """Write a row beside the others; one of the same name, seed and minutes is replaced."""
    rows = [other for other in rows_of(path) if key(other) != key(row)] + [row]
    seeds = sorted({row['seed'] for row in rows})
    record(
        path,
        sorted(rows, key=lambda row: (ROWS.index(row['name']), row['seed'])),
        code=CODE,
        repeats=len(seeds),
        spread='[value, low, high] at 95 %, from resampling images; a row for each seed',
        seed=seeds,
        command=command_line((*WHICH_ROWS, '--checkpoint', '--plots')),
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    """What has been measured before."""
    return json.loads(path.read_text())['rows'] if path.exists() else []


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row is of."""
    return row['name'], row['seed'], row.get('minutes')


def main() -> None:
    """Train, calibrate, and write a row after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', choices=ROWS, nargs='+', default=ROWS)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--minutes', type=float, default=MINUTES, help='of two cores, on LSP')
    parser.add_argument(
        '--checkpoint',
        type=Path,
        help="trained before: of drawn the quickstart's, of lsp that of lsp_finetune.py --keep",
    )
    parser.add_argument('--plots', type=Path, help='folder for the two plots of each model')
    parser.add_argument('--again', action='store_true', help='also rows that are there already')
    parser.add_argument('--output', type=Path, help='one file for all rows')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='to try other settings')
    args = parser.parse_args()
    for seed in args.seeds:
        for name in args.only:
            row: dict[str, Any] = {'name': name, 'seed': seed}
            if name not in ('drawn', 'faces68'):
                row['minutes'] = args.minutes
            file = 'losses.json' if name in SIDES else 'calibration.json'
            output = args.output or RESULTS / file
            if not args.again and key(row) in map(key, rows_of(output)):
                continue
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                if name != 'drawn':
                    data = str(SHARED / 'data')
                    os.environ.update(RLEPOSE_DATA=data, RLEPOSE_WEIGHTS=place)
                make = {'drawn': drawn, 'lsp': lsp, 'faces68': faces68}.get(name)
                row |= side(name, seed, args, folder) if make is None else make(seed, args, folder)
                if args.plots is not None and 'calibration' in row:
                    beside(folder / 'report', args.plots / f'{name}-{seed}.png')
            add(output, row | origin(CODE))
            numbers = row.get('calibration', {}).get('calibrated', {})
            said = [f'{k} {v[0]:.3f}' for k, v in numbers.items()]
            said += [f'PCK@{k} {v:.3f}' for k, v in row.get('lsp_val_pck', {}).items()]
            print(f'{name}, seed {seed}: {", ".join(said)}', flush=True)


if __name__ == '__main__':
    main()
