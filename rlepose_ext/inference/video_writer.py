"""Write videos: H.264 where ffmpeg is installed, frames evenly spaced, with the source's sound.

A file has its name only when it is complete, and is completed also when a run ends early or the
disk is nearly full. ffmpeg copies the sound and mends the average frame rate (:mod:`.ffmpeg`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.ffmpeg import H264_SUFFIXES, H264Writer, remux
from rlepose_ext.inference.video import quiet
from rlepose_ext.programs import encodes_h264

# Bytes that stay free on the disk, to finish files with, and frames between looks at it.
RESERVE = 16_000_000
LOOK_EVERY = 25


class VideoWriter:
    """Writes frames to a file, in a thread of its own.

    The file has its name only when it is finished; what was written until an error is
    finished too. Codecs want even sides: of odd ones the last row or column comes twice.

    Args:
        path: to write, with a suffix that OpenCV knows. The codec is H.264 where ffmpeg has it
            and the suffix allows it, else mp4v, or MJPG in AVI.
        fps: frames per second.
        clock: adds up the time of encoding.
    """

    def __init__(self, path: Path, fps: float, clock: Clock | None = None) -> None:
        self.path, self.fps = path, fps
        # Absolute, as what VideoReader opens.
        self.part = path.absolute().with_name(f'.{path.stem}.part{path.suffix}')
        self.count = 0
        self._writer: cv2.VideoWriter | H264Writer | None = None
        self._size: tuple[int, int] | None = None
        self._clock = clock or Clock()

    def write(self, frame: np.ndarray) -> None:
        """Add a frame (H, W, 3) uint8 BGR.

        Raises:
            UserError: the file cannot be written, or the disk is nearly full.
        """
        below, right = frame.shape[0] % 2, frame.shape[1] % 2
        if below or right:
            frame = cv2.copyMakeBorder(frame, 0, below, 0, right, cv2.BORDER_REPLICATE)
        size = (frame.shape[1], frame.shape[0])
        if self._writer is None:
            self._writer, self._size = self._open(size), size
        if self.count % LOOK_EVERY == 0:
            self._check_space()
        with self._clock('encode'):
            if size != self._size:
                # Some cameras change their resolution; a file has one.
                frame = cv2.resize(frame, self._size)
            try:
                self._writer.write(frame)
            except OSError as error:
                raise UserError(f'{self.path} cannot be written: {error}') from error
        self.count += 1

    def close(
        self,
        sound: Path | str | None = None,
        average_fps: float | None = None,
        whole: bool = True,
        start: float = 0.0,
    ) -> str:
        """Finish the file.

        Args:
            sound: video, or its address, of which the sound is copied, where ffmpeg is installed.
            average_fps: what the frame rate turned out to be.
            whole: copy all of the sound, else as much as there are frames.
            start: where the sound begins, seconds.

        Returns:
            What ffmpeg could not do, else nothing.

        Raises:
            UserError: fewer frames are in the file than were written: no space is left.
        """
        if self._writer is None:
            return ''
        self._writer.release()
        is_h264 = isinstance(self._writer, H264Writer)
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
        matters = sound is not None or abs(stretch - 1) > 0.01
        if is_h264 or matters:
            failed = remux(self.part, sound, stretch, None if whole else there / fps, start)
        self.part.replace(self.path)
        if there < self.count:
            raise UserError(
                f'{self.path}: {self.count} frames were written and {there} can be read back. '
                f'{self._free()}'
            )
        if failed and matters:
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

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter | H264Writer:
        fits = self.path.suffix.lower() in H264_SUFFIXES
        # Where there is no folder, OpenCV says so at once.
        if fits and self.part.parent.is_dir() and encodes_h264():
            return H264Writer(self.part, self.fps, size)
        codec = 'MJPG' if self.path.suffix.lower() == '.avi' else 'mp4v'
        code = cv2.VideoWriter_fourcc(*codec)
        with quiet():
            writer = cv2.VideoWriter(str(self.part), code, self.fps, size)
        if not writer.isOpened():
            raise UserError(
                f'{self.path} cannot be written as video ({codec}, {size[0]}x{size[1]}). Check '
                'the folder, the free space, and the suffix: .mp4 and .avi work everywhere.'
            )
        return writer


def no_h264() -> str:
    """What is missing without ffmpeg and libx264, else nothing."""
    if encodes_h264():
        return ''
    lost = '' if shutil.which('ffmpeg') else ', and without sound'
    return (
        f'ffmpeg with libx264 is not installed: videos have the codec mp4v, which browsers do not '
        f'play{lost}'
    )
