"""Training on the CPU, stock against ours: images a second, and the accuracy it ends at.

    python benchmarks/cpu_training.py                      # speed, about 10 minutes
    python benchmarks/cpu_training.py --accuracy           # 20 epochs, seeds 0 and 1, both ways
    python benchmarks/cpu_training.py --accuracy --only ours --seeds 0

Both sides run the same config (LSP, MobileNetV2 0.5x, 192x192, batch 64) through
MMPose's ``tools/train.py``. *Stock* takes MMPose's RLEHead and RLELoss, and neither
the memory setting nor NHWC. Needs ``RLEPOSE_SHARED`` (default ``../shared``).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _record import (
    RESULTS,
    TRAINING,
    WHICH_ROWS,
    command_line,
    origin,
    ratios,
    record,
    result_path,
)

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
CONFIG = 'configs/rle/rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py'
BACKBONE = 'mmpose_clean_mbv2_0.50x_udp_coco_aic_backbone.pth'
BATCH = 64
CODE = (*TRAINING, CONFIG, 'configs/rle/_base_/rle_lsp-192x192.py')

STOCK_MODULES = ['model.head.type=RLEHead', 'model.head.loss.type=RLELoss']
# name -> (RLEPOSE_CPU_SPEED, config overrides). The last row says what memory alone brings.
SPEED_SIDES = {
    'stock': ('0', STOCK_MODULES),
    'ours': ('1', []),
    'stock + memory kept': ('memory', STOCK_MODULES),
}
# The memory setting cannot change a value: it saves half of stock's time here. The last side
# has stock's modules in our layout, for those who cannot wait for stock.
ACCURACY_SIDES = {
    'stock': ('memory', STOCK_MODULES),
    'ours': ('1', []),
    'stock modules, NHWC': ('1', STOCK_MODULES),
}


def weights_folder(folder: Path) -> Path:
    """The converted backbone that the config starts from, made in ``folder``."""
    target = folder / 'mobilenetv2-050_udp_aic-coco_backbone.pth'
    if not target.exists():
        rlepose('convert', 'mmpose-clean', SHARED / 'weights' / BACKBONE, target, '--backbone')
    return folder


def rlepose(*arguments, **env) -> float:
    """Run the command line of this checkout, quietly; its output appears if it fails.

    Returns:
        Peak resident memory of the process, GB.
    """
    command = [sys.executable, '-m', 'rlepose_ext.cli.main', *map(str, arguments)]
    with tempfile.TemporaryFile('w+') as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdout=output, stderr=output
        )
        # wait4 instead of wait: it also tells what this one process used.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f'{" ".join(command)}\n{output.read()[-3000:]}')
    return usage.ru_maxrss / 1e6


def train(
    side: tuple[str, list[str]], folder: Path, seed: int, *overrides: str
) -> tuple[list[dict], float]:
    """One training; the records of its ``scalars.json``, and its peak memory in GB."""
    speed, modules = side
    work_dir = Path(tempfile.mkdtemp(dir=folder))
    memory = rlepose(
        'train',
        CONFIG,
        '--work-dir',
        work_dir,
        '--cfg-options',
        f'randomness.seed={seed}',
        *modules,
        *overrides,
        RLEPOSE_CPU_SPEED=speed,
        RLEPOSE_DATA=str(SHARED / 'data'),
        RLEPOSE_WEIGHTS=str(folder),
    )
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in scalars.read_text().splitlines()], memory


def one_speed_run(
    side: tuple[str, list[str]], folder: Path, iterations: int
) -> tuple[float, float]:
    """Median seconds per iteration, data included, the first three left out; peak GB."""
    log, memory = train(
        side,
        folder,
        0,
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=10',
        f'train_dataloader.dataset.indices={BATCH * (iterations + 3)}',
        'default_hooks.logger.interval=1',
        'log_processor.window_size=1',
        'default_hooks.checkpoint.interval=10',
    )
    return statistics.median([row['time'] for row in log if 'time' in row][3:]), memory


def measure_speed(folder: Path, repeats: int, iterations: int) -> None:
    """Sides take turns, so that a machine that drifts is fair to both."""
    seconds = {name: [] for name in SPEED_SIDES}
    memory = {name: [] for name in SPEED_SIDES}
    for repeat in range(repeats):
        for name, side in SPEED_SIDES.items():
            time, peak = one_speed_run(side, folder, iterations)
            seconds[name].append(time)
            memory[name].append(peak)
            print(f'repeat {repeat} {name}: {BATCH / time:.1f} images/s, {peak:.1f} GB', flush=True)
    stock = statistics.median(seconds['stock'])
    rows = [
        {
            'name': name,
            'images_per_second': round(BATCH / statistics.median(values), 1),
            'seconds_per_iteration': [round(value, 4) for value in values],
            'ratio_to_stock': round(stock / statistics.median(values), 2),
            'ratio_range': [round(f(ratios(seconds, 'stock', name)), 2) for f in (min, max)],
            'peak_memory_gb': round(statistics.median(memory[name]), 1),
        }
        for name, values in seconds.items()
    ]
    record(
        result_path('cpu_training'),
        rows,
        code=CODE,
        repeats=repeats,
        spread='ratio_range, lowest and highest round',
        seed=0,
        batch=BATCH,
        iterations=iterations,
    )


def measure_accuracy(folder: Path, sides: list[str], seeds: list[int]) -> None:
    """20 epochs on lsp_train, PCK on lsp_val at the end; rows are added as they come."""
    path = RESULTS / 'cpu_training_accuracy.json'
    for seed in seeds:
        for name in sides:
            log, _ = train(ACCURACY_SIDES[name], folder, seed)
            final = [row for row in log if 'PCK@0.2/PCK' in row][-1]
            pck = {thr: round(final[f'PCK@{thr}/PCK'], 4) for thr in ('0.2', '0.1', '0.05')}
            # Read again: another process may have added the other side meanwhile.
            rows = json.loads(path.read_text())['rows'] if path.exists() else []
            rows = [row for row in rows if (row['name'], row['seed']) != (name, seed)]
            row = {'name': name, 'seed': seed, 'epochs': 20, 'lsp_val_pck': pck}
            rows.append({**row, **origin(CODE)})
            record(
                path,
                sorted(rows, key=lambda row: (row['name'], row['seed'])),
                code=CODE,
                repeats=len({row['seed'] for row in rows}),
                spread='a row for each seed',
                seed=sorted({row['seed'] for row in rows}),
                command=command_line(WHICH_ROWS),
            )
            print(f'{name}, seed {seed}: {pck}', flush=True)


def main() -> None:
    """Measure one of the two and write its JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--accuracy', action='store_true')
    parser.add_argument('--only', choices=list(ACCURACY_SIDES))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--iterations', type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = weights_folder(Path(name))
        if args.accuracy:
            sides = [args.only] if args.only else ['stock', 'ours']
            measure_accuracy(folder, sides, args.seeds)
        else:
            measure_speed(folder, args.repeats, args.iterations)


if __name__ == '__main__':
    main()
