"""Is the content of a JSON file shaped as COCO's keypoint annotations are?

:func:`rlepose_ext.compat.annotation_errors.check_coco` says which lists and keys are absent. The
types of what is there are looked at here, first: a list in place of an id cannot be looked up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from rlepose_ext.compat._data_errors import DataError
from rlepose_ext.compat.annotation_errors import check_coco

_IDS = ('id', 'image_id', 'category_id')


def is_finite(value: Any) -> bool:
    """Whether it is a number, and one that numpy can hold."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def check_shape(content: Any, path: str) -> None:
    """Raise unless ``content`` of file ``path`` can be read as COCO's annotations.

    Raises:
        DataError: naming the file and its first entry that is wrong.
    """
    for kind in ('images', 'annotations', 'categories'):
        for number, entry in _entries(content, kind):
            for key in _IDS:
                value = entry.get(key, 0)
                if not (isinstance(value, str) or is_finite(value)):
                    raise DataError(
                        f'{key} of entry {number} of {kind!r} in {path} is {value!r:.60}; expected '
                        'a number or a text.'
                    )
    for number, entry in _entries(content, 'annotations'):
        if 'keypoints' in entry and not _is_joints(entry['keypoints']):
            raise DataError(
                f'keypoints of annotation {entry.get("id", f"number {number}")} in {path} are '
                f'{entry["keypoints"]!r:.60}; expected a list with x, y, visibility of each joint.'
            )
    check_coco(content, path)


def _entries(content: Any, kind: str) -> Iterator[tuple[int, dict]]:
    """The objects of a list; whether all of it is so is left to ``check_coco``."""
    entries = content.get(kind) if isinstance(content, dict) else None
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            yield number, entry


def _is_joints(keypoints: Any) -> bool:
    """A flat list, or a list for each joint; not both."""
    return isinstance(keypoints, list) and len({isinstance(k, list) for k in keypoints}) < 2
