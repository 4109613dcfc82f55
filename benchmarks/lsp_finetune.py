"""Fine-tuning on LSP in the same minutes: MoveNet Lightning's backbone beside MMPose_Clean's.

    python benchmarks/lsp_finetune.py      # all sides, 27 minutes each, seeds 0 and 1
    python benchmarks/lsp_finetune.py --only clean movenet --seeds 2
    python benchmarks/lsp_finetune.py --minutes 1 --output trial.json    # to try it
    python benchmarks/lsp_finetune.py --keep FOLDER    # the checkpoints too

| side | what |
|---|---|
| clean | RLE on MMPose_Clean's MobileNetV2 0.5x, the LSP config of configs/rle |
| movenet-plain | the same recipe on MoveNet Lightning's backbone, its 1280 averages |
| movenet | the config of configs/rle: pyramid features too, half the rate for the backbone, EMA |
| movenet-maps | MoveNet itself, its heads for 14 joints: the LSP config of configs/movenet |

The minutes are those of two cores, counted as CPU time of one thread and its loader, so that other
work on the machine takes none of them, and two sides can run beside each other. Every side runs for
a whole number of epochs, as many as fit into the minutes by the time of one epoch that is measured
first; the fall of the rate is as long. A further seed has as many as the first one had, whatever
its machine makes of them. PCK is that of the last epoch on lsp_val, with flip test;
the best epoch is not picked. Stock MMEngine and MMPose need 27 minutes on two cores for the 20
epochs of the first side. Needs ``RLEPOSE_SHARED`` (default ``../shared``) and
Google's weights (`rlepose weights movenet-lightning`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _record import RESULTS, ROOT, TRAINING, WHICH_ROWS, command_line, origin, record
from faces68 import parameters, rlepose

SHARED = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
BACKBONE = SHARED / 'weights' / 'mmpose_clean_mbv2_0.50x_udp_coco_aic_backbone.pth'
RESULT = RESULTS / 'lsp_finetune.json'
MINUTES, CORES = 27, 2
THRESHOLDS = ('0.2', '0.1', '0.05')
CODE = (*TRAINING, 'configs/rle', 'configs/movenet')
MOVENET = 'configs/rle/rle_movenet-lightning_1xb64-20e_lsp-192x192.py'


def plain(config: Any) -> None:
    """MoveNet's backbone with the recipe of the first side."""
    config.model.backbone.out_indices = (7,)
    config.model.neck = {'type': 'GlobalAveragePooling'}
    config.model.head.in_channels = 1280
    config.optim_wrapper.pop('paramwise_cfg')
    config.custom_hooks = [hook for hook in config.custom_hooks if hook['type'] != 'EMAHook']


SIDES: dict[str, tuple[str, Callable[[Any], None] | None]] = {
    'clean': ('configs/rle/rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py', None),
    'movenet-plain': (MOVENET, plain),
    'movenet': (MOVENET, None),
    'movenet-maps': ('configs/movenet/movenet_lightning_1xb64-20e_lsp-192x192.py', None),
}


def resolved(name: str, folder: Path) -> Path:
    """The side's config as one file; data and weights are those of the environment."""
    import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

    # isort: split
    from mmengine.config import Config

    path, change = SIDES[name]
    config = Config.fromfile(ROOT / path)
    if change is not None:
        change(config)
    target = folder / f'{name}.py'
    config.dump(target)
    return target


def train(
    config: Path, seed: int, epochs: int, folder: Path, *overrides: str, keep: Path | None = None
) -> dict[str, Any]:
    """One training: PCK at its end, and what it took.

    Args:
        config: of :func:`resolved`.
        seed: of the weights and of the order of images.
        epochs: length of the training and of its learning rate's fall.
        folder: work folders are made in it.
        *overrides: further ``--cfg-options``.
        keep: where the last checkpoint goes.
    """
    work_dir = Path(tempfile.mkdtemp(dir=folder))
    before = cpu_seconds()
    rlepose(
        'train',
        config,
        '--work-dir',
        work_dir,
        '--cfg-options',
        f'randomness.seed={seed}',
        f'train_cfg.max_epochs={epochs}',
        f'train_cfg.val_interval={epochs}',
        f'param_scheduler.1.end={epochs}',
        f'param_scheduler.1.T_max={epochs}',
        f'default_hooks.checkpoint.interval={epochs}',
        *overrides,
        OMP_NUM_THREADS='1',
    )
    seconds = cpu_seconds() - before
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    log = [json.loads(line) for line in scalars.read_text().splitlines()]
    names = {limit: f'PCK@{limit}/PCK' for limit in THRESHOLDS}
    (last,) = [row for row in log if names['0.2'] in row and row['step'] == epochs]
    pck = {limit: round(last[name], 4) for limit, name in names.items()}
    if keep is not None:
        shutil.copy(work_dir / f'epoch_{epochs}.pth', keep)
    shutil.rmtree(work_dir)
    return {'epochs': epochs, 'lsp_val_pck': pck, 'cpu_seconds': round(seconds)}


