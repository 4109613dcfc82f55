"""Read and write videos without losing frames, time, sound or orientation.

OpenCV decodes and encodes. What it does not do is added here: frames are read ahead and
written behind in threads with bounded queues, so memory does not grow with the video; a file
that ends early is told from one that ends; the sound is copied over and the average frame
rate mended by ffmpeg, where it is installed (:mod:`.ffmpeg`). Written frames are evenly spaced.
"""

from __future__ import annotations

import itertools
import math
import os
import queue
import shutil
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.ffmpeg import announced_frames, remux

# Damaged files end in our messages; without this the decoder adds dozens of its own. OpenCV
# reads it when it opens the first video.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
DEFAULT_FPS = 25.0
# Frames that wait in a queue: enough to smooth over stages, few enough for memory.
AHEAD = 8
# Bytes that stay free on the disk, to finish files with, and frames between looks at it.
RESERVE = 16_000_000
LOOK_EVERY = 25
_END = object()


class VideoReader:
    """Iterates over the frames of a file or a camera, in a thread of its own.

    Rotation metadata is applied by OpenCV, so frames come upright.

    Args:
        source: a file, or the number of a camera.
        clock: adds up the time of decoding.

    Attributes:
        fps: frames per second as the file says, 25 if it says nothing sensible.
        frame_count: as the file says, an estimate in some formats; 0 if it does not know.
        times: seconds of each frame read so far; irregular with a variable frame rate.

    Raises:
        UserError: missing, empty, no video, or a camera that is not there.
    """

    def __init__(self, source: Path | int, clock: Clock | None = None) -> None:
        self.name = f'webcam {source}' if isinstance(source, int) else f'video {source}'
        self.is_camera = isinstance(source, int)
        self._path = source.absolute() if isinstance(source, Path) else None
        if self._path is not None:
            _check_file(source)
        with _quiet():
            # Absolute: in `12:30.mp4` FFmpeg would read the name of a protocol.
            self._capture = cv2.VideoCapture(source if self.is_camera else str(self._path))
        self._clock = clock or Clock()
        first = self._read() if self._capture.isOpened() else None
        if first is None:
            self._capture.release()
            reason = (
                'is not there or gives no picture'
                if self.is_camera
                else (
                    'has no frame that can be decoded: it is damaged, or in a format that this '
                    'OpenCV does not have'
                )
            )
            raise UserError(f'{self.name} {reason}')
        self._first = first
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else DEFAULT_FPS
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frame_count = int(count) if math.isfinite(count) and 0 < count < 2**31 else 0
        self.times: list[float] = []
        self._queue: queue.Queue = queue.Queue(maxsize=1 if self.is_camera else AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name='decode')

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 BGR, in order, each once."""
        self._thread.start()
        while True:
            frame = self._queue.get()
            if frame is _END:
                return
            if isinstance(frame, BaseException):
                raise frame
            yield frame

    def close(self) -> None:
        """Stop reading and free the file."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._capture.release()

    def check_end(self) -> str:
        """See, after the last frame, whether all came that the file announced.

        Its count alone does not tell: with a variable frame rate it may be duration times
        nominal rate, and it includes frames that an edit list hides.

        Returns:
            What cannot be told, else nothing.

        Raises:
            UserError: frames are missing.
        """
        count, announced = len(self.times), self.frame_count
        if self._path is None or not _fewer(count, announced):
            return ''
        counted = announced_frames(self._path)
        if counted is None:
            length, end = announced / self.fps, max(self.times) + 1 / self.fps
            if not _fewer(round(end * self.fps), announced):
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

    def _run(self) -> None:
        try:
            frame, time = self._first
            while frame is not None and not self._stop.is_set():
                self.times.append(time)
                self._put(frame)
                with self._clock('decode'):
                    found = self._read()
                frame, time = found if found is not None else (None, 0.0)
            self._put(_END)
        except Exception as error:
            self._put(error)

    def _read(self) -> tuple[np.ndarray, float] | None:
        there, frame = self._capture.read()
        if not there or frame is None:
            return None
        time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return frame, time

    def _put(self, item: Any) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                continue


