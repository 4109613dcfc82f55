"""Milliseconds for one and eight persons, with PyTorch and with what else runs a model, in turns.

    python benchmarks/deploy.py --files work_dirs/deploy --export    # writes them, untimed
    python benchmarks/deploy.py --files work_dirs/deploy             # times them, when quiet

The candidates are PyTorch as the config says it (eager), our estimator (batch norm folded,
channels last), onnxruntime with the file of ``rlepose export`` in float and in 8 bit, and, where
they are installed, OpenVINO (package ``openvino``) with the float file, and rtmlib with that of
``--layout rtmlib``. Each has a process of its own; they take turns, round by round. All see the
same drawn frame and boxes, without flip test. *network* is the time in the runtime, decoding
included; *total* begins with the frame and ends with joints in its pixels.

MobileNetV2 has the weights of MMPose_Clean from ``RLEPOSE_SHARED``, the others random ones: time
does not depend on them. So 8-bit files are rounded by least and greatest values alone, of a few
drawn persons, and all that can be rounded is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from _record import ROOT, ratios, record, result_path, summary
from inference import MODELS as FIRST
from inference import frames_and_boxes, make_checkpoint

MODELS = {
    **FIRST,
    'RTMPose-m 256x192': str(
        ROOT / 'configs/rtmpose/rtmpose_cspnext-m_8xb256-420e_coco-256x192.py'
    ),
}
PEER = 'ours, PyTorch'
# The least time of a timed call; faster candidates run several times in it.
SECONDS = 0.3
CODE = ('rlepose_ext/inference', 'rlepose_ext/export', 'rlepose_ext/models', 'rlepose_ext/codecs')


def export(name: str, folder: Path) -> None:
    """Weights and files of the model with that config."""
    from rlepose_ext.errors import UserError
    from rlepose_ext.export import int8
    from rlepose_ext.export.onnx import export_onnx
    from rlepose_ext.zoo.counting import load_config

    make_checkpoint(name, folder / 'model.pth')
    config = load_config(name)
    export_onnx(config, folder / 'model.pth', folder / 'float.onnx')
    int8.METHODS, int8.WORTH = {'minmax': int8.METHODS['minmax']}, 1e-9
    people = folder / 'people.json'
    _annotate(people)
    export_onnx(config, folder / 'model.pth', folder / 'int8.onnx', calibrate=people)
    try:
        export_onnx(config, folder / 'model.pth', folder / 'rtmlib.onnx', layout='rtmlib')
    except UserError:
        print('  not a model for rtmlib')


def _annotate(path: Path) -> None:
    """Drawn frames with their persons, as COCO annotations beside them."""
    import cv2

    frames, boxes = frames_and_boxes(8, 2)
    images, annotations = [], []
    for number, (frame, each) in enumerate(zip(frames, boxes, strict=True)):
        cv2.imwrite(str(path.with_name(f'{number}.png')), frame)
        images.append({'id': number, 'file_name': f'{number}.png'})
        for x1, y1, x2, y2 in each.tolist():
            joints = [x1, y1, 2] * 17
            box = [x1, y1, x2 - x1, y2 - y1]
            annotations.append({'image_id': number, 'bbox': box, 'keypoints': joints})
    path.write_text(json.dumps({'images': images, 'annotations': annotations}))


def candidates(folder: Path) -> list[str]:
    """What can run the files of a folder on this machine."""
    found = ['PyTorch', PEER, 'onnxruntime', 'onnxruntime, int8']
    if find_spec('openvino'):
        found.append('OpenVINO')
    if find_spec('rtmlib') and (folder / 'rtmlib.onnx').is_file():
        found.append('rtmlib')
    return found


def runner(name: str, config: str, folder: Path) -> Any:
    """A function of a frame, boxes and a clock."""
    if name == 'rtmlib':
        return _rtmlib(folder / 'rtmlib.onnx')
    if 'PyTorch' in name:
        from rlepose_ext.inference.estimator import PoseEstimator
        from rlepose_ext.zoo.counting import load_config

        pose = PoseEstimator(
            load_config(config), folder / 'model.pth', 'cpu', flip_test=False, fast=name == PEER
        )
    else:
        from rlepose_ext.runtime import OnnxPose

        pose = OnnxPose(folder / f'{"int8" if "int8" in name else "float"}.onnx', 'cpu')
        if name == 'OpenVINO':
            pose._session = _OpenVINO(folder / 'float.onnx')
    return lambda frame, boxes, clock: pose(frame, boxes, clock=clock)


class _OpenVINO:
    """A compiled model, called as a session of onnxruntime."""

    def __init__(self, path: Path) -> None:
        import openvino

        threads = {'INFERENCE_NUM_THREADS': len(os.sched_getaffinity(0))}
        self.model = openvino.Core().compile_model(str(path), 'CPU', threads)

    def run(self, _: None, inputs: dict[str, Any]) -> list[Any]:
        return [each.copy() for each in self.model(inputs).values()]


def _rtmlib(path: Path) -> Any:
    from rtmlib import RTMPose

    size = tuple(json.loads(path.with_suffix('.json').read_text())['input_size'])
    pose = RTMPose(str(path), size, backend='onnxruntime', device='cpu')
    inside = pose.inference

    def run(frame: Any, boxes: Any, clock: Any) -> None:
        def timed(*args: Any) -> Any:
            with clock('network'):
                return inside(*args)

        pose.inference = timed
        pose(frame, boxes)

    return run


def serve(pipe: Connection, name: str, config: str, folder: Path) -> None:
    """A candidate in a process of its own: answers a number of persons with total and network."""
    import rlepose_ext  # noqa: F401  isort: skip
    from rlepose_ext.inference.clock import Clock

    if 'PyTorch' in name:
        import torch

        torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count() or 1)))
    run = runner(name, config, folder)
    pipe.send('ready')
    while (persons := pipe.recv()) is not None:
        (frame,), (boxes,) = frames_and_boxes(persons, 1)
        clock, calls, start = Clock(), 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - start < SECONDS:
            run(frame, boxes, clock)
            calls += 1
        total = time.perf_counter() - start
        pipe.send((total / calls, clock.seconds['network'] / calls))


def measure(model: str, folder: Path, persons: list[int], repeats: int) -> list[dict[str, Any]]:
    """Rows of one model, all candidates in turns."""
    context, sides = get_context('spawn'), {}
    for name in candidates(folder):
        pipe, other = context.Pipe()
        arguments = (other, name, MODELS[model], folder)
        process = context.Process(target=serve, args=arguments, daemon=True)
        process.start()
        other.close()
        pipe.recv()
        sides[name] = pipe, process
    names, rows = list(sides), []
    for number in persons:
        totals: dict[str, list[float]] = {name: [] for name in names}
        networks: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(-1, repeats):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                sides[name][0].send(number)
                total, network = sides[name][0].recv()
                if turn >= 0:
                    totals[name].append(1000 * total)
                    networks[name].append(1000 * network)
        for name in names:
            network, total = (statistics.median(each[name]) for each in (networks, totals))
            rows.append(
                {
                    'model': model,
                    'persons': number,
                    'runtime': name,
                    'network_ms': summary(networks[name]),
                    'total_ms': summary(totals[name]),
                    'total_by_network': round(total / network, 3),
                    'times_ours': summary(ratios(totals, PEER, name)),
                }
            )
            print(rows[-1], flush=True)
    for pipe, process in sides.values():
        pipe.send(None)
        process.join()
    return rows


def main() -> None:
    """Export, or measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--files', type=Path, required=True, help='folder of the exported files')
    parser.add_argument('--export', action='store_true', help='write the files, and time nothing')
    parser.add_argument('--only', default='', help='models whose name contains this')
    parser.add_argument('--persons', type=int, nargs='+', default=[1, 8])
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--out', type=Path, help='default results/deploy.MACHINE.json')
    args = parser.parse_args()
    rows = []
    for number, (model, config) in enumerate(MODELS.items()):
        folder = args.files.resolve() / str(number)
        if args.only not in model:
            continue
        if args.export:
            print(model, flush=True)
            folder.mkdir(parents=True, exist_ok=True)
            export(config, folder)
        elif not (folder / 'int8.onnx').is_file():
            parser.error(f'{folder} has no files of {model}: run with --export first')
        else:
            rows += measure(model, folder, args.persons, args.repeats)
    if not args.export:
        record(
            args.out or result_path('deploy'),
            rows,
            code=CODE,
            repeats=args.repeats,
            spread='quartiles of network_ms, total_ms and times_ours',
            seed=0,
            peer=PEER,
        )


if __name__ == '__main__':
    main()
