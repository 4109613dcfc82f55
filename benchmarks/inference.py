"""Frames a second of the demo's inner loop: MMPose's way and this project's, in turns.

    RLEPOSE_SHARED=../shared python benchmarks/inference.py            # all models, 1 and 8 persons
    python benchmarks/inference.py --only mobilenetv2 --persons 1 --rounds 3

Both get the same frames and boxes (no detector), run the same flip test and draw boxes and
skeletons. MMPose's side is the loop of its ``topdown_demo_with_mmdet.py``:
``inference_topdown`` and the visualizer, frame by frame. Ours is ``PoseEstimator`` on several
frames at once and ``draw_poses``. Each side lives in a process of its own, because ours changes
how the process allocates memory; the two take turns, round by round. The keypoints of both are
compared. *network* is the time of our network alone on crops that are ready, which the total
can come near but not pass.

MobileNetV2 has the weights of MMPose_Clean from ``RLEPOSE_SHARED``, the others random ones: time
does not depend on them, but what bfloat16 does to their keypoints means nothing, and is not
recorded. :file:`inference_stages.py` has the stages of the whole demo.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from _machine import cpu
from _record import ROOT, ratios, record, result_path, summary

SHARED = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
CLEAN = SHARED / 'weights' / 'mmpose_clean_rle_mbv2_0.50x_192x192_float.pth'
STOCK = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
MODELS = {
    'RLE MobileNetV2 0.5x 192x192': str(
        ROOT / 'configs/rle/rle_mobilenetv2-050_1xb256-420e_coco-192x192.py'
    ),
    'heatmap ResNet-50 256x192': STOCK + 'td-hm_res50_8xb64-210e_coco-256x192.py',
    'heatmap HRNet-w32 256x192': STOCK + 'td-hm_hrnet-w32_8xb64-210e_coco-256x192.py',
}
SIZE = (960, 540)
FRAMES = 8
SEED = 0
CODE = ('rlepose_ext/inference', 'rlepose_ext/models', 'rlepose_ext/codecs')


def frames_and_boxes(persons: int, frames: int = FRAMES) -> tuple[list, list]:
    """Frames of drawn people, and their boxes: (``persons``, 4) x1, y1, x2, y2 px of each."""
    import numpy as np

    from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_image

    (width, height), alone = SIZE, [0.0] * (persons - 1) + [1.0]
    config = SyntheticPeopleConfig((width, width), (height, height), tuple(alone), truncation=0)
    images, boxes = [], []
    for number in range(frames):
        image, people = draw_image(np.random.default_rng([SEED, number]), config)
        box = np.array([person['bbox'] for person in people], np.float32)
        box[:, 2:] += box[:, :2]
        images.append(image)
        boxes.append(np.resize(box, (persons, 4)))
    return images, boxes


def make_checkpoint(config: str, target: Path) -> None:
    """Weights that both sides load."""
    import rlepose_ext  # noqa: F401  isort: skip
    import torch
    from mmpose.apis import init_model

    from rlepose_ext.zoo.counting import load_config

    if 'mobilenetv2' in config and CLEAN.is_file():
        from rlepose_ext.convert import files, mmpose_clean

        state = mmpose_clean.convert_model(files.read_state_dict(CLEAN))
        files.write_checkpoint(target, state, {})
        return
    torch.manual_seed(SEED)
    model = init_model(load_config(config), device='cpu')
    for part in model.modules():
        if isinstance(part, torch.nn.Conv2d):
            # so that the input reaches the output
            torch.nn.init.kaiming_normal_(part.weight, mode='fan_in')
    meta = {'dataset_meta': model.dataset_meta}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, target)


def stock_side(config: str, checkpoint: Path) -> Any:
    """MMPose's loop: a function of frames and boxes that gives keypoints."""
    import mmcv
    import numpy as np
    from mmpose.apis import inference_topdown, init_model
    from mmpose.registry import VISUALIZERS
    from mmpose.structures import merge_data_samples

    from rlepose_ext.zoo.counting import load_config

    model = init_model(load_config(config), str(checkpoint), device='cpu')
    visualizer = VISUALIZERS.build(model.cfg.visualizer)
    visualizer.set_dataset_meta(model.dataset_meta)

    def run(frames: list, boxes: list) -> list:
        found = []
        for frame, box in zip(frames, boxes, strict=True):
            samples = inference_topdown(model, frame, box)
            visualizer.add_datasample(
                'result',
                mmcv.bgr2rgb(frame),
                data_sample=merge_data_samples(samples),
                draw_gt=False,
                draw_bbox=True,
                kpt_thr=0.3,
            )
            visualizer.get_image()
            found.append(np.concatenate([s.pred_instances.keypoints for s in samples]))
        return found

    return run


