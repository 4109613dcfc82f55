"""Boxes from a JSON file, in one of the forms that people have them in.

- COCO detections: ``[{"image_id": 785, "bbox": [x, y, w, h], "score": 0.9}, ...]``; the image is
  the one whose name is that number, as COCO's are;
- COCO annotations: ``{"images": [...], "annotations": [...]}``, of which the category person;
- plain: ``{"street.jpg": [[x1, y1, x2, y2], ...], ...}``, with a score as fifth number if wanted.
  Frames of a video have the keys ``"street.mp4:0"``, ``"street.mp4:1"``, ...; a frame without key
  has nobody.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.detectors import Found
from rlepose_ext.inference.types import as_boxes


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
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise UserError(
                f'box file {path}: expected COCO detections, COCO annotations, or image names '
                f'with lists of x1, y1, x2, y2; {type(error).__name__}: {error}'
            ) from error
        if not self._boxes:
            raise UserError(f'box file {path} has no boxes')

    def check(self, names: Sequence[str]) -> None:
        """Whether the file is about these inputs at all.

        Args:
            names: base names of images and videos.

        Raises:
            UserError: none of them is in the file.
        """
        if not any(self._keys(name) for name in names):
            known = ', '.join(list(self._boxes)[:3])
            raise UserError(
                f'box file {self.path} has no boxes of {names[0]}'
                + (f' or of the {len(names) - 1} other inputs' if len(names) > 1 else '')
                + f'; its names are {known}, ...'
            )

    def __call__(self, frames: Sequence[np.ndarray], names: Sequence[str]) -> list[Found]:
        found = []
        for name in names:
            rows = [row for key in _spellings(name) for row in self._boxes.get(key, ())]
            array = np.array(rows, np.float64).reshape(-1, 5)
            boxes = as_boxes(array[:, :4], f'{self.path}: {name}')
            good = array[:, 4] > self.bbox_thr
            found.append((boxes[good], array[good, 4].astype(np.float32)))
        return found

    def _keys(self, name: str) -> bool:
        return any(
            key in self._boxes or any(k.startswith(f'{key}:') for k in self._boxes)
            for key in _spellings(name)
        )


def _spellings(name: str) -> tuple[str, ...]:
    """The name, and COCO's number that it may stand for."""
    stem = Path(name).stem
    return (name, str(int(stem))) if stem.isascii() and stem.isdigit() else (name,)


def _by_name(content: Any) -> dict[str, list[list[float]]]:
    """Name to rows x1, y1, x2, y2, score."""
    boxes: dict[str, list[list[float]]] = {}
    if isinstance(content, dict) and 'annotations' in content:
        names = {image['id']: Path(image['file_name']).name for image in content['images']}
        persons = {c['id'] for c in content.get('categories', ()) if c['name'] == 'person'} or {1}
        for entry in content['annotations']:
            if entry.get('category_id', 1) in persons:
                boxes.setdefault(names[entry['image_id']], []).append(_from_coco(entry))
        return boxes
    if isinstance(content, dict):
        return {
            Path(name).name: [_from_corners(row) for row in rows] for name, rows in content.items()
        }
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
