"""What bfloat16 on the CPU costs in accuracy, for the backbones that can train in it alone.

    python benchmarks/bfloat16.py       # where there is AVX512-BF16 or AMX

The training of family_budget.py (LSP, 64x64 crops, random weights, two seeds), with
RLEPOSE_CPU_SPEED=float32 and =bfloat16. Speed at the real size is what compiled.py measures. Rows
are added to the file as they come; those that are there are not run again.
Needs ``RLEPOSE_SHARED`` (default ``../shared``).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from _record import RESULTS, TRAINING
from _results import Results
from family_budget import BATCH, SHARED, SIZE, train  # first: imports rlepose_ext

# isort: split
from rlepose_ext.engine.cpu_speed import SWITCH, has_bfloat16
from rlepose_ext.errors import UserError

CONFIGS = {
    'rle_res50': 'rle/rle_res50_8xb64-210e_coco-256x192.py',
    'heatmap_hrnet-w32': 'hrnet/heatmap_hrnet-w32_8xb64-210e_coco-256x192.py',
}
PRECISIONS = {'float32': 'float32', 'bfloat16': 'bfloat16'}
STEPS = 400
CODE = (*TRAINING, 'benchmarks/family_budget.py', 'benchmarks/_small.py')


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', choices=list(CONFIGS), default=list(CONFIGS))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--steps', type=int, default=STEPS)
    parser.add_argument('--out', type=Path, default=RESULTS / 'bfloat16.json')
    args = parser.parse_args()
    if not has_bfloat16():
        raise UserError('This processor has no bfloat16: nothing would differ.')
    os.environ['RLEPOSE_DATA'] = str(SHARED / 'data')
    results = Results(
        args.out,
        [f'{model}, {precision}' for model in CONFIGS for precision in PRECISIONS],
        {'size': SIZE, 'batch': BATCH, 'steps': args.steps},
        CODE,
        seed=args.seeds,
        repeats=len(args.seeds),
        spread='a row for each seed',
    )
    for seed in args.seeds:
        for model in args.only:
            for precision, switch in PRECISIONS.items():
                name = f'{model}, {precision}'
                if not results.has(name, seed):
                    os.environ[SWITCH] = switch
                    results.add(
                        {'name': name, 'seed': seed, **train(CONFIGS[model], seed, args.steps)}
                    )


if __name__ == '__main__':
    main()
