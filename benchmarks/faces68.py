"""Three heads on the same faces: SKPS, plain heatmaps and RLE, with the same budget.

    python benchmarks/faces68.py                                   # all heads, seeds 0 and 1
    python benchmarks/faces68.py --only SKPS RLE --seeds 2
    python benchmarks/faces68.py --epochs 1 --output trial.json    # to try it

Each is one ``rlepose train`` of its config in ``configs/skps``: MobileNetV2 0.5x from ImageNet,
128x128, 20 epochs of the 2,040 faces. The error is that of the last epoch on the 432 faces of
other persons, in units of the distance between the outer eye corners; the best epoch is not
picked. *heatmap, unbiased* trains and decodes plain heatmaps as DARK does (labels drawn around
the unrounded landmark, the peak moved by a Newton step): what can be had without offset maps.
Needs ``RLEPOSE_SHARED`` (default ``../shared``).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _record import RESULTS, ROOT, TRAINING, WHICH_ROWS, command_line, origin, record

SHARED = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
BACKBONE = SHARED / 'weights' / 'mmpose_clean_mbv2_0.50x_imagenet_backbone.pth'
EPOCHS = 20
CODE = (*TRAINING, 'configs/skps')

HEATMAP = 'configs/skps/td-hm_mobilenetv2-050_1xb64_faces68-128x128.py'
# name -> (config, overrides). GenerateTarget is step 5 of the pipeline.
SIDES = {
    'SKPS': ('configs/skps/td-hm_mobilenetv2-050_skps-1xb64_faces68-128x128.py', []),
    'heatmap': (HEATMAP, []),
    'heatmap, unbiased': (
        HEATMAP,
        [
            'train_dataloader.dataset.pipeline.5.encoder.unbiased=True',
            'model.head.decoder.unbiased=True',
        ],
    ),
    'RLE': ('configs/skps/rle_mobilenetv2-050_1xb64_faces68-128x128.py', []),
}


def rlepose(*arguments: Any, **env: str) -> float:
    """Run the command line of this checkout, quietly; its output appears if it fails.

    Returns:
        Seconds it took.
    """
    command = [sys.executable, '-m', 'rlepose_ext.cli.main', *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f'{" ".join(command)}\n{(done.stdout + done.stderr)[-3000:]}')
    return time.perf_counter() - start


def train(
    name: str, seed: int, epochs: int, folder: Path, *overrides: str, keep: Path | None = None
) -> dict[str, Any]:
    """One training: held-out error at its end, and what it took.

    Args:
        name: key of ``SIDES``.
        seed: of the weights and of the order of images.
        epochs: length of the training and of its learning rate's fall.
        folder: has the converted backbone; work folders are made in it.
        *overrides: further ``--cfg-options``.
        keep: where the last checkpoint goes.
    """
    config, options = SIDES[name]
    work_dir = Path(tempfile.mkdtemp(dir=folder))
    seconds = rlepose(
        'train',
        config,
        '--work-dir',
        work_dir,
        '--cfg-options',
        f'randomness.seed={seed}',
        f'train_cfg.max_epochs={epochs}',
        f'param_scheduler.1.end={epochs}',
        f'param_scheduler.1.T_max={epochs}',
        *options,
        *overrides,
        RLEPOSE_DATA=str(SHARED / 'data'),
        RLEPOSE_WEIGHTS=str(folder),
    )
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    log = [json.loads(line) for line in scalars.read_text().splitlines()]
    curve = {row['step']: round(row['NME'], 5) for row in log if 'NME' in row}
    if epochs not in curve:
        sys.exit(f'{config}: no NME of epoch {epochs} in the log, only of {list(curve)}')
    if keep is not None:
        shutil.copy(work_dir / f'epoch_{epochs}.pth', keep)
    return {
        'name': name,
        'seed': seed,
        'epochs': epochs,
        'parameters': parameters(config),
        'nme': curve[epochs],
        'nme_by_epoch': curve,
        'train_seconds': round(seconds),
        **origin(CODE),
    }


def parameters(config: str) -> int:
    """Parameters that inference uses."""
    # First: it makes the imports of OpenMMLab below work.
    from rlepose_ext.models.count import count_parameters  # isort: skip
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    init_default_scope('mmpose')
    return count_parameters(MODELS.build(Config.fromfile(ROOT / config).model))


def add(path: Path, row: dict[str, Any], **extra: Any) -> None:
    """Write ``row`` beside those of other heads and seeds; one of the same is replaced."""
    rows = json.loads(path.read_text())['rows'] if path.exists() else []
    key = ('name', 'seed', 'epochs')
    rows = [other for other in rows if any(other[k] != row[k] for k in key)]
    order = {name: number for number, name in enumerate(SIDES)}
    rows.append(row)
    seeds = sorted({row['seed'] for row in rows})
    record(
        path,
        sorted(rows, key=lambda row: (order[row['name']], row['seed'])),
        code=CODE,
        repeats=len(seeds),
        spread='a row for each seed' if len(seeds) > 1 else None,
        seed=seeds,
        command=command_line(WHICH_ROWS),
        **extra,
    )


def main() -> None:
    """Train, and write a row after each training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', choices=list(SIDES), nargs='+', default=list(SIDES))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--epochs', type=int, default=EPOCHS)
    parser.add_argument('--output', type=Path, default=RESULTS / 'faces68.json')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='to try other settings')
    args = parser.parse_args()
    if not BACKBONE.exists():
        sys.exit(f'{BACKBONE} does not exist; set RLEPOSE_SHARED to the folder of shared data')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = folder / 'mobilenetv2-050_imagenet_backbone.pth'
        rlepose('convert', 'mmpose-clean', BACKBONE, target, '--backbone')
        for seed in args.seeds:
            for side in args.only:
                row = train(side, seed, args.epochs, folder, *args.cfg_options)
                # Read again in between: another process may have added a row meanwhile.
                add(args.output, row, epochs=args.epochs, images={'train': 2040, 'val': 432})
                print(
                    f'{side}, seed {seed}: NME {row["nme"]:.4f}, {row["train_seconds"]} s',
                    flush=True,
                )


if __name__ == '__main__':
    main()
