"""What the demo commands share: run all inputs, show them, say what was done."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from rlepose_ext.engine.interrupt import StopSignal
from rlepose_ext.errors import UserError
from rlepose_ext.inference.drawing import Style
from rlepose_ext.inference.engine import Draw, Engine, Options
from rlepose_ext.inference.finished import Record
from rlepose_ext.inference.predictors import Predictor
from rlepose_ext.inference.sources import Source

# Seconds between two lines of progress where they are not seen at once.
EVERY = 10.0
# In the order in which a frame passes through them.
STAGES = ('decode', 'detect', 'crop', 'network', 'decode keypoints', 'track', 'draw', 'encode')


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
            'this model does not estimate sigma: no ellipses (models with RLE do)', file=sys.stderr
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
                if args.show:
                    # A single picture stays until a key is pressed, as in MMPose's demo.
                    wait = None if source.kind == 'image' else pause
                    options.show = partial(show_frame, seconds=wait, stop=stop)
                for frames, _ in enumerate(engine.stream(source), 1):
                    if frames == 1:
                        left_out = 0 if source.kind == 'image' else options.first_frames(source)
                        bar.warm(left_out)
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
    """Frames a second and the time that is left, on standard error.

    A bar on a terminal, elsewhere a line every :data:`EVERY` seconds.

    Args:
        name: of the input.
        quiet: say nothing.
        terminal: standard error is one.
    """

    def __init__(self, name: str, quiet: bool, terminal: bool) -> None:
        self.name, self.quiet, self.terminal = name, quiet, terminal
        self._start = self._begun = time.perf_counter()
        self._shown, self._pause = 0.0, 0.1 if terminal else EVERY
        self.left_out = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return max(time.perf_counter() - self._start, 1e-9)

    def warm(self, left_out: int) -> None:
        """The network has run for the first time, on so many frames: the clock starts."""
        self._begun, self.left_out = time.perf_counter(), left_out

    def rate(self, done: int) -> tuple[float, int]:
        """Frames a second, and how many frames do not count: none where there are no others."""
        counted = done - self.left_out
        if counted <= 0 or not self.left_out:
            return done / self.seconds, 0
        return counted / max(time.perf_counter() - self._begun, 1e-9), self.left_out

    def __call__(self, done: int, total: int) -> None:
        """Show where the run is, if it is time."""
        if self.quiet or self.seconds - self._shown < self._pause:
            return
        self._shown = self.seconds
        fps, _ = self.rate(done)
        text = f'{self.name}: {done} frames, {fps:.1f} fps'
        if total:
            left = max(total - done, 0) / fps
            filled = '#' * min(20 * done // total, 20)
            bar = f' [{filled:.<20}]' if self.terminal else ':'
            text = f'{self.name}{bar} {done}/{total}, {fps:.1f} fps, {left:.0f} s left'
        before, end = ('\r\x1b[K', '') if self.terminal else ('', '\n')
        print(f'{before}{text}', end=end, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the bar away."""
        if self.terminal and not self.quiet:
            print('\r\x1b[K', end='', file=sys.stderr, flush=True)


class Speed:
    """Milliseconds a frame of each stage, over all inputs.

    What the network ran on first, while it warmed up, counts only if there was nothing else.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._seconds: dict[str, float] = {}
        self._before: dict[str, float] = {}
        # Only that is in it.
        self._cold = True

    def warm(self, seconds: Mapping[str, float]) -> None:
        """Note the seconds by stage of an input when its first frames are done."""
        self._before = dict(seconds)

    def add(self, seconds: Mapping[str, float], frames: int, left_out: int) -> None:
        """Add an input.

        Args:
            seconds: by stage.
            frames: of the input.
            left_out: how many of them were done at :meth:`warm`, and do not count.
        """
        if not frames:
            return
        warm = 0 < left_out < frames
        if self._cold and (self.frames or warm):
            self._seconds, self.frames, self._cold = {}, 0, False
        for stage, value in seconds.items():
            value -= self._before.get(stage, 0.0) if warm else 0.0
            self._seconds[stage] = self._seconds.get(stage, 0.0) + value
        self.frames += frames - left_out if warm else frames

    def __str__(self) -> str:
        """``decode 1.8, detect 40, network 60, draw 3, encode 5 ms a frame``."""
        order = {name: place for place, name in enumerate(STAGES)}
        stages = sorted(self._seconds, key=lambda name: order.get(name, len(order)))
        each = {stage: 1000 * self._seconds[stage] / self.frames for stage in stages}
        shown = ', '.join(
            f'{stage} {ms:.{0 if ms >= 9.95 else 1}f}' for stage, ms in each.items() if ms >= 0.05
        )
        return f'{shown} ms a frame' + (', start-up included' if self._cold else '')


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
