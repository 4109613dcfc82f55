"""Boxes from a JSON file, in one of the forms that people have them in, and such a file.

- COCO detections: ``[{"image_id": 785, "bbox": [x, y, w, h], "score": 0.9}, ...]``; the image is
  the one whose name is that number, as COCO's are;
- COCO annotations: ``{"images": [...], "annotations": [...]}``, of which the category person;
- plain: ``{"street.jpg": [[x1, y1, x2, y2], ...], ...}``, with a score as fifth number if wanted.
  Frames of a video have the keys ``"street.mp4:0"``, ``"street.mp4:1"``, ...; a frame without key
  has nobody.

Inputs are found by their base names, whatever folders the file has before them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.annotations.coco_file import check_coco, read_json
from rlepose_ext.annotations.coco_json import write_json
from rlepose_ext.errors import UserError
from rlepose_ext.inference import images
from rlepose_ext.inference.boxes import as_boxes, find_boxes
from rlepose_ext.inference.detectors import Detector, Found
from rlepose_ext.inference.sources import VIDEO_SUFFIXES


class BoxFile:
    """A detector that looks its boxes up.

    Args:
        path: the JSON file.
        bbox_thr: lowest score, not included.

    Raises:
        UserError: missing, not JSON, or of another form; with the entry.
    """

    def __init__(self, path: str | Path, bbox_thr: float = 0.3) -> None:
        self.path, self.bbox_thr = Path(path), bbox_thr
        try:
            content = json.loads(self.path.read_text(encoding='utf-8'))
        except OSError as error:
            raise UserError(f'box file {path} cannot be read: {error.strerror}') from error
        except (ValueError, RecursionError) as error:
            raise UserError(f'box file {path} is not JSON: {error}') from error
        try:
            self._boxes = _by_name(content)
            self._names: dict[str, list[str]] = {}
            for name in self._boxes:
                self._names.setdefault(Path(name).name, []).append(name)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise UserError(
                f'box file {path}: expected COCO detections, COCO annotations, or image names '
                f'with lists of x1, y1, x2, y2; {type(error).__name__}: {error}'
            ) from error
        if not self._boxes:
            raise UserError(f'box file {path} has no boxes')

    def check(self, names: Sequence[str]) -> str:
        """Whether the file is about these inputs.

        Args:
            names: base names of images and videos.

        Returns:
            Which of them have no entry, in a line; nothing if all have one.

        Raises:
            UserError: none of them is in the file, or one stands for two files of it.
        """
        inputs = {base: _input_of(base) for base in self._names}
        known = set(inputs.values())
        missing = [name for name in names if known.isdisjoint(_spellings(name))]
        if len(missing) == len(names):
            shown = ', '.join(list(self._boxes)[:3])
            raise UserError(
                f'box file {self.path} has no boxes of {names[0]}'
                + (f' or of the {len(names) - 1} other inputs' if len(names) > 1 else '')
                + f'; its names are {shown}, ... (expected: base names of images, and of a '
                "video's frames such as clip.mp4:0)"
            )
        wanted = {key for name in names for key in _spellings(name)}
        for base, name in inputs.items():
            if name in wanted:
                self._rows(base)
        if not missing:
            return ''
        shown = ', '.join(missing[:3]) + (', ...' if len(missing) > 3 else '')
        return (
            f'box file {self.path} has no entry for {len(missing)} of {len(names)} inputs, which '
            f'count as empty: {shown}'
        )

    def __call__(self, frames: Sequence[np.ndarray], names: Sequence[str]) -> list[Found]:
        found = []
        for name in names:
            rows = [row for key in _spellings(name) for row in self._rows(key)]
            array = np.array(rows, np.float64).reshape(-1, 5)
            boxes = as_boxes(array[:, :4], f'{self.path}: {name}')
            good = array[:, 4] > self.bbox_thr
            found.append((boxes[good], array[good, 4].astype(np.float32)))
        return found

    def _rows(self, base: str) -> list[list[float]]:
        found = self._names.get(base, [])
        if len(found) > 1:
            raise UserError(
                f'box file {self.path}: {found[0]} and {found[1]} have the same base name, by '
                'which inputs are found: make a file of boxes for each folder'
            )
        return self._boxes[found[0]] if found else []


def write_boxes(
    detector: Detector, ann_file: str | Path, folder: str | Path, out: str | Path
) -> tuple[int, int]:
    """Write the boxes that a detector finds in the images of an annotation file.

    Args:
        detector: finds them.
        ann_file: COCO json; its ``images`` are used.
        folder: of the images.
        out: COCO detections, which MMPose reads as ``bbox_file``: boxes in image px, category 1.

    Returns:
        Numbers of boxes and of images.

    Raises:
        UserError: no COCO json, an image that cannot be read, or ``out`` cannot be written.
    """
    from rich.console import Console
    from rich.progress import track

    content = read_json(ann_file)
    check_coco(content, ann_file)
    if not all({'id', 'file_name'} <= image.keys() for image in content['images']):
        raise UserError(f'{ann_file}: an entry of images has no id or no file_name')
    entries = []
    for image in track(content['images'], 'detect', console=Console(stderr=True)):
        path = Path(folder) / image['file_name']
        ((boxes, scores),) = find_boxes(detector, [images.read_image(path)], [path.name])
        boxes[:, 2:] -= boxes[:, :2]
        entries += [
            {
                'image_id': image['id'],
                'category_id': 1,
                'bbox': [round(number, 2) for number in box],
                'score': round(score, 5),
            }
            for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)
        ]
    write_json(out, entries)
    return len(entries), len(content['images'])


def _spellings(name: str) -> tuple[str, ...]:
    """The name and, of an image, COCO's number that it may stand for."""
    path = Path(name)
    is_number = path.stem.isascii() and path.stem.isdigit()
    if is_number and path.suffix.lower() in images.SUFFIXES:
        return name, str(int(path.stem))
    return (name,)


def _input_of(base: str) -> str:
    """The image or video that a name of the file is about, nothing if it is a whole video."""
    suffix = Path(base).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return ''
    return base if suffix in images.SUFFIXES else base.rpartition(':')[0] or base


def _by_name(content: Any) -> dict[str, list[list[float]]]:
    """Name, as the file has it, to rows x1, y1, x2, y2, score."""
    boxes: dict[str, list[list[float]]] = {}
    if isinstance(content, dict) and 'annotations' in content:
        names = {image['id']: Path(image['file_name']).as_posix() for image in content['images']}
        persons = {c['id'] for c in content.get('categories', ()) if c['name'] == 'person'} or {1}
        for entry in content['annotations']:
            if entry.get('category_id', 1) in persons:
                boxes.setdefault(names[entry['image_id']], []).append(_from_coco(entry))
        if boxes:
            # An image without persons has an entry too.
            boxes = {name: [] for name in names.values()} | boxes
        return boxes
    if isinstance(content, dict):
        return {name: [_from_corners(row) for row in rows] for name, rows in content.items()}
    for entry in content:
        if entry.get('category_id', 1) == 1:
            boxes.setdefault(str(entry['image_id']), []).append(_from_coco(entry))
    return boxes


def _from_coco(entry: dict[str, Any]) -> list[float]:
    x, y, width, height = map(float, entry['bbox'])
    return [x, y, x + width, y + height, float(entry.get('score', 1.0))]


def _from_corners(row: Sequence[float]) -> list[float]:
    values = [float(value) for value in row]
    if len(values) not in (4, 5):
        raise ValueError(f'expected 4 or 5 numbers, got {row}')
    return [*values, 1.0][:5]
