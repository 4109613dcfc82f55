"""A detector of mmdet, a pose model and the tracker on drawn videos whose truth is known.

    python benchmarks/drawn_chain.py --work-dir work_dirs/drawn-chain
    python benchmarks/drawn_chain.py --work-dir work_dirs/drawn-chain --pose-checkpoint latest.pth

Draws a data set, trains RTMDet-tiny on it from scratch with ``mim train mmdet`` and the config of
:file:`demo/mmdetection_cfg`, and measures the AP of its boxes on held-out drawings. The pose model
is that of ``rlepose quickstart``, which is run unless ``--pose-checkpoint`` names one. Then both
go through the chain of ``rlepose demo`` on videos. Stages that are finished in the work folder are
not done again. Where the package ``trackers`` is installed, its ByteTrack is measured beside ours,
on boxes of the same detector. The status is 1 if the detector's AP at IoU 0.5 is below 0.5, or if
with ByteTrack a person changes its identity more than once in 100 frames. The settings of the
tracking were chosen on videos of other seeds, never on these.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

from _record import RESULTS, ROOT, TRAINING, record

import rlepose_ext  # noqa: F401  isort: skip  (the compatibility layer comes first)
import cv2
import numpy as np
from _drawn_chain import FPS, VIDEO, box_ap, boxes_of, score_video, train_pose_model, write_video

from rlepose_ext.datasets.synthetic import DatasetPaths, write_dataset
from rlepose_ext.inference.bytetrack import all_boxes
from rlepose_ext.inference.detectors import MMDetDetector
from rlepose_ext.inference.engine import Engine, Options
from rlepose_ext.inference.estimator import PoseEstimator
from rlepose_ext.inference.predictors import TopDown
from rlepose_ext.inference.sources import Source
from rlepose_ext.inference.tracking import METHODS
from rlepose_ext.quickstart.job import MAIN
from rlepose_ext.quickstart.watch import watch

CONFIG = ROOT / 'demo/mmdetection_cfg/rtmdet_tiny_1xb16_synthetic-person.py'
CODE = (
    *TRAINING,
    'rlepose_ext/inference',
    'rlepose_ext/quickstart',
    'configs/quickstart',
    str(CONFIG.relative_to(ROOT)),
    'benchmarks/_drawn_chain.py',
)
# Mostly several people, in images of about the video's size.
PEOPLE = {'width': (256, 480), 'height': (224, 320), 'persons': (0.35, 0.35, 0.2, 0.1)}
LOWEST_AP50, MOST_SWITCHES = 0.5, 1.0
LIBRARY = 'bytetrack of the package trackers'


def train_detector(out: Path, seed: int) -> dict[str, Any]:
    """Train, or find what an earlier run trained.

    Returns:
        ``checkpoint``, ``train_seconds`` and mmdet's own last validation.
    """
    stamp = out / 'detector.json'
    if stamp.is_file():
        return json.loads(stamp.read_text())
    start = time.perf_counter()
    command = [sys.executable, '-m', 'mim', 'train', 'mmdet', CONFIG]
    command += ['--work-dir', out / 'detector', '--cfg-options', f'randomness.seed={seed}']
    watch(command, out / 'detector.log', {'RLEPOSE_DATA': str(out / 'data')})
    seconds = time.perf_counter() - start
    (last,) = sorted((out / 'detector').glob('*/vis_data/scalars.json'))[-1:]
    rows = [json.loads(line) for line in last.read_text().splitlines()]
    found = {
        'checkpoint': (out / 'detector' / 'last_checkpoint').read_text().strip(),
        'train_seconds': round(seconds, 1),
        'validation': [row for row in rows if 'coco/bbox_mAP' in row][-1],
    }
    stamp.write_text(json.dumps(found))
    return found


def test_detector(checkpoint: str | Path, paths: DatasetPaths) -> dict[str, Any]:
    """AP of the boxes on the held-out images, through the detector of ``rlepose demo``."""
    # As mmdet evaluates: nearly all boxes, few of them suppressed.
    detect = MMDetDetector(CONFIG, checkpoint, bbox_thr=0.001, nms_thr=0.65)
    truth = json.loads(paths.val_json.read_text())
    found = []
    for image in truth['images']:
        picture = cv2.imread(str(paths.val_images / image['file_name']))
        ((boxes, scores),) = detect([picture], [image['file_name']])
        found += boxes_of(image['id'], boxes, scores)
    area = box_ap(truth, found)
    return {
        'what': 'held-out images',
        'images': len(truth['images']),
        'persons': len(truth['annotations']),
        'box_ap': round(area['AP'], 4),
        'box_ap50': round(area['AP .5'], 4),
    }


def run_chain(
    video: Path, truth: Path, detector: MMDetDetector, pose: PoseEstimator, track: str, out: Path
) -> dict[str, Any]:
    """Detect, estimate, track, draw and write a video, and compare with the truth."""
    options = Options(output_root=out, save_predictions=True, tracking=track)
    start = time.perf_counter()
    frames = Engine(TopDown(detector, pose), options).run(Source('video', video))
    seconds = time.perf_counter() - start
    return {
        'what': 'video',
        'track': track,
        **score_video(truth, out, video.stem),
        'frames_per_second': round(frames / seconds, 2),
    }


def run_library(
    video: Path, truth: Path, detector: MMDetDetector, pose: PoseEstimator, out: Path
) -> dict[str, Any]:
    """As :func:`run_chain`, with the ByteTrack of the package ``trackers``.

    It sees boxes of low score too, but none that overlap more than the detector's suppression
    leaves: of more than that it makes more persons than there are.
    """
    import supervision
    from trackers import ByteTrackTracker

    predictor = TopDown(detector, pose)
    with all_boxes(predictor, None):
        options = Options(output_root=out, save=(), save_predictions=True)
        Engine(predictor, options).run(Source('video', video))
    tracker = ByteTrackTracker(
        frame_rate=FPS,
        minimum_consecutive_frames=1,
        high_conf_det_threshold=detector.bbox_thr,
        track_activation_threshold=detector.bbox_thr + 0.1,
    )
    results = out / f'results_{video.stem}.json'
    content = json.loads(results.read_text())
    for frame in content['instance_info']:
        people = frame['instances']
        boxes = np.array([person['bbox'][0] for person in people], np.float32).reshape(-1, 4)
        scores = np.array([person['bbox_score'] for person in people], np.float32)
        found = supervision.Detections(boxes, confidence=scores, data={'at': np.arange(len(boxes))})
        followed = tracker.update(found)
        pairs = zip(followed.data.get('at', ()), followed.tracker_id, strict=True)
        frame['instances'] = [{**people[at], 'track_id': int(n)} for at, n in pairs if n >= 0]
    results.write_text(json.dumps(content))
    return {'what': 'video', 'track': LIBRARY, **score_video(truth, out, video.stem)}


def main() -> None:
    """Run all stages, write ``results/drawn_chain.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/drawn-chain'))
    parser.add_argument('--train-images', type=int, default=1500)
    parser.add_argument('--val-images', type=int, default=200)
    parser.add_argument('--detector-checkpoint', help='of the config; otherwise it is trained')
    parser.add_argument('--pose-checkpoint', help="of the quickstart's config; as above")
    parser.add_argument('--persons', type=int, nargs='+', default=[2, 3])
    parser.add_argument('--videos', type=int, default=3, help='for each number of persons')
    parser.add_argument('--frames', type=int, default=200)
    parser.add_argument('--bbox-thr', type=float, default=0.3, help='as of rlepose demo')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=RESULTS / 'drawn_chain.json')
    args = parser.parse_args()
    out = args.work_dir.resolve()
    out.mkdir(parents=True, exist_ok=True)
    paths = write_dataset(
        out / 'data/synthetic', args.train_images, args.val_images, args.seed, PEOPLE, workers=2
    )
    trained: dict[str, Any] = {'checkpoint': args.detector_checkpoint}
    if args.detector_checkpoint is None:
        trained = train_detector(out, args.seed)
    pose_checkpoint = args.pose_checkpoint or train_pose_model(out, args.seed)
    rows = [test_detector(trained['checkpoint'], paths)]
    print(rows[0], flush=True)

    detector = MMDetDetector(CONFIG, trained['checkpoint'], bbox_thr=args.bbox_thr)
    pose = PoseEstimator(ROOT / MAIN, pose_checkpoint, device='cpu')
    for persons, number in itertools.product(args.persons, range(args.videos)):
        video, truth = write_video(out / 'videos', args.seed, args.frames, persons, number)
        for track in METHODS:
            row = run_chain(video, truth, detector, pose, track, out / f'drawn-{track}')
            rows.append({**row, 'persons': persons, 'number': number})
            print(rows[-1], flush=True)
        if importlib.util.find_spec('trackers'):
            row = run_library(video, truth, detector, pose, out / 'drawn-library')
            rows.append({**row, 'persons': persons, 'number': number})
            print(rows[-1], flush=True)
    record(
        args.out,
        rows,
        code=CODE,
        seed=args.seed,
        detector=CONFIG.name,
        pose_model=Path(MAIN).name,
        train_images=args.train_images,
        train_seconds=trained.get('train_seconds'),
        validation=trained.get('validation'),
        bbox_thr=args.bbox_thr,
        video_size=[VIDEO['width'][0], VIDEO['height'][0]],
    )
    good = rows[0]['box_ap50'] >= LOWEST_AP50
    good &= all(
        row['most_per_100'] <= MOST_SWITCHES for row in rows[1:] if row['track'] == METHODS[0]
    )
    sys.exit(0 if good else 1)


if __name__ == '__main__':
    main()
