"""Types of what COCO's keypoint annotations hold: a list in place of an id cannot be looked up."""

from __future__ import annotations

import sys
from typing import Any

from rlepose_ext.compat._data_errors import DataError

_IDS = ('id', 'image_id', 'category_id')


def is_finite(value: Any) -> bool:
    """Whether it is a number, and one that numpy can hold."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def check_types(content: dict[str, list[dict]], path: str) -> None:
    """Raise unless ids are numbers or texts, and joints are lists.

    Args:
        content: lists of objects, as far as they are there.
        path: their file, for the message.

    Raises:
        DataError: naming the file and its first entry that is wrong.
    """
    for kind in ('images', 'annotations', 'categories'):
        for number, entry in enumerate(content.get(kind, ())):
            for key in _IDS:
                value = entry.get(key, 0)
                if not (isinstance(value, str) or is_finite(value)):
                    raise DataError(
                        f'{key} of entry {number} of {kind!r} in {path} is {value!r:.60}; expected '
                        'a number or a text.'
                    )
    for number, entry in enumerate(content.get('annotations', ())):
        if 'keypoints' in entry and not _is_joints(entry['keypoints']):
            raise DataError(
                f'keypoints of annotation {entry.get("id", f"number {number}")} in {path} are '
                f'{entry["keypoints"]!r:.60}; expected a list with x, y, visibility of each joint.'
            )


def _is_joints(keypoints: Any) -> bool:
    """A flat list, or a list for each joint; not both."""
    if not isinstance(keypoints, list):
        return False
    kinds = set(map(type, keypoints))
    return list not in kinds or len(kinds) == 1
