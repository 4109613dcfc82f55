"""What the demo commands share: run all inputs, show them, say what was done."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from rlepose_ext.engine.interrupt import StopSignal
from rlepose_ext.errors import UserError
from rlepose_ext.inference.drawing import Style
from rlepose_ext.inference.engine import Draw, Engine, Options
from rlepose_ext.inference.predictors import Predictor
from rlepose_ext.inference.sources import Source


def run_all(
    args: argparse.Namespace,
    sources: Sequence[Source],
    predictor: Predictor,
    draw: Draw | None = None,
    program: str = 'rlepose demo',
) -> int:
    """Run the inputs one after the other.

    Args:
        args: of :mod:`rlepose_ext.cli.demo`.
        sources: the inputs.
        predictor: finds the persons.
        draw: in place of the project's drawing.
        program: name of the command in messages.

    Returns:
        0; 2 if an input failed, the others are done anyway; 130 after Ctrl-C and 143 after
        SIGTERM, which end the run between two frames.
    """
    track = None if args.track == 'none' else args.track
    if args.draw_sigma and not predictor.has_sigma:
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
            engine = Engine(predictor, options, draw)
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
            if not engine.poses:
                print(f'{program}: nobody was found in {source.name}', file=sys.stderr)
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
