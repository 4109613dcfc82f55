"""Where the time of the demo goes: seconds of each stage of a whole run over a video.

    RLEPOSE_SHARED=../shared python benchmarks/inference_stages.py

The engine of ``rlepose demo`` reads a video, finds people, estimates their poses, tracks and draws
them, and writes the drawn video. In videos of drawn people boxes come from a file, as the pose
model's share is the question. In a video of a street, that of MMPose's tests played to and fro,
MoveNet MultiPose finds them, by torch and by onnxruntime, with and without a pose model behind it,
and with a detection in every third frame only. Decoding, networks, and drawing with encoding run in
threads of their own, so the stages add up to more than the run took. *network* has what makes its
input from crops and reads its output.

Models, weights, frame size and seed are those of :file:`inference.py`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from _record import record, result_path
from inference import CODE, MODELS, SEED, SHARED, SIZE, frames_and_boxes, make_checkpoint

STREET = SHARED / 'data/mmpose_samples/videos/demo.mp4'
MOVENET, THUNDER = 'MoveNet MultiPose', 'MoveNet Thunder'
EXPORTED = 'MoveNet MultiPose, exported'
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


def write_street(folder: Path, frames: int) -> Path:
    """The street's few frames forwards and backwards, again and again."""
    import cv2

    reader, scenes = cv2.VideoCapture(str(STREET)), []
    while (found := reader.read())[0]:
        scenes.append(found[1])
    scenes += scenes[-2:0:-1]
    height, width = scenes[0].shape[:2]
    clip = folder / 'street.mp4'
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*'mp4v'), FPS, (width, height))
    for number in range(frames):
        writer.write(scenes[number % len(scenes)])
    writer.release()
    return clip


def measure(predictor: Any, clip: Path, rounds: int, interval: int = 1) -> dict[str, Any]:
    """Median milliseconds a frame of a run and of its stages."""
    from rlepose_ext.inference.engine import Engine, Options
    from rlepose_ext.inference.sources import Source

    totals: list[float] = []
    stages: dict[str, list[float]] = {}
    options = Options(output_root=clip.parent / 'out', tracking='iou', det_interval=interval)
    for turn in range(-1, rounds):
        engine = Engine(predictor, options)
        start = time.perf_counter()
        frames = engine.run(Source('video', clip))
        if turn >= 0:
            totals.append(time.perf_counter() - start)
            for stage, seconds in engine.clock.seconds.items():
                stages.setdefault(stage, []).append(seconds)

    def per_frame(values: list[float]) -> float:
        return round(1000 * statistics.median(values) / frames, 2)

    return {
        'persons_a_frame': round(engine.poses / frames, 1),
        'frames_per_second': round(frames / statistics.median(totals), 1),
        'frames_per_second_range': [round(frames / f(totals), 1) for f in (max, min)],
        'total_ms': per_frame(totals),
        'stages_ms': {stage: per_frame(values) for stage, values in stages.items()},
    }


def drawn_rows(name: str, frames: int, rounds: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of a top-down model on videos of drawn people, in boxes that are known."""
    from rlepose_ext.inference.box_file import BoxFile
    from rlepose_ext.inference.estimator import PoseEstimator
    from rlepose_ext.inference.predictors import TopDown
    from rlepose_ext.zoo.counting import load_config

    checkpoint = folder / 'model.pth'
    make_checkpoint(MODELS[name], checkpoint)
    estimator = PoseEstimator(load_config(MODELS[name]), checkpoint, device='cpu')
    for persons in (1, 8):
        clip, table = write_video(folder, persons, frames)
        row = {'model': name, 'persons': persons, 'detector': 'boxes'}
        yield row | measure(TopDown(BoxFile(table), estimator), clip, rounds)


def street_rows(only: str, frames: int, rounds: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of MoveNet on the street; none where the video or the weights are not here."""
    from rlepose_ext.export.onnx import export_onnx
    from rlepose_ext.inference.choose import choose
    from rlepose_ext.inference.engine import Engine, Options
    from rlepose_ext.inference.sources import Source
    from rlepose_ext.zoo import files, weights

    names = ('movenet-multipose', 'movenet-thunder')
    if not STREET.is_file() or not all(weights.at_hand(files.file_named(n)) for n in names):
        print(f'no rows of MoveNet: {STREET} or the weights {", ".join(names)} are not here')
        return
    clip = write_street(folder, frames)
    every_frame: list[Any] = []
    runs = ((MOVENET, None, 1), (EXPORTED, None, 1), (THUNDER, MOVENET, 1), (THUNDER, MOVENET, 3))
    for model, detector, interval in runs:
        if only not in model:
            continue
        named = None if detector is None else [names[0]]
        pose = [names[1] if detector else names[0]]
        if model == EXPORTED:
            pose = [str(export_onnx(names[0], None, folder / 'people.onnx').path)]
        predictor = choose(named, pose, device='cpu').predictor
        row = {'model': model, 'persons': 'street', 'detector': detector or 'the same'}
        row |= {'det_interval': interval, **measure(predictor, clip, rounds, interval)}
        found = [*Engine(predictor, Options(det_interval=interval)).stream(Source('video', clip))]
        if interval == 1:
            every_frame = found
        else:
            row['oks_to_interval_1'] = round(likeness(every_frame, found), 3)
        yield row


def likeness(expected: Sequence[Any], found: Sequence[Any]) -> float:
    """Mean OKS of the persons of some frames; 0 for those without a box of IoU 0.5."""
    import numpy as np

    from rlepose_ext.evaluation.oks import object_keypoint_similarity
    from rlepose_ext.geometry.crops import AREA_OF_BOX
    from rlepose_ext.inference.boxes import overlaps

    values = []
    for true, given in zip(expected, found, strict=True):
        for box, joints in zip(true.boxes, true.keypoints, strict=True):
            overlap = overlaps(box[None], given.boxes)[0]
            if not len(overlap) or overlap.max() < 0.5:
                values.append(0.0)
                continue
            pair = given.keypoints[[overlap.argmax()]], joints[None]
            area = AREA_OF_BOX * np.prod(box[2:] - box[:2], keepdims=True)
            labelled = np.ones(pair[0].shape[:2], bool)
            values += [*object_keypoint_similarity(*pair, labelled, true.meta['sigmas'], area)]
    return float(np.mean(values))


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
        kinds = [street_rows(args.only, args.frames, args.rounds, Path(folder))]
        kinds += [
            drawn_rows(name, args.frames, args.rounds, Path(folder))
            for name in MODELS
            if args.only in name
        ]
        for row in itertools.chain(*kinds):
            rows.append(row)
            print(row, flush=True)
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
