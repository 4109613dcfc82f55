"""Run ``rlepose quickstart`` on its defaults and keep its summary as a result.

    python benchmarks/quickstart.py --out work_dirs/quickstart-bench

The folder must be new, so that the time for the drawing is in the total.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from _record import TRAINING, record, result_path

import rlepose_ext  # noqa: F401  (the compatibility layer comes first)
from rlepose_ext.quickstart import Quickstart, run_quickstart

CODE = (*TRAINING, 'rlepose_ext/quickstart', 'configs/quickstart')
PATHS = ('checkpoint', 'images')


def main() -> None:
    """Write ``results/quickstart.MACHINE.json``; status 1 if the AP is too low."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True)
    out = parser.parse_args().out
    if out.exists():
        parser.error(f'{out} exists already')
    good = run_quickstart(Quickstart(out=out))
    summary = json.loads((out / 'summary.json').read_text())
    row = {key: value for key, value in summary.items() if key not in PATHS}
    record(result_path('quickstart'), [row], code=CODE, seed=summary['seed'])
    sys.exit(0 if good else 1)


if __name__ == '__main__':
    main()
