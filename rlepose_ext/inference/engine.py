"""Detect, crop, run, track, smooth, draw, write: for images, videos and cameras.

Threads share a video: one decodes, two find poses, one draws and encodes. Frames wait in short
queues between them, so memory is flat and the network does not wait for the disk. The persons of
several frames go through the network together, and while one chunk of frames is in the detector,
another one may be in the pose model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.drawing import Style, draw_poses
from rlepose_ext.inference.exports import SAVED, Exports
from rlepose_ext.inference.following import Following
from rlepose_ext.inference.images import read_image, write_image
from rlepose_ext.inference.onnx_file import onnx_threads
from rlepose_ext.inference.parallel import in_order, torch_threads, workers_and_threads
from rlepose_ext.inference.predictors import Predictor
from rlepose_ext.inference.sink import Sink
from rlepose_ext.inference.sources import Source
from rlepose_ext.inference.types import PoseResult
from rlepose_ext.inference.video import VideoReader

Draw = Callable[[np.ndarray, PoseResult], np.ndarray]


@dataclass
class Options:
    """What to do with the poses.

    Attributes:
        output_root: where all files go; ``None`` writes nothing.
        save: which are written, of :data:`.exports.SAVED`; ``()`` is none.
        save_predictions: write the files of :mod:`.predictions` too.
        style: of the drawing.
        tracking: ``None``, or one of :data:`.arguments.METHODS`; videos only.
        overlap: largest IoU of the boxes that ``'bytetrack'`` sees; ``None`` is the detector's own.
        smooth: filter tracked joints, see :mod:`.smoothing`.
        det_interval: the detector sees every so many frames of a video; between them a
            person's box is that around its last joints.
        vid_stride: every so many frames of a video are taken; the drawn one keeps its duration.
        start: where in a video to begin, seconds.
        end: where to end, seconds.
        frames_at_once: frames of a video whose persons share a batch.
        show: called with each drawn frame; false ends the run.
        stop: asked after each frame of a video; true ends the run.
        progress: called with (frames done, frames in all or 0).
    """

    output_root: Path | None = None
    save: Sequence[str] = ('image',)
    save_predictions: bool = False
    style: Style = field(default_factory=Style)
    tracking: str | None = None
    overlap: float | None = 0.7
    smooth: bool = False
    det_interval: int = 1
    vid_stride: int = 1
    start: float | None = None
    end: float | None = None
    frames_at_once: int = 8
    show: Callable[[np.ndarray], bool] | None = None
    stop: Callable[[], bool] | None = None
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        for name in ('det_interval', 'frames_at_once', 'vid_stride'):
            if getattr(self, name) < 1:
                raise UserError(f'{name}: expected 1 or more, got {getattr(self, name)}')
        for name in self.save:
            if name not in SAVED:
                raise UserError(
                    f'save: expected some of {", ".join(SAVED)}, which go to output_root, got '
                    f'{name!r}'
                )
        # NaN compares as false.
        if self.start is not None and not 0 <= self.start < math.inf:
            raise UserError(f'start: expected seconds from 0 on, got {self.start:g}')
        if self.end is not None and not (self.start or 0) < self.end:
            raise UserError(
                f'end: expected more than the start ({self.start or 0:g} s), got {self.end:g}'
            )
        if self.smooth and self.tracking is None:
            raise UserError('smoothing needs identities: switch tracking on')


class Engine:
    """The whole chain around one predictor.

    Args:
        predictor: finds the persons of a frame, see :mod:`.predictors`.
        options: see :class:`Options`.
        draw: in place of the project's drawing; takes and gives a BGR frame.
        following: of images that are the frames of one video; by default they have nothing to do
            with each other.

    Attributes:
        clock: seconds by stage, of all that was run.
        poses: number of poses found, of all that was run.
        notes: remarks for the user on files that were written in spite of a problem.
        first_frames: of the video that runs, those in whose time the networks warm up; 0 for an
            image.
    """

    def __init__(
        self,
        predictor: Predictor,
        options: Options,
        draw: Draw | None = None,
        following: Following | None = None,
    ) -> None:
        self.predictor, self.options = predictor, options
        self.following = following or Following(predictor)
        self.draw = draw or (lambda frame, poses: draw_poses(frame, poses, options.style))
        self.clock = Clock()
        self.poses = self.first_frames = 0
        self.notes: list[str] = []

    def run(self, source: Source) -> int:
        """Run one input and write what the options ask for.

        Returns:
            Number of frames.

        Raises:
            UserError: it cannot be read or written; what is written already is complete.
        """
        return sum(1 for _ in self.stream(source))

    def stream(self, source: Source) -> Iterator[PoseResult]:
        """As :meth:`run`, and give the poses of each frame, an image being one frame."""
        source = source.resolve()
        if self.options.output_root is not None:
            _check_output(self.options.output_root, source)
        return self._image(source) if source.kind == 'image' else self._video(source)

    def note(self, text: str) -> None:
        """Keep a text for the user, if there is one."""
        if text:
            self.notes.append(text)

    @property
    def draws(self) -> bool:
        """Whether drawn pictures are written."""
        return self.options.output_root is not None and 'image' in self.options.save

    def _image(self, source: Source) -> Iterator[PoseResult]:
        options = self.options
        with self.clock('decode'):
            image = read_image(source.readable)
        with self.following.boxes():
            (poses,) = self._predict([image], [source.name])
        poses = self.following.next(poses, self.clock)
        poses = replace(poses, image=image, path=source.label)
        self.poses += len(poses)
        if self.draws or options.show is not None:
            with self.clock('draw'):
                drawn = self.draw(image.copy(), poses)
        if options.output_root is not None:
            with self.clock('encode'):
                if self.draws:
                    write_image(options.output_root / source.output_name, drawn)
                files = self.exports(source)
                try:
                    files.add(poses)
                finally:
                    files.close()
        if options.show is not None:
            options.show(drawn)
        yield poses

    def _video(self, source: Source) -> Iterator[PoseResult]:
        options = self.options
        reader = VideoReader(
            source.readable,
            self.clock,
            live=source.kind == 'stream',
            stride=options.vid_stride,
            start=options.start,
            end=options.end,
        )
        sink = Sink(self, source, reader)
        stop = self.options.stop or (lambda: False)
        whole = False
        try:
            for poses in self._frames(reader, source):
                going_on = sink.put(poses)
                yield poses
                if not going_on or stop():
                    break
            else:
                self.note(reader.check_end())
                whole = options.end is None
        finally:
            reader.close()
            sink.close(whole)

    def _frames(self, reader: VideoReader, source: Source) -> Iterator[PoseResult]:
        """The persons of each frame, in order."""
        options = self.options
        following = Following(self.predictor, options.tracking, options.overlap, options.smooth)
        with following.boxes():
            for number, poses in enumerate(self._found(reader, source, following)):
                poses = following.next(poses, self.clock, reader.seconds(number))
                self.poses += len(poses)
                yield replace(poses, path=source.label, frame=reader.frame_number(number))

    def _found(
        self, reader: VideoReader, source: Source, following: Following
    ) -> Iterator[PoseResult]:
        """The persons of each frame, in order, without identities.

        Args:
            reader: of the frames.
            source: for their names.
            following: knows the frame before.
        """
        # Some models look for everybody in each frame, whatever is known of the frame before.
        follows = not getattr(self.predictor, 'finds_everybody', False)
        interval = self.options.det_interval if follows else 1

        def name(number: int) -> str:
            return f'{source.name}:{reader.frame_number(number)}'

        # Between detections a frame needs the poses of the one before, and a camera is live.
        if reader.is_camera or interval > 1:
            self.first_frames = 1
            for number, frame in enumerate(reader):
                if number % interval:
                    clock = Clock()
                    results = self.predictor.follow([frame], following.last, clock=clock)
                    yield from self._timed([frame], results, clock)
                else:
                    yield from self._predict([frame], [name(number)])
            return

        def named() -> Iterator[tuple[list[np.ndarray], list[str]]]:
            number = 0
            for frames in _chunks(reader, max(1, self.options.frames_at_once // workers)):
                yield frames, [name(number + index) for index in range(len(frames))]
                number += len(frames)

        workers, threads = workers_and_threads()
        self.first_frames = self.options.frames_at_once
        with torch_threads(threads) as begin, onnx_threads(threads):
            for results in in_order(lambda each: self._predict(*each), named(), workers, begin):
                yield from results

    def _predict(self, frames: Sequence[np.ndarray], names: Sequence[str]) -> list[PoseResult]:
        clock = Clock()
        return self._timed(frames, self.predictor.predict(frames, names, clock), clock)

    def _timed(
        self, frames: Sequence[np.ndarray], results: Sequence[PoseResult], clock: Clock
    ) -> list[PoseResult]:
        """The results of frames that ran together with their picture and ``speed``."""
        self.clock.add(clock)
        speed = {k: 1000 * v / max(len(results), 1) for k, v in clock.seconds.items()}
        pairs = zip(results, frames, strict=True)
        return [replace(each, image=frame, speed=speed) for each, frame in pairs]

    def exports(self, source: Source) -> Exports:
        """All files of an input except the drawn one."""
        assert self.options.output_root is not None  # callers write only then
        options = self.options
        return Exports(
            options.output_root, source, self.predictor.meta, options.save, options.save_predictions
        )


def _check_output(folder: Path, source: Source) -> None:
    """Make the folder, and see that the drawn file is not the input itself."""
    target = folder / source.output_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_file = source.url is None and source.image is None and source.path.exists()
        is_input = is_file and target.exists() and target.samefile(source.path)
    except OSError as error:
        raise UserError(f'{folder} cannot be written: {error.strerror or error}') from error
    if is_input:
        raise UserError(
            f'the drawn {source.output_name} would replace the input {source.path}: choose another '
            '--output-root'
        )


def _chunks(frames: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of so many frames; what came before an error is a list too."""
    chunk = []
    try:
        for frame in frames:
            chunk.append(frame)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except UserError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk
