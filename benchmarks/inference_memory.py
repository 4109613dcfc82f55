"""Memory of the demo's engine over a long video: it must not grow with the number of frames.

    RLEPOSE_SHARED=../shared python benchmarks/inference_memory.py    # 2,000 frames of 320x240
    python benchmarks/inference_memory.py --no-network --frames 600 --out memory.json

A clip is decoded, two persons are found, tracked and smoothed in each frame, drawn, encoded,
and written to both prediction files. The detector is a stand-in that answers at once. So is the
pose model at first, and what is measured is everything around the networks: queues, tracker,
filters, files. Then a process of its own does the same with RLE MobileNetV2 0.5x on the CPU. The
frames that pass are 0.23 MB each, so keeping them would show as hundreds of MB. Growth is
counted from frame 300, when all queues have been full and all libraries are loaded.

Two persons in every frame make batches of one size. Where their number varies, a batch with more
persons than any before takes memory that stays taken: a step for each new record, up to
``--batch-size`` of the demo, whatever the length of the video. Steps of the size of a layer's
output come with equal batches too, at any time: each thread has an arena of its own in glibc, which
keeps what is freed (``rlepose_ext.engine.cpu_speed``), and it depends on the other threads whether
the next batch fits into what is free. So what a frame costs is the median of the growth over 100
frames, which a step does not move; the growth of the peak is recorded beside it.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from _record import RESULTS, record

import rlepose_ext  # noqa: F401  (before mmpose)

WARM = 300
STEP = 100
NETWORK = 'RLE MobileNetV2 0.5x 192x192'
CODE = ('rlepose_ext/inference', 'rlepose_ext/models')


def write_clip(path: Path, frames: int, size: tuple[int, int]) -> None:
    """A video of noise that is shifted from frame to frame."""
    import cv2
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    noise = cv2.GaussianBlur(noise, (9, 9), 0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, size)
    for number in range(frames):
        writer.write(np.roll(noise, number, axis=1))
    writer.release()


class TwoWalkers:
    """A detector and a pose model in one, in the places where a predictor calls them."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size, self.number, self.has_sigma = size, 0, True
        self.meta = {
            'num_keypoints': 17,
            'skeleton_links': [(joint, joint + 1) for joint in range(16)],
            'sigmas': [0.05] * 17,
        }

    def __call__(self, frames: Any, names_or_boxes: Any, scores: Any = None, clock: Any = None):
        """Boxes and scores of a detector; with scores, poses of an estimator."""
        if scores is None:
            return [self._find() for _ in frames]
        found = zip(frames, names_or_boxes, scores, strict=True)
        return [self._pose(frame, boxes, each) for frame, boxes, each in found]

    def _find(self) -> tuple:
        import numpy as np

        width, height = self.size
        x = self.number % (width // 2)
        self.number += 1
        box = np.array([x, 0.2 * height, x + 0.2 * width, 0.9 * height], np.float32)
        other = np.array([width - box[2], box[1], width - box[0], box[3]], np.float32)
        return np.stack([box, other]), np.ones(2, np.float32)

    def _pose(self, frame: Any, boxes: Any, scores: Any) -> Any:
        import numpy as np

        from rlepose_ext.inference.types import PoseResult

        steps = np.linspace(0, 1, 17, dtype=np.float32)[None, :, None]
        keypoints = boxes[:, None, :2] + steps * (boxes[:, None, 2:] - boxes[:, None, :2])
        ones = np.ones(keypoints.shape[:2], np.float32)
        return PoseResult(
            boxes, scores, keypoints, ones, 0.02 * keypoints, meta=self.meta, image=frame
        )


def mobilenet(folder: Path) -> Any:
    """RLE MobileNetV2 0.5x, with the weights of MMPose_Clean where they are, else random ones."""
    from inference import MODELS, make_checkpoint

    from rlepose_ext.inference.estimator import PoseEstimator

    config = MODELS[NETWORK]
    make_checkpoint(config, folder / 'network.pth')
    return PoseEstimator(config, folder / 'network.pth', device='cpu')


def resident() -> float:
    """MB of memory that this process has in use."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def peak() -> float:
    """MB, the most that this process has had in use."""
    # kilobytes on Linux, bytes on macOS
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def measure(
    frames: int = 2000, size: tuple[int, int] = (320, 240), network: bool = False
) -> list[dict[str, float]]:
    """Run the engine and note its memory every 100 frames.

    Args:
        frames: length of the video.
        size: width and height, px.
        network: estimate with MobileNetV2 instead of a stand-in.

    Returns:
        ``frame``, ``resident_mb`` and ``peak_mb``, in order.
    """
    from rlepose_ext.inference.drawing import Style
    from rlepose_ext.inference.engine import Engine, Options
    from rlepose_ext.inference.predictors import TopDown
    from rlepose_ext.inference.sources import Source

    rows: list[dict[str, float]] = []

    def note(done: int, total: int) -> None:
        if done % STEP == 0 or done == frames:
            row = {'resident_mb': round(resident(), 2), 'peak_mb': round(peak(), 2)}
            rows.append({'frame': done, **row})

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / 'clip.mp4'
        write_clip(clip, frames, size)
        options = Options(
            output_root=Path(folder) / 'out',
            save_predictions=True,
            style=Style(draw_sigma=True),
            tracking='oks',
            smooth=True,
            progress=note,
        )
        walkers = TwoWalkers(size)
        estimator = mobilenet(Path(folder)) if network else walkers
        done = Engine(TopDown(walkers, estimator), options).run(Source('video', clip))
    if done != frames:
        raise RuntimeError(f'{done} of {frames} frames came out')
    return rows


def growth(rows: list[dict[str, float]]) -> float:
    """MB by which the peak has grown from frame 300 to the end."""
    start = next(row for row in rows if row['frame'] >= WARM)
    return round(rows[-1]['peak_mb'] - start['peak_mb'], 2)


def growth_per_100(rows: list[dict[str, float]]) -> float:
    """MB, the median over all stretches of 100 frames from frame 300 on."""
    peaks = [row['peak_mb'] for row in rows if row['frame'] >= WARM and row['frame'] % STEP == 0]
    return round(median(b - a for a, b in pairwise(peaks)), 2)


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--frames', type=int, default=2000, help='length of the video')
    parser.add_argument('--size', type=int, nargs=2, default=(320, 240), help='width and height')
    parser.add_argument('--no-network', action='store_true', help='with the stand-in only')
    parser.add_argument('--out', type=Path, default=RESULTS / 'inference_memory.json')
    args = parser.parse_args()
    if args.frames < WARM + STEP:
        parser.error(f'--frames: expected {WARM + STEP} or more')
    measured = {}
    for network in (False,) if args.no_network else (False, True):
        # A process each: the peak is that of its whole life.
        with get_context('spawn').Pool(1) as pool:
            rows = pool.apply(measure, (args.frames, tuple(args.size), network))
        name = NETWORK if network else 'stand-in'
        for row in rows:
            print(
                f'{name}, frame {row["frame"]:5}: {row["resident_mb"]:7.1f} MB, '
                f'peak {row["peak_mb"]:7.1f} MB'
            )
        print(
            f'peak grew by {growth(rows):.2f} MB from frame {WARM} to {args.frames}, '
            f'{growth_per_100(rows):.2f} in the median over 100 frames'
        )
        measured[name] = rows
    more = {}
    if not args.no_network:
        rows = measured[NETWORK]
        more = {
            'network': NETWORK,
            'network_peak_grew_mb': growth(rows),
            'network_per_100_frames_mb': growth_per_100(rows),
            'network_rows': rows,
        }
    record(
        args.out,
        measured['stand-in'],
        code=CODE,
        frames=args.frames,
        size=list(args.size),
        from_frame=WARM,
        peak_grew_mb=growth(measured['stand-in']),
        per_100_frames_mb=growth_per_100(measured['stand-in']),
        all_frames_mb=round(args.frames * args.size[0] * args.size[1] * 3 / 1e6, 1),
        **more,
    )


if __name__ == '__main__':
    main()