def our_side(config: str, checkpoint: Path, dtype: str) -> Any:
    """This project's: the same function, with ``stages`` and ``network`` beside."""
    from rlepose_ext.inference.clock import Clock
    from rlepose_ext.inference.drawing import Style, draw_poses
    from rlepose_ext.inference.estimator import PoseEstimator
    from rlepose_ext.zoo.counting import load_config

    estimate = PoseEstimator(load_config(config), checkpoint, device='cpu', dtype=dtype)
    style = Style(draw_bbox=True)

    def run(frames: list, boxes: list) -> list:
        run.clock = Clock()
        results = estimate(frames, boxes, clock=run.clock)
        with run.clock('draw'):
            for frame, poses in zip(frames, results, strict=True):
                draw_poses(frame.copy(), poses, style)
        return [poses.keypoints for poses in results]

    def network(frames: list, boxes: list) -> float:
        import numpy as np
        import torch

        from rlepose_ext.inference.network import normalise_crops, with_mirrored

        crops = [estimate.crop(f, b).pixels for f, b in zip(frames, boxes, strict=True)]
        pixels = np.concatenate(crops)
        seconds = 0.0
        with torch.inference_mode(), estimate._autocast():
            for first in range(0, len(pixels), estimate.batch_size):
                batch = pixels[first : first + estimate.batch_size]
                batch = with_mirrored(batch) if estimate.flip_test else batch
                x = normalise_crops(batch, estimate.model.data_preprocessor, estimate.device)
                start = time.perf_counter()
                estimate.model.head.forward(estimate.model.extract_feat(x))
                seconds += time.perf_counter() - start
        return seconds

    run.network = network
    return run


def serve(pipe: Connection, side: str, config: str, checkpoint: Path, dtype: str) -> None:
    """A side in a process of its own: answers each number of persons with a timed run."""
    import rlepose_ext  # noqa: F401  isort: skip
    import torch

    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count() or 1)))
    run = stock_side(config, checkpoint) if side == 'stock' else our_side(config, checkpoint, dtype)
    pipe.send('ready')
    while (persons := pipe.recv()) is not None:
        frames, boxes = frames_and_boxes(persons)
        start = time.perf_counter()
        keypoints = run(frames, boxes)
        seconds = time.perf_counter() - start
        clock = dict(run.clock.seconds) if side == 'ours' else {}
        network = run.network(frames, boxes) if side == 'ours' else None
        pipe.send((seconds, keypoints, clock, network))


class Side:
    """The parent's end of :func:`serve`."""

    def __init__(self, side: str, config: str, checkpoint: Path, dtype: str = 'float32') -> None:
        context = get_context('spawn')
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=serve, args=(other, side, config, checkpoint, dtype), daemon=True
        )
        self._process.start()
        other.close()
        self._pipe.recv()

    def run(self, persons: int) -> tuple:
        """Seconds, keypoints, seconds by stage, seconds of the network."""
        self._pipe.send(persons)
        return self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16; without, networks take 45 times as long."""
    return bool({'avx512_bf16', 'amx_bf16', 'bf16'} & set(cpu()['cpu_flags']))


def measure(name: str, persons: list[int], rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Rows of one model, float32 and where it is of use bfloat16, against MMPose in turns."""
    import numpy as np

    config, checkpoint = MODELS[name], folder / f'{len(name)}.pth'
    make_checkpoint(config, checkpoint)
    dtypes = ('float32', 'bfloat16') if has_bfloat16() else ('float32',)
    sides = {'stock': Side('stock', config, checkpoint)}
    sides |= {dtype: Side('ours', config, checkpoint, dtype) for dtype in dtypes}
    rows = []
    for number in persons:
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        last: dict[str, tuple] = {}
        networks: dict[str, list[float]] = {side: [] for side in sides}
        for turn in range(-1, rounds):
            order = list(sides)
            shift = turn % len(order)
            for side in order[shift:] + order[:shift]:
                last[side] = sides[side].run(number)
                if turn >= 0:
                    seconds[side].append(last[side][0])
                    networks[side].append(last[side][3])
        for dtype in dtypes:
            pairs = zip(last[dtype][1], last['stock'][1], strict=True)
            gaps = np.concatenate([np.linalg.norm(a - b, axis=-1).ravel() for a, b in pairs])
            is_random = dtype != 'float32' and 'RLE' not in name
            total = statistics.median(seconds[dtype])
            network = statistics.median(networks[dtype])
            rows.append(
                {
                    'model': name,
                    'persons': number,
                    'dtype': dtype,
                    'stock_ms': round(1000 * statistics.median(seconds['stock']) / FRAMES, 2),
                    'ours_ms': round(1000 * total / FRAMES, 2),
                    'network_ms': round(1000 * network / FRAMES, 2),
                    'total_by_network': round(total / network, 3),
                    'times_stock': summary(ratios(seconds, 'stock', dtype)),
                    'largest_difference_px': None if is_random else round(float(gaps.max()), 4),
                    'median_difference_px': None if is_random else round(float(np.median(gaps)), 4),
                    'stages_ms': {
                        stage: round(1000 * value / FRAMES, 2)
                        for stage, value in last[dtype][2].items()
                    },
                }
            )
            print(rows[-1], flush=True)
    for side in sides.values():
        side.close()
    return rows


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', default='', help='models whose name or config contains this')
    parser.add_argument('--persons', type=int, nargs='+', default=[1, 8])
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--out', type=Path, help='default results/inference.MACHINE.json')
    args = parser.parse_args()
    names = [name for name in MODELS if args.only in name or args.only in MODELS[name]]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rows += measure(name, args.persons, args.rounds, Path(folder))
    record(
        args.out or result_path('inference'),
        rows,
        code=CODE,
        repeats=args.rounds,
        spread='quartiles of times_stock',
        seed=SEED,
        peer="MMPose's topdown_demo_with_mmdet.py",
        frames=FRAMES,
    )


if __name__ == '__main__':
    main()
