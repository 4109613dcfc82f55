"""Draw and write the frames of a video behind the network."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from rlepose_ext.inference.sources import Source
from rlepose_ext.inference.types import PoseResult
from rlepose_ext.inference.video import AHEAD, VideoReader
from rlepose_ext.inference.video_writer import VideoWriter, no_h264

if TYPE_CHECKING:
    from rlepose_ext.inference.engine import Engine

_END = object()


class Sink:
    """Draws and writes the frames of a video, in a thread of its own."""

    def __init__(self, engine: Engine, source: Source, reader: VideoReader) -> None:
        self._engine, self._source, self._reader = engine, source, reader
        root = engine.options.output_root
        self._writer = None
        self._files = None
        if engine.draws:
            self._writer = VideoWriter(root / source.output_name, reader.fps, engine.clock)
            engine.note(no_h264())
        if root is not None:
            self._files = engine.exports(source)
        self.count = 0
        self._error: BaseException | None = None
        self._stopped = threading.Event()
        self._queue: queue.Queue = queue.Queue(maxsize=AHEAD)
        # Windows belong to the main thread, so with `show` there is no thread.
        self._thread = None
        if engine.options.show is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name='draw')
            self._thread.start()

    def put(self, poses: PoseResult) -> bool:
        """Hand a frame and its persons on; false if the run is to end.

        Raises:
            UserError: an earlier frame could not be written.
        """
        if self._thread is None:
            return self._write(poses)
        while not self._stopped.is_set():
            try:
                self._queue.put(poses, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def close(self, whole: bool = True) -> None:
        """Wait for the last frame, finish the files.

        Args:
            whole: all frames of the source are there, so its sound may be too.

        Raises:
            UserError: something could not be written.
        """
        if self._thread is not None:
            while self._thread.is_alive():
                try:
                    self._queue.put(_END, timeout=0.1)
                    break
                except queue.Full:
                    continue
            self._thread.join()
        try:
            self._finish_files(whole and self._error is None)
        finally:
            # The first error is the cause of those that finishing meets.
            if self._error is not None:
                raise self._error

    def _finish_files(self, whole: bool) -> None:
        try:
            if self._files is not None:
                self._files.close()
        finally:
            if self._writer is not None:
                reader = self._reader
                sound = None if reader.is_camera else self._source.readable
                fps, start = reader.average_fps(self._writer.count), reader.start
                self._engine.note(self._writer.close(sound, fps, whole, start))

    def _run(self) -> None:
        try:
            while (item := self._queue.get()) is not _END:
                self._write(item)
        except BaseException as error:
            self._error = error
            self._stopped.set()

    def _write(self, poses: PoseResult) -> bool:
        options = self._engine.options
        frame = poses.image
        if self._files is not None:
            with self._engine.clock('encode'):
                time = self._reader.seconds(self.count)
                self._files.add(poses, time, self._reader.frame_number(self.count))
        going_on = True
        if self._writer is not None or options.show is not None:
            with self._engine.clock('draw'):
                # The caller has the frame too.
                frame = self._engine.draw(frame.copy(), poses)
        if self._writer is not None:
            self._writer.write(frame)
        if options.show is not None:
            going_on = options.show(frame)
        self.count += 1
        if options.progress is not None:
            options.progress(self.count, self._reader.frame_count)
        return going_on
