"""What 8 bit costs on LSP: a float model, its PTQ, and QAT from it.

    python benchmarks/lsp_finetune.py --only clean --keep models      # the float models
    python benchmarks/int8_lsp.py models/clean-seed0.pth --seed 0     # 25 minutes of a core

Rows are PCK on lsp_val, with flip test, and how true sigma is there before any calibration, by
``rlepose calibrate``: how often the 90 % ellipse holds the joint, and AUSE. ``core_minutes`` are
those of PTQ or QAT, without the float model's. Rows of other seeds are kept. Needs
``RLEPOSE_SHARED`` (default ``../shared``).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from _record import RESULTS, ROOT, TRAINING, command_line, origin, record
from calibration import LSP, calibrated
from faces68 import rlepose
from lsp_finetune import SHARED, THRESHOLDS, cpu_seconds

QAT = ROOT / 'configs/quant/rle-qat_mobilenetv2-050_1xb64-10e_lsp-192x192.py'
# config, options of its training
SIDES: dict[str, tuple[Path, tuple[str, ...] | None]] = {
    'float': (LSP, None),
    'ptq': (QAT, ('model.quant.stage=ptq', 'train_cfg.max_epochs=1')),
    'qat': (QAT, ()),
}
RESULT = RESULTS / 'int8_lsp.json'
CODE = (*TRAINING, 'rlepose_ext/quant', 'configs/rle', 'configs/quant')


def measured(name: str, float_model: Path, seed: int, folder: Path) -> dict[str, Any]:
    """The row of a side."""
    config, options = SIDES[name]
    checkpoint, minutes = folder / f'{name}.pth', None
    if options is None:
        shutil.copy(float_model, checkpoint)
    else:
        work_dir = folder / name
        start = (f'load_from={float_model}', 'model.backbone.init_cfg=None')
        given = (f'randomness.seed={seed}', *start, *options)
        before = cpu_seconds()
        rlepose('train', config, '--work-dir', work_dir, '--cfg-options', *given)
        minutes = round((cpu_seconds() - before) / 60, 1)
        last = (work_dir / 'last_checkpoint').read_text()
        shutil.copy(last, checkpoint)
    metrics = folder / f'{name}.json'
    rlepose('test', config, '-C', checkpoint, '--work-dir', folder / 'test', '--out', metrics)
    found = json.loads(metrics.read_text())
    pck = {limit: round(found[f'PCK@{limit}/PCK'], 4) for limit in THRESHOLDS}
    sigma = calibrated(config, checkpoint, folder)['calibration']['uncalibrated']
    kept = {measure: sigma[measure] for measure in ('coverage_90', 'ause')}
    return {'name': name, 'seed': seed, 'lsp_val_pck': pck, **kept, 'core_minutes': minutes}


def main() -> None:
    """One seed: three rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('float_model', type=Path, help='of lsp_finetune.py --only clean --keep')
    parser.add_argument('--seed', type=int, required=True, help='the float model is of this one')
    parser.add_argument('--output', type=Path, default=RESULT)
    args = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS='1', RLEPOSE_DATA=str(SHARED / 'data'))
    for name in SIDES:
        with tempfile.TemporaryDirectory() as folder:
            row = measured(name, args.float_model.resolve(), args.seed, Path(folder))
        print(row, flush=True)
        add(args.output, row | origin(CODE))


def add(path: Path, row: dict[str, Any]) -> None:
    """Write a row beside the others; one of the same side and seed is replaced."""
    rows = json.loads(path.read_text())['rows'] if path.exists() else []
    rows = [other for other in rows if (other['name'], other['seed']) != (row['name'], row['seed'])]
    rows = sorted([*rows, row], key=lambda row: (list(SIDES).index(row['name']), row['seed']))
    seeds = sorted({row['seed'] for row in rows})
    record(
        path,
        rows,
        code=CODE,
        repeats=len(seeds),
        spread='[value, low, high] at 95 %, from resampling images; a row for each seed',
        seed=seeds,
        command=command_line(('--seed', '--output')),
    )


if __name__ == '__main__':
    main()
