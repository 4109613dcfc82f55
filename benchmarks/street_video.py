"""Frames of a street video a second by ``rlepose demo``: the default beside HOG, as it was before.

    python benchmarks/street_video.py    # five minutes; needs git and the weights of MoveNet

HOG, OpenCV's detector of pedestrians, was the default up to commit 9967afa, which is checked out
for it; MMPose_Clean's MobileNetV2 0.5x stands behind it. *exported* is the default's model as an
ONNX file. The sides take turns. A round is 120 frames: the seconds of a run over 180 frames less
those of one over 60, start and loading left out. Needs ``RLEPOSE_SHARED`` (default ``../shared``).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _record import ROOT, WHICH_ROWS, command_line, ratios, record, result_path, summary
from inference import SHARED
from inference_stages import write_street

BEFORE = '9967afa'
CONFIG = 'configs/rle/rle_mobilenetv2-050_1xb256-420e_aic-coco-192x192.py'
CHECKPOINT = SHARED / 'weights/mmpose_clean_rle_mbv2_0.50x_192x192_float.pth'
FRAMES = (60, 180)


def rlepose(tree: Path, *arguments: object) -> float:
    """Seconds of a command of a checkout, with the threads that it takes by itself."""
    env = {**os.environ, 'PYTHONPATH': str(tree)}
    env.pop('OMP_NUM_THREADS', None)
    command = [sys.executable, '-m', 'rlepose_ext.cli.main', *map(str, arguments)]
    start = time.perf_counter()
    subprocess.run(command, cwd=tree, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--output', type=Path, default=result_path('street_video'))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before, model, people = folder / 'before', folder / 'model.pth', folder / 'people.onnx'
        for command in (['clone', '-q', ROOT, before], ['-C', before, 'checkout', '-q', BEFORE]):
            subprocess.run(['git', *command], check=True)
        rlepose(ROOT, 'convert', 'mmpose-clean', CHECKPOINT, model)
        rlepose(ROOT, 'export', 'movenet-multipose', '--out', people)
        videos = [write_street(folder, n).rename(folder / f'{n}.mp4') for n in FRAMES]
        sides = {
            'HOG': (before, '--det', 'hog', '--pose', CONFIG, model),
            'default': (ROOT,),
            'exported': (ROOT, '--pose', people),
        }
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        starts: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(args.rounds):
            for side, (tree, *options) in sides.items():
                out = ('--output-root', folder / side, '--quiet')
                short, long = (rlepose(tree, 'demo', v, *out, *options) for v in videos)
                seconds[side].append((long - short) / (FRAMES[1] - FRAMES[0]))
                starts[side].append(short)
    rows = [
        {
            'side': side,
            'frames_per_second': round(1 / summary(values)['median'], 1),
            'frames_per_second_range': [round(1 / f(values), 1) for f in (max, min)],
            'times_hog': summary(ratios(seconds, 'HOG', side), 3),
            'seconds_of_60_frames': round(summary(starts[side])['median'], 1),
        }
        for side, values in seconds.items()
    ]
    for row in rows:
        print(row, flush=True)
    record(
        args.output,
        rows,
        code=('rlepose_ext/inference', 'rlepose_ext/models', 'rlepose_ext/export'),
        repeats=args.rounds,
        spread='range of the rounds; quartiles of times_hog',
        peer=f'HOG at commit {BEFORE}',
        command=command_line(WHICH_ROWS),
    )


if __name__ == '__main__':
    main()