def cpu_seconds() -> float:
    """Of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def epochs_in(minutes: float, config: Path, folder: Path, *overrides: str) -> int:
    """How many epochs fit into the minutes of two cores, by the time of one; at least 1."""
    one, two = (train(config, 0, epochs, folder, *overrides)['cpu_seconds'] for epochs in (1, 2))
    # what the second epoch has added, validation and start left out
    return max(int((60 * CORES * minutes - (2 * one - two)) / max(two - one, 1)), 1)


def main() -> None:
    """Measure an epoch of each side, train, and write a row after each training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', choices=list(SIDES), nargs='+', default=list(SIDES))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--minutes', type=float, default=MINUTES)
    parser.add_argument('--output', type=Path, default=RESULT)
    parser.add_argument('--cfg-options', nargs='+', default=[], help='to try other settings')
    parser.add_argument('--keep', type=Path, help='folder for the last checkpoints')
    args = parser.parse_args()
    if args.keep is not None:
        args.keep.mkdir(parents=True, exist_ok=True)
    if not BACKBONE.exists():
        sys.exit(f'{BACKBONE} does not exist; set RLEPOSE_SHARED to the folder of shared data')
    from rlepose_ext.zoo.weights import fetch

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(RLEPOSE_DATA=str(SHARED / 'data'), RLEPOSE_WEIGHTS=str(folder))
        target = folder / 'mobilenetv2-050_udp_aic-coco_backbone.pth'
        rlepose('convert', 'mmpose-clean', BACKBONE, target, '--backbone')
        shutil.copy(fetch('movenet-lightning'), folder)
        for side in args.only:
            config = resolved(side, folder)
            for seed in args.seeds:
                epochs = earlier(args.output, side, args.minutes)
                if epochs is None:
                    epochs = epochs_in(args.minutes, config, folder, *args.cfg_options)
                row = {'name': side, 'seed': seed, 'minutes': args.minutes}
                keep = args.keep and args.keep / f'{side}-seed{seed}.pth'
                row |= train(config, seed, epochs, folder, *args.cfg_options, keep=keep)
                row |= {'parameters': parameters(str(config)), **origin(CODE)}
                add(args.output, row)
                pck = ' / '.join(f'{value:.3f}' for value in row['lsp_val_pck'].values())
                print(f'{side}, seed {seed}: {epochs} epochs, PCK {pck}', flush=True)


def earlier(path: Path, side: str, minutes: float, what: str = 'epochs') -> int | None:
    """Epochs of another seed's row, None if there is none."""
    rows = json.loads(path.read_text())['rows'] if path.exists() else []
    found = {row.get(what) for row in rows if (row['name'], row['minutes']) == (side, minutes)}
    return found.pop() if found else None


def add(path: Path, row: dict[str, Any]) -> None:
    """Write a row beside those of other sides, seeds and minutes; one of the same is replaced."""
    rows = json.loads(path.read_text())['rows'] if path.exists() else []
    key = ('name', 'seed', 'minutes')
    rows = [*(other for other in rows if any(other[k] != row[k] for k in key)), row]
    order = list(SIDES)
    seeds = sorted({row['seed'] for row in rows})
    record(
        path,
        sorted(rows, key=lambda row: (order.index(row['name']), row['seed'])),
        code=CODE,
        repeats=len(seeds),
        spread='a row for each seed' if len(seeds) > 1 else None,
        seed=seeds,
        command=command_line(WHICH_ROWS),
    )


if __name__ == '__main__':
    main()
