"""Seconds from the shell to a written picture: ``rlepose demo``, and ``yolo pose predict`` beside.

    RLEPOSE_SHARED=../shared python benchmarks/first_picture.py

Every run is a process of its own, which starts Python, loads the models, reads the picture and
writes the drawn one. The candidates take turns, after one round that fills the caches of the disk.
Of the presets those are run whose weights are on this machine. YOLO is run where ``ultralytics``
is installed: with ``--yolo WEIGHTS``, else with yolo11n-pose of random weights, which finds
nobody but takes as long.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from _record import ROOT, ratios, record, result_path, summary

SHARED = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
PICTURE = SHARED / 'data/mmpose_samples/coco/000000000785.jpg'
PEER = 'yolo pose predict'
# What the script `yolo` of the package does.
YOLO = 'import sys; from ultralytics.cfg import entrypoint; sys.argv[0] = "yolo"; entrypoint()'
CODE = ('rlepose_ext',)


def presets() -> dict[str, list[str]]:
    """Options of ``rlepose demo`` whose weights are here."""
    from rlepose_ext.inference.choose import PRESETS, weights_of
    from rlepose_ext.zoo import weights

    def is_here(name: str | None) -> bool:
        file = None if name is None else weights_of(name)
        return name is None or (file is not None and weights.at_hand(file))

    found = {
        f'rlepose demo --preset {name}': ['--preset', name]
        for name, preset in PRESETS.items()
        if is_here(preset.detector) and is_here(preset.pose)
    }
    return {**found, 'rlepose demo': []}


def yolo_weights(given: str | None, folder: Path) -> str | None:
    """Weights for the peer; None where it is not installed."""
    if find_spec('ultralytics') is None:
        return None
    if given is not None:
        return given
    made = folder / 'yolo11n-pose.pt'
    code = f'from ultralytics import YOLO; YOLO("yolo11n-pose.yaml").save({str(made)!r})'
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)
    return str(made)


def run(command: list[str], folder: Path) -> float:
    """Seconds of a command that must write a picture into a folder of its own."""
    # A user's Python keeps bytecode; the round before the first that counts writes it.
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONDONTWRITEBYTECODE'}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        start = time.perf_counter()
        done = subprocess.run(command, cwd=out, env=env, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode or not [*Path(out).rglob(PICTURE.name)]:
            raise RuntimeError(f'{command} wrote no picture: {done.stdout}{done.stderr}')
    return seconds


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--yolo', metavar='WEIGHTS', help='of a pose model of ultralytics')
    parser.add_argument('--out', type=Path, help='default results/first_picture.MACHINE.json')
    args = parser.parse_args()
    if not PICTURE.is_file():
        parser.error(f'{PICTURE} is not there: set RLEPOSE_SHARED')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault('YOLO_CONFIG_DIR', name)
        demo = [sys.executable, '-m', 'rlepose_ext.cli.main', 'demo', str(PICTURE)]
        commands = {
            name: [*demo, *options, '--output-root', 'out'] for name, options in presets().items()
        }
        peer = yolo_weights(args.yolo, folder)
        if peer is not None:
            yolo = [sys.executable, '-c', YOLO, 'pose', 'predict', f'model={peer}']
            commands[PEER] = [*yolo, f'source={PICTURE}', 'project=out']
        names = list(commands)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(-1, args.repeats):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                value = run(commands[name], folder)
                if turn >= 0:
                    seconds[name].append(value)
    rows = []
    for name in names:
        rows.append({'name': name, 'seconds': summary(seconds[name])})
        if peer is not None and name != PEER:
            rows[-1]['times_yolo'] = summary(ratios(seconds, PEER, name))
        print(rows[-1], flush=True)
    more = {}
    if peer is not None:
        kind = Path(args.yolo).name if args.yolo else 'yolo11n-pose with random weights'
        more['peer'] = f'{PEER} of ultralytics {version("ultralytics")}, {kind}'
    record(
        args.out or result_path('first_picture'),
        rows,
        code=CODE,
        repeats=args.repeats,
        spread='quartiles of seconds and times_yolo',
        picture=PICTURE.name,
        **more,
    )


if __name__ == '__main__':
    main()
