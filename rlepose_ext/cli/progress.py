"""How fast a run goes, and how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

# Seconds between two lines of progress where they are not seen at once.
EVERY = 10.0
# In the order in which a frame passes through them.
STAGES = ('decode', 'detect', 'crop', 'network', 'decode keypoints', 'track', 'draw', 'encode')


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
