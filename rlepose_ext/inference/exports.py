"""What is written of the persons beside drawn pictures: predictions, crops, label lines, a table.

Of an input called ``STEM``:

* ``results_STEM.json`` and ``STEM_coco.json``, see :mod:`.predictions`;
* ``crops/STEM/``: each person's box as a JPEG, ``PERSON.jpg`` or, of a video,
  ``FRAME_PERSON.jpg``;
* ``labels/STEM.txt``, of a video ``labels/STEM_FRAME.txt``: label lines as Ultralytics writes them,
  ``0 cx cy w h x1 y1 s1 x2 y2 s2 ...``, coordinates as a share of width and height;
* ``STEM.csv``: a row for each joint of each person of each frame.

Persons count from 0 in the order of their scores, with tracking they have their identity. Frames
are those of the source, from 0.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.images import write_file, write_image
from rlepose_ext.inference.predictions import Predictions, write_all
from rlepose_ext.inference.sources import Source
from rlepose_ext.inference.types import PoseResult

# What --save takes; the first is the drawn picture or video.
SAVED = ('image', 'crops', 'txt', 'csv')
COLUMNS = (
    *('frame', 'time', 'person', 'track_id', 'person_score', 'x1', 'y1', 'x2', 'y2'),
    *('joint', 'x', 'y', 'score', 'sigma_x', 'sigma_y'),
)


class Export(Protocol):
    """One kind of file."""

    def add(self, poses: PoseResult, time: float, number: int) -> None:
        """Add the next frame, or the image.

        Args:
            poses: its persons and its picture.
            time: seconds.
            number: of the frame in its video.

        Raises:
            UserError: it cannot be written; what came before is complete.
        """

    def close(self) -> None:
        """Finish the file."""


class Exports:
    """All files of one input except the drawn one.

    Args:
        folder: where they go.
        source: the input.
        meta: of the joints.
        save: names of :data:`SAVED`.
        predictions: those of :class:`Predictions` too.

    Raises:
        UserError: a file cannot be made.
    """

    def __init__(
        self, folder: Path, source: Source, meta: dict, save: Collection[str], predictions: bool
    ) -> None:
        is_video, stem = source.kind != 'image', source.stem
        self._each: list[Export] = []
        try:
            if predictions:
                number = _number(source.path.stem)
                self._each.append(Predictions(folder, stem, meta, is_video, number))
            if 'crops' in save:
                self._each.append(Crops(folder / 'crops' / stem, is_video))
            if 'txt' in save:
                self._each.append(Labels(folder / 'labels', stem, is_video))
            if 'csv' in save:
                self._each.append(Table(folder / f'{stem}.csv'))
        except UserError:
            self.close()
            raise

    def add(self, poses: PoseResult, time: float = 0.0, number: int = 0) -> None:
        """Add a frame to all files, see :meth:`Export.add`."""
        for each in self._each:
            each.add(poses, time, number)

    def close(self) -> None:
        """Finish all files, also when one of them fails."""
        if self._each:
            first = self._each.pop(0)
            try:
                first.close()
            finally:
                self.close()


class Crops:
    """Each person's box as a JPEG; boxes outside the picture are left out.

    Args:
        folder: where they go.
        is_video: the number of the frame is in the name.
    """

    def __init__(self, folder: Path, is_video: bool) -> None:
        self._folder, self._is_video = folder, is_video

    def add(self, poses: PoseResult, time: float, number: int) -> None:
        """See :meth:`Export.add`."""
        if poses.image is None:
            return
        size = poses.image.shape[1::-1]
        boxes = np.nan_to_num(poses.boxes.reshape(-1, 2, 2).astype(np.float64))
        low = np.clip(np.floor(boxes[:, 0]), 0, size).astype(int)
        high = np.clip(np.ceil(boxes[:, 1]), 0, size).astype(int)
        before = f'{number:06d}_' if self._is_video else ''
        for index, ((x1, y1), (x2, y2)) in enumerate(zip(low, high, strict=True)):
            if x2 > x1 and y2 > y1:
                name = f'{before}{_person(poses, index)}.jpg'
                write_image(self._folder / name, poses.image[y1:y2, x1:x2])

    def close(self) -> None:
        """Nothing is open."""


class Labels:
    """A text file for each frame, a line for each person; empty if there is nobody.

    Args:
        folder: where they go.
        stem: what they are called after.
        is_video: the number of the frame is in the name.
    """

    def __init__(self, folder: Path, stem: str, is_video: bool) -> None:
        self._folder, self._stem, self._is_video = folder, stem, is_video

    def add(self, poses: PoseResult, time: float, number: int) -> None:
        """See :meth:`Export.add`."""
        name = f'{self._stem}_{number:06d}.txt' if self._is_video else f'{self._stem}.txt'
        text = ''.join(f'{line}\n' for line in label_lines(poses))
        write_file(self._folder / name, text.encode())

    def close(self) -> None:
        """Nothing is open."""


def label_lines(poses: PoseResult) -> list[str]:
    """``0 cx cy w h x1 y1 s1 x2 y2 s2 ...`` of each person, as a share of width and height.

    Raises:
        UserError: the picture, whose size is needed, was not kept.
    """
    if poses.image is None:
        raise UserError('label lines need the size of the picture, which was not kept')
    if not len(poses):
        return []
    size = np.array(poses.image.shape[1::-1], np.float64)
    low, high = poses.boxes[:, :2] / size, poses.boxes[:, 2:] / size
    boxes = np.concatenate([(low + high) / 2, high - low], axis=1)
    joints = np.concatenate([poses.keypoints / size, poses.scores[..., None]], axis=2)
    rows = np.concatenate([boxes, joints.reshape(len(poses), -1)], axis=1)
    return [' '.join(['0', *(f'{value:.6g}' for value in row)]) for row in rows.tolist()]


class Table:
    """A CSV file with the columns :data:`COLUMNS`; what is not known is empty.

    ``sigma_x`` and ``sigma_y`` are standard deviations of the joint's error, px.

    Args:
        path: the file, which has its name only when it is complete.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(f'.{path.name}.part')
        self._end = 0
        try:
            self._file = self._part.open('wb', buffering=0)
        except OSError as error:
            raise UserError(f'{path} cannot be written: {error.strerror}') from error
        self._put([COLUMNS])

    def add(self, poses: PoseResult, time: float, number: int) -> None:
        """See :meth:`Export.add`."""
        deviation, rows = poses.sigma_px, []
        for index in range(len(poses)):
            track = None if poses.track_id is None else int(poses.track_id[index])
            person = [number, f'{time:.4f}', index, track, f'{poses.box_scores[index]:.4f}']
            person += [f'{value:.2f}' for value in poses.boxes[index]]
            for joint, name in enumerate(poses.names):
                x, y = poses.keypoints[index, joint]
                row = [*person, name, f'{x:.2f}', f'{y:.2f}', f'{poses.scores[index, joint]:.4f}']
                known = (None, None) if deviation is None else deviation[index, joint]
                rows.append(row + [None if v is None else f'{v:.2f}' for v in known])
        self._put(rows)

    def close(self) -> None:
        """Give the file its name."""
        if not self._file.closed:
            self._file.close()
            self._part.replace(self._path)

    def _put(self, rows: list) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator='\n').writerows(rows)
        try:
            write_all(self._file, text.getvalue().encode())
            self._end = self._file.tell()
        except OSError as error:
            # Whole frames only.
            self._file.truncate(self._end)
            if self._end:
                self.close()
            else:
                self._file.close()
                self._part.unlink(missing_ok=True)
            raise UserError(f'{self._path} cannot be written: {error.strerror}') from error


def _person(poses: PoseResult, index: int) -> str:
    if poses.track_id is None:
        return str(index)
    identity = int(poses.track_id[index])
    # Persons of low score have none, and must not take the name of one who has.
    return str(identity) if identity >= 0 else f'none{index}'


def _number(stem: str) -> int:
    """COCO's images are called after their number."""
    return int(stem) if stem.isascii() and stem.isdigit() else 0
