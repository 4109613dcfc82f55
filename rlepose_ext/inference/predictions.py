"""Files of predictions, written as they come so that memory does not grow with the video.

``results_<stem>.json`` has the form of MMPose's demo: ``meta_info``, the data set's, and
``instance_info``; of an image a list of persons, of a video a list of frames with ``frame_id``
(from 1) and ``instances``. Ours are ``time`` of a frame in seconds, ``track_id`` and ``sigma``
of a person, and ``sigma_spread`` in ``meta_info``.

``<stem>_coco.json`` is a COCO keypoint results file: of a video the ``image_id`` is the number
of the frame, from 0.

A file has its name only when it is complete, and is completed also when a run ends early or the
disk is full.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any, NoReturn

from rlepose_ext.errors import UserError
from rlepose_ext.inference.types import PoseResult


class JsonList:
    """A JSON file whose last part is a long list, written entry by entry.

    Args:
        path: the file.
        before: what comes before the list's first entry.
        after: what comes after its last.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, path: Path, before: str = '[', after: str = ']') -> None:
        self.path, self._after = path, f'\n{after}\n'.encode()
        self._part = path.with_name(f'.{path.name}.part')
        self._count = 0
        # Where the last entry but one and the last one end.
        self._ends = (0, 0)
        try:
            # Without a buffer it is known what is on the disk.
            self._file = self._part.open('wb', buffering=0)
        except OSError as error:
            raise UserError(f'{path} cannot be written: {error.strerror}') from error
        self._put(before.encode())

    def append(self, entry: Any) -> None:
        """Add an entry.

        Raises:
            UserError: no space is left; the file is finished with the entries before.
        """
        self._put(((',\n' if self._count else '\n') + json.dumps(entry)).encode())
        self._count += 1

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            UserError: no space is left; the last entry makes room and is lost.
        """
        if not self._file.closed:
            self._put(self._after)
            self._file.close()
            self._part.replace(self.path)

    def _put(self, content: bytes) -> None:
        try:
            write_all(self._file, content)
            self._ends = (self._ends[1], self._file.tell())
        except OSError as error:
            self._rescue(error)

    def _rescue(self, error: OSError) -> NoReturn:
        """Cut the last entry off, which makes room for the end, and give the file its name."""
        kept = max(self._count - 1, 0)
        try:
            if not self._count:
                raise error
            self._file.truncate(self._ends[0])
            self._file.seek(self._ends[0])
            write_all(self._file, self._after)
            self._part.replace(self.path)
        except OSError:
            self._part.unlink(missing_ok=True)
            kept = 0
        finally:
            self._file.close()
        raise UserError(
            f'{self.path} cannot be written: {error.strerror}. {kept} entries are in it.'
        ) from error


def write_all(file: FileIO, content: bytes) -> None:
    """Write every byte: a disk that fills up takes a part first, and the next write is an error."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


class Predictions:
    """Both files of one input.

    Args:
        folder: where they go.
        stem: what they are called after.
        meta: of the joints.
        is_video: frames, or a single image.
        image_id: of the image in the COCO file.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        meta: Mapping[str, Any],
        is_video: bool,
        image_id: int = 0,
    ) -> None:
        self.is_video, self._image_id = is_video, image_id
        import json_tricks  # not above: it imports pandas where that is installed

        text = json_tricks.dumps({'meta_info': dict(meta)}, allow_nan=True)
        self._upstream = JsonList(
            folder / f'results_{stem}.json', f'{text[:-1]}, "instance_info": [', ']}'
        )
        self._coco = JsonList(folder / f'{stem}_coco.json')

    def add(self, poses: PoseResult, time: float = 0.0, number: int = 0) -> None:
        """Add the next frame, or the image.

        Args:
            poses: its persons, also when there are none.
            time: of the frame, seconds.
            number: of the frame, from 0.
        """
        instances = poses.to_instances()
        if self.is_video:
            entry = {'frame_id': number + 1, 'time': round(time, 4), 'instances': instances}
            self._upstream.append(entry)
        else:
            for instance in instances:
                self._upstream.append(instance)
        for entry in poses.to_coco(number if self.is_video else self._image_id):
            self._coco.append(entry)

    def close(self) -> None:
        """Finish both files."""
        try:
            self._upstream.close()
        finally:
            self._coco.close()
