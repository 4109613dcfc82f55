"""What the demo commands share: run all inputs, show them, say what was done."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from rlepose_ext.cli.progress import Progress, Speed
from rlepose_ext.engine.interrupt import StopSignal
from rlepose_ext.errors import UserError
from rlepose_ext.inference.drawing import Style
from rlepose_ext.inference.engine import Draw, Engine, Options
from rlepose_ext.inference.finished import Record
from rlepose_ext.inference.predictors import Predictor
from rlepose_ext.inference.sources import Source

_OPEN_WINDOW = 'import cv2; cv2.namedWindow("rlepose")'


def run_all(
    args: argparse.Namespace,
    sources: Sequence[Source],
    predictor: Predictor,
    draw: Draw | None = None,
    program: str = 'rlepose demo',
    record: Record | None = None,
) -> int:
    """Run the inputs one after the other.

    Args:
        args: of :mod:`rlepose_ext.cli.demo`.
        sources: the inputs.
        predictor: finds the persons.
        draw: in place of the project's drawing.
        program: name of the command in messages.
        record: of finished inputs.

    Returns:
        0; 2 if an input failed, the others are done anyway; 130 after Ctrl-C and 143 after
        SIGTERM, which end the run between two frames.
    """
    quiet_upstream()
    if args.draw_sigma and not predictor.has_sigma:
        print(
            'this model does not estimate sigma: no ellipses (models with RLE do, and calibrated '
            'ones with SimCC)',
            file=sys.stderr,
        )
    options = options_of(args)
    if args.show:
        print('Esc in the window ends the run', file=sys.stderr)
    pause = getattr(args, 'show_interval', 0.0)
    failed, speed, notes = 0, Speed(), set()
    with StopRun() as stop:
        options.stop = stop
        for source in sources:
            if stop():
                break
            engine = Engine(predictor, options, draw)
            bar = Progress(source.output_name, args.quiet, sys.stderr.isatty())
            options.progress = bar
            frames = 0
            try:
                source = source.resolve()
                bar.name = source.output_name
                if args.show:
                    # A single picture stays until a key is pressed, as in MMPose's demo.
                    wait = None if source.kind == 'image' else pause
                    options.show = partial(show_frame, seconds=wait, stop=stop)
                for frames, _ in enumerate(engine.stream(source), 1):
                    if frames == 1:
                        bar.warm(engine.first_frames)
                        speed.warm(engine.clock.seconds)
            except UserError as error:
                bar.clear()
                print(f'{program}: error: {error}', file=sys.stderr)
                failed += 1
                if record is not None:
                    record.failed(source, error)
                continue
            finally:
                bar.clear()
                for note in engine.notes:
                    # What holds for all inputs is said once.
                    if note not in notes:
                        print(f'{program}: {note}', file=sys.stderr)
                notes.update(engine.notes)
            # A video that was ended early is not done.
            if record is not None and (source.kind == 'image' or not (stop() or args.show)):
                record.done(source, frames)
            speed.add(engine.clock.seconds, frames, bar.left_out)
            print(
                f'{source.label}{_where(options, source)}: {summary(source, frames, engine, bar)}'
            )
            if not engine.poses:
                print(f'{program}: nobody was found in {source.name}', file=sys.stderr)
    if speed.frames and not args.quiet:
        print(f'{program}: speed: {speed}', file=sys.stderr)
    if stop.received is not None:
        print(f'{program}: interrupted; what is written is complete', file=sys.stderr)
        return 128 + stop.received
    if failed and len(sources) > 1:
        print(f'{program}: {failed} of {len(sources)} inputs failed', file=sys.stderr)
    return 2 if failed else 0


def options_of(args: argparse.Namespace) -> Options:
    """What the arguments say about the run.

    Raises:
        UserError: a number out of its range, or things that do not go together.
    """
    return Options(
        output_root=args.output_root,
        save=tuple(args.save),
        save_predictions=args.save_predictions,
        style=style_of(args),
        tracking=None if args.track == 'none' else args.track,
        overlap=Options.overlap if args.nms_thr is None else None,
        smooth=args.smooth,
        det_interval=args.det_interval,
        vid_stride=args.vid_stride,
        start=args.start,
        end=args.end,
    )


def _where(options: Options, source: Source) -> str:
    root = options.output_root
    if root is None or not (options.save or options.save_predictions):
        return ''
    return f' -> {root / source.output_name if "image" in options.save else root}'


def summary(source: Source, frames: int, engine: Engine, bar: Progress) -> str:
    """What was done, in a line."""
    count = f'{engine.poses} pose' + ('' if engine.poses == 1 else 's')
    if source.kind == 'image':
        return f'{count} in {bar.seconds:.2f} s'
    rate, left_out = bar.rate(frames)
    text = f'{count} in {frames} frames, {rate:.1f} frames a second'
    if left_out:
        text += f' (without the first {left_out})' if left_out > 1 else ' (without the first)'
    return text


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


def quiet_upstream() -> None:
    """Leave out what mmdet's code makes torch say of its future: no user can mend it.

    With ``python -W`` or ``PYTHONWARNINGS`` everything is said.
    """
    if sys.warnoptions:
        return
    # SELayer and CSPDarknet of mmdet 3.3 call the old autocast, its anchors torch.meshgrid.
    old = r'`torch\.cuda\.amp\.autocast\(args\.\.\.\)` is deprecated'
    warnings.filterwarnings('ignore', old, FutureWarning, r'mm(det|pose|cv)\.')
    warnings.filterwarnings('ignore', r'torch\.meshgrid: in an upcoming release', UserWarning)


def check_display() -> None:
    """See that a window can be opened: without a display Qt would end the process.

    Raises:
        UserError: there is no display, or none that answers.
    """
    names = ('DISPLAY', 'WAYLAND_DISPLAY', 'QT_QPA_PLATFORM')
    if sys.platform.startswith('linux') and not any(os.environ.get(name) for name in names):
        raise UserError(
            '--show needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set: leave --show '
            'out and look at the files under --output-root'
        )
    # Ended by a signal: the display does not answer. An OpenCV without windows says so later.
    if subprocess.run([sys.executable, '-c', _OPEN_WINDOW], capture_output=True).returncode < 0:
        raise UserError(
            f'--show: the display {os.environ.get("DISPLAY") or "of this session"} cannot be '
            'opened. Check DISPLAY, or leave --show out and look at the files under --output-root'
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
