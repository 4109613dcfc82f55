"""Every config of the zoo: built, counted, trained for two iterations, validated and tested.

    python benchmarks/matrix.py --real                     # make matrix: every config, full size
    python benchmarks/matrix.py --only dekr lip --jobs 2   # those whose name contains one of these
    python benchmarks/matrix.py --size small --only rtm    # at the size of the tests

Each config runs by MMEngine's Runner in a process of its own, on four pictures in the files that
its data set has, from random weights, in batches of two (see :mod:`_miniature`). Rows are added
to the file as they come. A row is made again if it failed or if its config has changed since.
The status is 1 if a config failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from pprint import pformat
from typing import Any

import yaml
from _miniature import SIZES, run, total_parameters, world_size  # first: imports rlepose_ext
from _record import RESULTS, ROOT
from _results import Results
from _small import CONFIGS, chosen

# isort: split
import torch
from _miniature_data import draw
from _miniature_real import copy_real
from mmengine.config import Config
from mmengine.registry import init_default_scope

RESULT = RESULTS / 'matrix.json'
CODE = (
    'rlepose_ext',
    'configs',
    *(f'benchmarks/{name}.py' for name in ('_miniature', '_miniature_data', '_miniature_real')),
)
SMALL_RESULT = ROOT / 'work_dirs' / 'matrix_small.json'
SHARED = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
# Variables that configs read.
PATHS = ('RLEPOSE_DATA', 'RLEPOSE_WEIGHTS', 'RLEPOSE_QUICKSTART_START')


def leaves() -> dict[str, Path]:
    """Name to path of every config that is no base, family by family."""
    paths = sorted(path for path in CONFIGS.glob('*/*.py') if path.parent.name != '_base_')
    return {path.stem: path for path in paths}


def listed_parameters(path: Path) -> int | None:
    """The total in the metafile beside a config; ``None`` if it is not listed there."""
    return _listed(path.with_name('metafile.yml')).get(path.stem)


@cache
def _listed(metafile: Path) -> dict[str, int]:
    models = yaml.safe_load(metafile.read_text())['Models'] if metafile.is_file() else []
    return {model['Name']: model['Metadata']['Parameters'] for model in models}


def digest(path: Path) -> str:
    """Changes when the resolved config says something else, in whichever files it says it."""
    # Where data and weights lie is no part of it.
    paths = {name: os.environ.pop(name) for name in PATHS if name in os.environ}
    try:
        content = pformat(Config.fromfile(path)._cfg_dict.to_dict())  # with sorted keys
    finally:
        os.environ.update(paths)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def check(path: Path, size: str = 'full', shared: Path | None = None) -> dict[str, Any]:
    """Everything about one config, in this process.

    Args:
        path: the config.
        size: ``'full'`` or ``'small'``.
        shared: the folder of real data; ``None`` draws all.

    Returns:
        A row: ``status`` (``ok`` or ``failed``), ``parameters``, what :func:`_miniature.run`
        has found, ``real`` (folders with real pictures), ``device`` and ``peak_gb``.
    """
    init_default_scope('mmpose')
    parameters, listed = total_parameters(path), listed_parameters(path)
    with tempfile.TemporaryDirectory() as folder:
        root, work_dir = Path(folder, 'data'), Path(folder, 'work')
        root.mkdir()
        os.environ['RLEPOSE_DATA'] = str(root)
        config = Config.fromfile(path)
        real = copy_real(config, root, shared) if shared else []
        draw(config, root, world_size())
        found = run(path, work_dir, size)
    if listed not in (None, parameters):
        found['problems'].append(f'{parameters:,} parameters, {listed:,} in metafile.yml')
    cuda = torch.cuda.is_available()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kB on Linux
    return {
        'status': 'failed' if found['problems'] else 'ok',
        'parameters': parameters,
        **found,
        'real': real,
        'device': torch.cuda.get_device_name() if cuda else 'cpu',
        'peak_gb': round((torch.cuda.max_memory_allocated() if cuda else peak) / 1e9, 2),
    }


def in_own_process(name: str, options: list[str], threads: int, limit: float) -> dict[str, Any]:
    """:func:`check` by ``--worker``; a row that says ``failed`` if the process did not end well."""
    env = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
    command = [sys.executable, __file__, '--worker', name, *options]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {'status': 'failed', 'problems': [f'not done after {limit:g} s']}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        said = next((line for line in reversed(lines) if 'Error' in line), ''.join(lines[-1:]))
        return {'status': 'failed', 'problems': [f'exit status {done.returncode}: {said[-600:]}']}
    return json.loads(done.stdout.strip().splitlines()[-1])


def line(row: Mapping[str, Any]) -> str:
    """``ok  name  12.3 s``, or why it failed."""
    said = '; '.join(row['problems']) or f'{row["seconds"]} s, {row["peak_gb"]} GB'
    return f'{row["status"]:<7}{row["name"]}: {said}'


def main() -> int:
    """Run what is missing; or, as ``--worker``, one config, its row on stdout."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', default=[], help='configs whose name contains it')
    parser.add_argument('--size', choices=SIZES, default='full')
    parser.add_argument(
        '--real', action='store_true', help='real pictures from RLEPOSE_SHARED where there are any'
    )
    parser.add_argument('--jobs', type=int, default=1, help='configs at once')
    parser.add_argument('--timeout', type=float, default=1800, help='seconds for one config')
    parser.add_argument('--again', action='store_true', help='run those that are in the file too')
    parser.add_argument('--out', type=Path, help=f'default {RESULT.relative_to(ROOT)}')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    args = parser.parse_args()
    paths = leaves()
    shared = SHARED if args.real else None
    if args.worker:
        if 'OMP_NUM_THREADS' in os.environ:
            torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
        print(json.dumps(check(paths[args.worker], args.size, shared)))
        return 0

    out = args.out or (RESULT if args.size == 'full' else SMALL_RESULT)
    results = Results(out, list(paths), {'size': args.size, 'real': args.real}, CODE, show=line)
    digests = {name: digest(path) for name, path in paths.items()}
    names = chosen(list(paths), args.only)
    results.drop(lambda row: row['name'] not in paths)
    results.drop(
        lambda row: (
            row['name'] in names
            and (args.again or row['status'] != 'ok' or row['digest'] != digests[row['name']])
        )
    )

    def one(name: str) -> None:
        options = ['--size', args.size, *(['--real'] if args.real else [])]
        row = in_own_process(name, options, max(cores // args.jobs, 1), args.timeout)
        place = {'config': str(paths[name].relative_to(ROOT)), 'digest': digests[name]}
        results.add({'name': name, **place, **row})

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(one, [name for name in names if not results.has(name)]))
    failed = [row['name'] for row in results.rows if row['status'] != 'ok']
    print(f'{len(results.rows) - len(failed)} of {len(paths)} configs run.', end=' ')
    print(f'Failed: {", ".join(failed) or "none"}.')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
