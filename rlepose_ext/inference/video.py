"""Read videos, cameras and streams without losing frames, times or orientation.

OpenCV decodes. What it does not do is added here: frames are read ahead in a thread with a bounded
queue, so memory does not grow with the video; parts of a file begin at their times; a file that
ends early is told from one that ends. :mod:`.video_writer` writes.
"""

from __future__ import annotations

import itertools
import math
import os
import queue
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.ffmpeg import announced_frames
from rlepose_ext.inference.remote import shown

# Damaged files end in our messages; without this the decoder adds dozens of its own. OpenCV
# reads it when it opens the first video.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
DEFAULT_FPS = 25.0
# Frames that wait in a queue: enough to smooth over stages, few enough for memory.
AHEAD = 8
# Milliseconds until an address counts as dead, and until a silent stream has ended.
OPEN_TIMEOUT, READ_TIMEOUT = 10_000, 10_000
# Seconds before the asked ones to which a file is wound: OpenCV goes by frame numbers, which are
# a bit off where the rate varies.
_RUN_UP = 1.0
_END = object()


class VideoReader:
    """Iterates over the frames of a file, a camera or a stream, in a thread of its own.

    Rotation metadata is applied by OpenCV, so frames come upright. Of a stream, frames that are
    not taken in time are dropped, so that it stays live.

    Args:
        source: a file, the number of a camera, or an address.
        clock: adds up the time of decoding.
        live: the address is of a stream, not of a file.
        stride: every so many frames are given.
        start: seconds from which on frames are given.
        end: seconds up to which they are.

    Attributes:
        is_camera: live: a camera or a stream.
        fps: frames per second that are given: as the file says, 25 if it says nothing sensible,
            over the stride.
        frame_count: how many will be given, an estimate in some formats; 0 if that is not known.
        decoded: frames read from the file so far.
        times: seconds of each frame given so far; irregular with a variable frame rate. Of a
            stream, since it was opened.

    Raises:
        UserError: missing, empty, no video, a camera that is not there, a stream that does not
            answer, or a start behind the end.
    """

    def __init__(
        self,
        source: Path | int | str,
        clock: Clock | None = None,
        live: bool = False,
        stride: int = 1,
        start: float | None = None,
        end: float | None = None,
    ) -> None:
        kinds = {int: 'webcam', str: 'stream' if live else 'video'}
        label = shown(source) if isinstance(source, str) else source
        self.name = f'{kinds.get(type(source), "video")} {label}'
        self._is_stream = live
        self.is_camera = live or isinstance(source, int)
        self._path = source.absolute() if isinstance(source, Path) else None
        if self._path is not None:
            _check_file(source)
        self._stride, self._start, self._end = stride, start or 0.0, end
        self._clock = clock or Clock()
        self._opened = time.perf_counter()
        self.decoded = 0
        # The end was asked for, not met.
        self._cut = False
        self._capture = _open_capture(source if self._path is None else str(self._path))
        first = self._read() if self._capture.isOpened() else None
        if first is None:
            self._capture.release()
            raise UserError(f'{self.name} {self._reason(source)}')
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._source_fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else DEFAULT_FPS
        self.fps = self._source_fps / stride
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._announced = int(count) if math.isfinite(count) and 0 < count < 2**31 else 0
        if self.is_camera:
            self._announced = 0
        self._first = first if self._start <= 0 else self._wind(first)
        # Frames before the first one, as they would be with a steady rate.
        self._before = 0
        if self._start and not self.is_camera:
            self._before = round(self._first[1] * self._source_fps)
        self.frame_count = self._expected()
        self.times: list[float] = []
        self._queue: queue.Queue = queue.Queue(maxsize=1 if self.is_camera else AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name='decode')

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 BGR, in order, each once."""
        self._thread.start()
        while True:
            item = self._queue.get()
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            frame, seconds = item
            self.times.append(seconds)
            yield frame

    def close(self) -> None:
        """Stop reading and free the file."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._capture.release()

    def frame_number(self, index: int) -> int:
        """Number in the file, from 0, of the frame that was given as number ``index``."""
        return self._before + index * self._stride

    def seconds(self, index: int) -> float:
        """Of the frame that was given as number ``index``; where the file has no times, by it."""
        time = self.times[index]
        return time if time > 0 else self.frame_number(index) / self._source_fps

    @property
    def start(self) -> float:
        """Seconds that were passed over before the first frame."""
        return self._first[1] if self._before else 0.0

    def check_end(self) -> str:
        """See, after the last frame, whether all came that the file announced.

        Its count alone does not tell: with a variable frame rate it may be duration times
        nominal rate, and it includes frames that an edit list hides.

        Returns:
            What cannot be told, else nothing.

        Raises:
            UserError: frames are missing.
        """
        if self._is_stream and not self._cut:
            return f'{self.name} has ended, or is silent; {len(self.times)} frames are done'
        fps, announced = self._source_fps, self._announced
        count = self._before + self.decoded
        if self.is_camera or self._cut or not self.times or not _fewer(count, announced):
            return ''
        counted = None if self._path is None else announced_frames(self._path)
        if counted is None:
            length, end = announced / fps, max(self.times) + self._stride / fps
            if not _fewer(round(end * fps), announced):
                return ''
            return (
                f'{self.name}: {count} frames, {end:.1f} of {length:.1f} s, were decoded. Its end '
                'is missing, or it was trimmed, or its sound is longer: ffprobe, which comes with '
                'ffmpeg, would tell'
            )
        if _fewer(count, counted):
            raise UserError(
                f'{self.name} ends early: {count} of {counted} frames could be decoded. Those '
                'are done; copy the file again for the rest.'
            )
        return ''

    def average_fps(self, count: int | None = None) -> float:
        """Frames per second by the times of the frames; the last one lasts as long as most.

        Args:
            count: of the first so many frames; by default of those read so far.
        """
        times = self.times[:count]
        if len(times) < 2 or times[-1] <= times[0]:
            return self.fps
        last = statistics.median(b - a for a, b in itertools.pairwise(times))
        return len(times) / (times[-1] - times[0] + last)

    def _reason(self, source: Path | int | str) -> str:
        """Why there is no frame."""
        if isinstance(source, int):
            return 'is not there or gives no picture'
        if self._is_stream:
            return (
                f'gives no picture within {OPEN_TIMEOUT // 1000} s: is it running, and reachable?'
            )
        return (
            'has no frame that can be decoded: it is damaged, or in a format that this OpenCV does '
            'not have'
        )

    def _expected(self) -> int:
        """How many frames will be given."""
        last = self._announced
        if self._end is not None:
            last = min(last, math.ceil(self._end * self._source_fps))
        return max(math.ceil((last - self._before) / self._stride), 0)

    def _wind(self, first: tuple[np.ndarray, float]) -> tuple[np.ndarray, float]:
        """The first frame from the start on.

        Raises:
            UserError: there is none.
        """
        half = 0.5 / self._source_fps
        if not self.is_camera and self._start > 2 * _RUN_UP:
            self._capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * (self._start - _RUN_UP))
            found = self._read()
            if found is None or found[1] > self._start + half:
                # It cannot be wound, or not well: from the beginning, then.
                self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
                found = self._read()
            first = found or first
        self.decoded = 1
        frame, seconds = first
        while seconds < self._start - half:
            found = self._read()
            if found is None:
                raise UserError(
                    f'{self.name} ends at {seconds + 2 * half:.1f} s, before the start '
                    f'({self._start:g} s)'
                )
            frame, seconds = found
            self.decoded = 1
        return frame, seconds

    def _run(self) -> None:
        try:
            # That a stream is silent is said once, at its end.
            with quiet() if self._is_stream else nullcontext():
                self._give()
            self._put(_END)
        except Exception as error:
            self._put(error)

    def _give(self) -> None:
        found: tuple[np.ndarray, float] | None = self._first
        while found is not None and not self._stop.is_set():
            if self._end is not None and found[1] > self._end - 0.5 / self._source_fps:
                self._cut = True
                break
            self._put(found)
            with self._clock('decode'):
                found = self._read() if self._skip() else None

    def _skip(self) -> bool:
        """Pass over the frames between two that are given; false at the end."""
        for _ in range(self._stride - 1):
            if self._stop.is_set() or not self._capture.grab():
                return False
            self.decoded += 1
        return True

    def _read(self) -> tuple[np.ndarray, float] | None:
        there, frame = self._capture.read()
        if not there or frame is None:
            return None
        self.decoded += 1
        if self._is_stream:
            # Streams count from wherever they like.
            return frame, time.perf_counter() - self._opened
        return frame, self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def _put(self, item: Any) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0 if self._is_stream else 0.1)
                return
            except queue.Full:
                if self._is_stream and item is not _END:
                    with suppress(queue.Empty):
                        self._queue.get_nowait()


@contextmanager
def quiet() -> Iterator[None]:
    """OpenCV prints what each of its backends said; the caller raises one error instead."""
    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)


def _open_capture(source: str | int) -> cv2.VideoCapture:
    with quiet():
        if not isinstance(source, str) or '://' not in source:
            # A path is absolute: in `12:30.mp4` FFmpeg would read the name of a protocol.
            return cv2.VideoCapture(source)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT]
        return cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open('rb'):
            pass
    except OSError as error:
        raise UserError(f'video {path} cannot be read: {error.strerror or error}') from error
    if size == 0:
        raise UserError(f'video {path} is empty: copy it again')


def _fewer(count: int, expected: int) -> bool:
    """Counts in headers are estimates in some formats, so a few missing ones are no sign."""
    return count < 0.98 * expected - 2
