"""What the demo commands share: choose the models, run all inputs, say what was done."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from rlepose_ext.engine.interrupt import StopSignal
from rlepose_ext.errors import UserError
from rlepose_ext.inference.box_file import BoxFile
from rlepose_ext.inference.detectors import Detector, FullImage, HogDetector, MMDetDetector
from rlepose_ext.inference.drawing import Style
from rlepose_ext.inference.engine import Draw, Engine, Options
from rlepose_ext.inference.estimator import PoseEstimator
from rlepose_ext.inference.loading import choose_device
from rlepose_ext.inference.sources import Source
from rlepose_ext.resources import resource

CLEAN_MODEL = 'weights/mmpose_clean_rle_mbv2_0.50x_192x192_float.pth'
CLEAN_CONFIG = 'configs/rle/rle_mobilenetv2-050_1xb256-420e_coco-192x192.py'
QUICKSTART = Path('work_dirs/quickstart/summary.json')
QUICKSTART_CONFIG = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
# The zoo's model to take when none is named.
DEFAULT_NAME = 'heatmap_hrnet-w32_8xb64-210e_coco-256x192'


def choose_detector(
    values: Sequence[str],
    device: str,
    category: int | None,
    bbox_thr: float,
    nms_thr: float,
    sources: Sequence[Source],
) -> Detector:
    """The detector that ``--det`` names.

    Raises:
        UserError: none of the four kinds, or files that do not fit.
    """
    first = values[0]
    if len(values) == 2:
        chosen = str(choose_device(device))
        return MMDetDetector(first, values[1], chosen, category, bbox_thr, nms_thr)
    if first == 'hog':
        return HogDetector(bbox_thr, nms_thr)
    if first == 'full':
        return FullImage()
    if first.endswith('.json'):
        boxes = BoxFile(first, bbox_thr)
        note = boxes.check([source.name for source in sources])
        if note:
            print(note, file=sys.stderr)
        return boxes
    raise UserError(
        f"--det {first}: expected 'hog', 'full', a .json file of boxes, or CONFIG CHECKPOINT"
    )


def choose_pose_model(values: Sequence[str] | None, **options: Any) -> PoseEstimator:
    """The model that ``--pose`` names, or the first that is at hand.

    Without a name: the default of the zoo if it is in the cache or can be downloaded, the
    model of MMPose_Clean under ``RLEPOSE_SHARED``, what ``make demo`` has trained.

    Raises:
        UserError: nothing is at hand.
    """
    if values is not None:
        return PoseEstimator(values[0], values[1] if len(values) == 2 else None, **options)
    reasons = []
    for find in (_from_zoo, _from_shared, _from_quickstart):
        try:
            name, config, checkpoint = find()
        except UserError as error:
            reasons.append(f'- {error}')
            continue
        print(f'pose model: {name}', file=sys.stderr)
        return PoseEstimator(config, checkpoint, **options)
    raise UserError(
        'no pose model is at hand; name one with --pose CONFIG CHECKPOINT, or run make demo. '
        'Tried:\n' + '\n'.join(reasons)
    )


def run_all(
    args: argparse.Namespace,
    sources: Sequence[Source],
    detector: Detector,
    estimator: PoseEstimator,
    draw: Draw | None = None,
    program: str = 'rlepose demo',
) -> int:
    """Run the inputs one after the other.

    Args:
        args: of :mod:`rlepose_ext.cli.demo`.
        sources: the inputs.
        detector: gives boxes.
        estimator: the pose model.
        draw: in place of the project's drawing.
        program: name of the command in messages.

    Returns:
        0; 2 if an input failed, the others are done anyway; 130 after Ctrl-C and 143 after
        SIGTERM, which end the run between two frames.
    """
    track = None if args.track == 'none' else args.track
    if args.draw_sigma and not estimator.has_sigma:
        print(
            'this model does not estimate sigma: no ellipses (models with RLE do)', file=sys.stderr
        )
    options = Options(
        output_root=args.output_root,
        save_predictions=args.save_predictions,
        style=style_of(args),
        tracking=track,
        smooth=args.smooth,
        det_interval=args.det_interval,
    )
    pause = getattr(args, 'show_interval', 0.0)
    failed = 0
    with StopRun() as stop:
        options.stop = stop
        for source in sources:
            if stop():
                break
            engine = Engine(detector, estimator, options, draw)
            bar = Progress(source.output_name, quiet=args.quiet or not sys.stderr.isatty())
            options.progress = bar
            if args.show:
                # A single picture stays until a key is pressed, as in MMPose's demo.
                wait = None if source.kind == 'image' else pause
                options.show = partial(show_frame, seconds=wait, stop=stop)
            try:
                frames = engine.run(source)
            except UserError as error:
                bar.clear()
                print(f'{program}: error: {error}', file=sys.stderr)
                failed += 1
                continue
            finally:
                bar.clear()
                for note in engine.notes:
                    print(f'{program}: {note}', file=sys.stderr)
            root = args.output_root
            where = '' if root is None else f' -> {root / source.output_name}'
            print(f'{source.path}{where}: {summary(source, frames, engine.poses, bar.seconds)}')
            if not engine.poses and isinstance(detector, HogDetector):
                print(
                    f'{program}: nobody was found in {source.name}. The pedestrian detector sees '
                    'people who stand, at some distance; try --det full, or --det CONFIG '
                    'CHECKPOINT of mmdet',
                    file=sys.stderr,
                )
    if stop.received is not None:
        print(f'{program}: interrupted; what is written is complete', file=sys.stderr)
        return 128 + stop.received
    if failed and len(sources) > 1:
        print(f'{program}: {failed} of {len(sources)} inputs failed', file=sys.stderr)
    return 2 if failed else 0


def summary(source: Source, frames: int, poses: int, seconds: float) -> str:
    """What was done, in a line."""
    count = f'{poses} pose' + ('' if poses == 1 else 's')
    if source.kind == 'image':
        return f'{count} in {seconds:.2f} s'
    return f'{count} in {frames} frames, {frames / seconds:.1f} frames a second'


def style_of(args: argparse.Namespace) -> Style:
    """What the arguments say about the drawing."""
    return Style(
        kpt_thr=args.kpt_thr,
        draw_bbox=not args.no_bbox,
        draw_sigma=args.draw_sigma,
        show_kpt_idx=args.show_kpt_idx,
        radius=args.radius,
        thickness=args.thickness,
        alpha=args.alpha,
    )


def check_display() -> None:
    """See that a window could be opened: without a display Qt would end the process.

    Raises:
        UserError: there is no display.
    """
    names = ('DISPLAY', 'WAYLAND_DISPLAY', 'QT_QPA_PLATFORM')
    if sys.platform.startswith('linux') and not any(os.environ.get(name) for name in names):
        raise UserError(
            '--show needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set: leave --show '
            'out and look at the files under --output-root'
        )


def show_frame(
    frame: Any, seconds: float | None = 0.0, stop: Callable[[], bool] = lambda: False
) -> bool:
    """Show a frame in a window.

    Args:
        frame: (H, W, 3) uint8 BGR.
        seconds: how long before the next one; ``None`` waits for a key or for the window to be
            closed.
        stop: ends that waiting when true.

    Returns:
        False once Esc was pressed.

    Raises:
        UserError: this OpenCV has no windows.
    """
    import cv2

    try:
        cv2.imshow('rlepose', frame)
        if seconds is not None:
            return cv2.waitKey(max(1, round(1000 * seconds))) & 0xFF != 27
        key = -1
        while (
            key < 0 and not stop() and cv2.getWindowProperty('rlepose', cv2.WND_PROP_VISIBLE) >= 1
        ):
            key = cv2.waitKey(100)
        return key & 0xFF != 27
    except cv2.error as error:
        raise UserError(
            '--show needs an OpenCV with windows: pip install opencv-python in place of '
            'opencv-python-headless, or leave --show out'
        ) from error


class Progress:
    """A bar with frames a second and the time that is left, on standard error."""

    def __init__(self, name: str, quiet: bool) -> None:
        self.name, self.quiet = name, quiet
        self._start = time.perf_counter()
        self._shown = 0.0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return max(time.perf_counter() - self._start, 1e-9)

    def __call__(self, done: int, total: int) -> None:
        """Show where the run is, at most ten times a second."""
        if self.quiet or self.seconds - self._shown < 0.1:
            return
        self._shown = self.seconds
        fps = done / self.seconds
        text = f'{self.name}: {done} frames, {fps:.1f} fps'
        if total:
            filled = min(20 * done // total, 20)
            left = max(total - done, 0) / fps
            bar = '#' * filled + '.' * (20 - filled)
            text = f'{self.name} [{bar}] {done}/{total}, {fps:.1f} fps, {left:.0f} s left'
        print(f'\r\x1b[K{text}', end='', file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the bar away."""
        if not self.quiet:
            print('\r\x1b[K', end='', file=sys.stderr, flush=True)


