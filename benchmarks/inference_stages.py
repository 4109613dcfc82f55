"""Where the time of the demo goes: seconds of each stage of a whole run over a video.

    RLEPOSE_SHARED=../shared python benchmarks/inference_stages.py

The engine of ``rlepose demo`` reads a video of drawn people, finds them, estimates their poses,
tracks and draws them, and writes the drawn video. Boxes come from a file, as the pose model's
share is the question; one row has OpenCV's pedestrian detector. Decoding, and drawing with
encoding, run in threads of their own beside the network, so the stages may add up to more than
the run took; on two cores they take from the network what they need. *network* has what makes
its input from crops and reads its output.

Models, weights, frame size and seed are those of :file:`inference.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from _record import record, result_path
from inference import CODE, MODELS, SEED, SIZE, frames_and_boxes, make_checkpoint

FPS = 25.0
DIFFERENT = 8


def write_video(folder: Path, persons: int, frames: int) -> tuple[Path, Path]:
    """A video of a few drawn scenes in turn, and the file of its boxes."""
    import cv2

    scenes, boxes = frames_and_boxes(persons, DIFFERENT)
    clip, table = folder / f'{persons}.mp4', folder / f'{persons}.json'
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*'mp4v'), FPS, SIZE)
    for number in range(frames):
        writer.write(scenes[number % DIFFERENT])
    writer.release()
    content = {f'{clip.name}:{n}': boxes[n % DIFFERENT].tolist() for n in range(frames)}
    table.write_text(json.dumps(content))
    return clip, table


def measure(
    name: str, persons: int, detector_name: str, frames: int, rounds: int, folder: Path
) -> dict[str, Any]:
    """Median milliseconds a frame of a run and of its stages."""
    from rlepose_ext.inference.box_file import BoxFile
    from rlepose_ext.inference.detectors import HogDetector
    from rlepose_ext.inference.engine import Engine, Options
    from rlepose_ext.inference.estimator import PoseEstimator
    from rlepose_ext.inference.sources import Source
    from rlepose_ext.zoo.counting import load_config

    checkpoint = folder / f'{list(MODELS).index(name)}.pth'
    if not checkpoint.exists():
        make_checkpoint(MODELS[name], checkpoint)
    clip, table = write_video(folder, persons, frames)
    estimator = PoseEstimator(load_config(MODELS[name]), checkpoint, device='cpu')
    detector = HogDetector() if detector_name == 'hog' else BoxFile(table)
    totals: list[float] = []
    stages: dict[str, list[float]] = {}
    for turn in range(-1, rounds):
        engine = Engine(detector, estimator, Options(output_root=folder / 'out', tracking='iou'))
        start = time.perf_counter()
        engine.run(Source('video', clip))
        if turn >= 0:
            totals.append(time.perf_counter() - start)
            for stage, seconds in engine.clock.seconds.items():
                stages.setdefault(stage, []).append(seconds)

    def per_frame(values: list[float]) -> float:
        return round(1000 * statistics.median(values) / frames, 2)

    return {
        'model': name,
        'persons': persons,
        'detector': detector_name,
        'frames_per_second': round(frames / statistics.median(totals), 1),
        'frames_per_second_range': [round(frames / f(totals), 1) for f in (max, min)],
        'total_ms': per_frame(totals),
        'stages_ms': {stage: per_frame(values) for stage, values in stages.items()},
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', default='', help='models whose name contains this')
    parser.add_argument('--frames', type=int, default=48)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--out', type=Path, help='default results/inference_stages.MACHINE.json')
    args = parser.parse_args()

    import rlepose_ext  # noqa: F401  isort: skip

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name in MODELS if args.only in name]:
            runs = [(1, 'boxes'), (8, 'boxes')] + [(1, 'hog')] * ('RLE' in name)
            for persons, detector in runs:
                rows.append(
                    measure(name, persons, detector, args.frames, args.rounds, Path(folder))
                )
                print(rows[-1], flush=True)
    record(
        args.out or result_path('inference_stages'),
        rows,
        code=CODE,
        repeats=args.rounds,
        spread='frames_per_second_range, lowest and highest',
        seed=SEED,
        frames=args.frames,
        size=list(SIZE),
    )


if __name__ == '__main__':
    main()