class VideoWriter:
    """Writes frames to a file, in a thread of its own.

    The file has its name only when it is finished; what was written until an error is
    finished too.

    Args:
        path: to write, with a suffix that OpenCV knows; mp4v or MJPG is the codec.
        fps: frames per second.
        clock: adds up the time of encoding.
    """

    def __init__(self, path: Path, fps: float, clock: Clock | None = None) -> None:
        self.path, self.fps = path, fps
        # Absolute, as what VideoReader opens.
        self.part = path.absolute().with_name(f'.{path.stem}.part{path.suffix}')
        self.count = 0
        self._writer: cv2.VideoWriter | None = None
        self._size: tuple[int, int] | None = None
        self._clock = clock or Clock()

    def write(self, frame: np.ndarray) -> None:
        """Add a frame (H, W, 3) uint8 BGR.

        Raises:
            UserError: the file cannot be written, or the disk is nearly full.
        """
        size = (frame.shape[1], frame.shape[0])
        if self._writer is None:
            self._writer, self._size = self._open(size), size
        if self.count % LOOK_EVERY == 0:
            self._check_space()
        with self._clock('encode'):
            if size != self._size:
                # Some cameras change their resolution; a file has one.
                frame = cv2.resize(frame, self._size)
            self._writer.write(frame)
        self.count += 1

    def close(
        self, sound: Path | None = None, average_fps: float | None = None, whole: bool = True
    ) -> str:
        """Finish the file.

        Args:
            sound: video of which the sound is copied, where ffmpeg is installed.
            average_fps: what the frame rate turned out to be.
            whole: copy all of the sound, else as much as there are frames.

        Returns:
            What ffmpeg could not do, else nothing.

        Raises:
            UserError: fewer frames are in the file than were written: no space is left.
        """
        if self._writer is None:
            return ''
        self._writer.release()
        self._writer = None
        check = cv2.VideoCapture(str(self.part))
        there = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check.isOpened() else 0
        check.release()
        if not there:
            # An unfinished MP4 is of no use.
            self.part.unlink(missing_ok=True)
            if self.count:
                raise UserError(
                    f'{self.path}: none of {self.count} frames can be read back. {self._free()}'
                )
            return ''
        fps = average_fps or self.fps
        stretch, failed = self.fps / fps, ''
        if sound is not None or abs(stretch - 1) > 0.01:
            failed = remux(self.part, sound, stretch, None if whole else there / fps)
        self.part.replace(self.path)
        if there < self.count:
            raise UserError(
                f'{self.path}: {self.count} frames were written and {there} can be read back. '
                f'{self._free()}'
            )
        if failed:
            return (
                f'{self.path}: ffmpeg could not copy the sound or set the frame rate, so it is '
                f'silent and has {self.fps:.4g} frames a second ({failed})'
            )
        return ''

    def _check_space(self) -> None:
        if shutil.disk_usage(self.path.parent).free < RESERVE:
            raise UserError(
                f'{self.path}: the disk is full. {self._free()} {RESERVE / 1e6:.0f} MB are kept to '
                f'finish files. {self.count} frames are done; make room, or choose another folder.'
            )

    def _free(self) -> str:
        free = shutil.disk_usage(self.path.parent).free
        return f'{free / 1e6:.0f} MB are free on that disk.'

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        codec = 'MJPG' if self.path.suffix.lower() == '.avi' else 'mp4v'
        code = cv2.VideoWriter_fourcc(*codec)
        with _quiet():
            writer = cv2.VideoWriter(str(self.part), code, self.fps, size)
        if not writer.isOpened():
            raise UserError(
                f'{self.path} cannot be written as video ({codec}, {size[0]}x{size[1]}). Check '
                'the folder, the free space, and the suffix: .mp4 and .avi work everywhere.'
            )
        return writer


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV prints what each of its backends said; the caller raises one error instead."""
    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)


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