def _from_zoo() -> tuple[str, str, str]:
    from rlepose_ext.zoo import find
    from rlepose_ext.zoo.weights import fetch

    entry = find(DEFAULT_NAME)
    return DEFAULT_NAME, str(entry.path), str(fetch(entry))


def _from_shared() -> tuple[str, str, str]:
    path = Path(os.environ.get('RLEPOSE_SHARED', '../shared')) / CLEAN_MODEL
    if not path.is_file():
        raise UserError(f'{path} does not exist (set RLEPOSE_SHARED)')
    from rlepose_ext.convert import files, mmpose_clean
    from rlepose_ext.zoo.weights import cache_folder

    target = cache_folder() / f'{path.stem}_converted.pth'
    if not target.is_file():
        state = mmpose_clean.convert_model(files.read_state_dict(path))
        files.write_checkpoint(target, state, {'source': 'MMPose_Clean', 'kind': 'joint head'})
    return (
        f'RLE MobileNetV2 0.5x of MMPose_Clean ({path})',
        str(resource(CLEAN_CONFIG)),
        str(target),
    )


def _from_quickstart() -> tuple[str, str, str]:
    import json

    try:
        summary = json.loads(QUICKSTART.read_text(encoding='utf-8'))
        checkpoint = summary['checkpoint']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{QUICKSTART} is not there: make demo has not been run here') from error
    if not Path(checkpoint).is_file():
        raise UserError(f'{checkpoint}, which {QUICKSTART} names, does not exist any more')
    return f'the model of make demo ({checkpoint})', str(resource(QUICKSTART_CONFIG)), checkpoint


class StopRun(StopSignal):
    """Notes the first Ctrl-C or SIGTERM of a block; called, says whether one came.

    The run ends between two frames, and what it has is completed. Further signals do nothing,
    however late: finishing a long video takes its time.
    """

    def __init__(self) -> None:
        super().__init__(('SIGINT', 'SIGTERM'))

    def __enter__(self) -> StopRun:
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.uninstall()

    def __call__(self) -> bool:
        """Whether the run is to end."""
        return self.received is not None

    def _handle(self, number: int, frame: Any) -> None:
        if self.received is None:
            self.received = number
            if sys.stderr is not None:
                # Not print: the signal may have come in the middle of one.
                os.write(2, b'\nstopping: what is done is being completed\n')
