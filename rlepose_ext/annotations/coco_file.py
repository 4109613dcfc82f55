"""COCO keypoint files: read, and checked for what every reader of them takes for granted.

Errors are constructed from one string, because a DataLoader rebuilds a worker's exception that
way in the main process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError

EXPECTED = (
    'expected COCO keypoint annotations: a JSON object with the lists images (with id, file_name, '
    'width and height), annotations and categories, such as person_keypoints_train2017.json'
)
_IDS = ('id', 'image_id', 'category_id')


class DataError(UserError, ValueError):
    """A file of the data set cannot be used as it is."""


class MissingFileError(UserError, FileNotFoundError):
    """A file of the data set is not there."""


def missing(what: str, path: str | Path, key: str) -> MissingFileError:
    """The error for a file that does not exist.

    Args:
        what: what the file is, such as ``'annotation file'``.
        path: where it was looked for.
        key: what to change in the config.
    """
    path = Path(path)
    parent = path.parent
    seen = next((p for p in [parent, *parent.parents] if p.is_dir()), None)
    if seen == parent:
        where = f'the folder {parent} exists, the file does not'
    else:
        where = f'of its folder only {seen} exists' if seen else 'nor does its folder exist'
    return MissingFileError(
        f'{what} {path} does not exist ({where}, seen from {Path.cwd()}). Check {key} in the '
        'config; our configs look below the folder named by the variable RLEPOSE_DATA.'
    )


def read_json(path: str | Path) -> Any:
    """The content of an annotation file.

    Raises:
        DataError: it cannot be read, or is not JSON.
        MissingFileError: it is not there.
    """
    try:
        data = Path(path).read_bytes()
        return json.loads(data)
    except FileNotFoundError as error:
        raise missing('annotation file', path, 'ann_file') from error
    except OSError as error:
        raise DataError(f'annotation file {path} cannot be read ({error}).') from error
    except ValueError as error:
        reason = f'it is not JSON: {error}' if data else 'it is empty'
        raise DataError(
            f'annotation file {path} cannot be read, {reason}. Download it again, or unpack it.'
        ) from error


def is_finite(value: Any) -> bool:
    """Whether it is a number, and one that numpy can hold."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def check_coco(content: Any, path: str | Path) -> list[str]:
    """Check that ``content`` of file ``path`` has the shape of COCO keypoint annotations.

    What stock MMPose reads passes: a list of images alone (COCO's test-dev), annotations
    without keypoints, no categories, nested keypoints, and annotations of images that are not
    listed (a subset made by removing images), which every reader leaves out.

    Returns:
        Warnings.

    Raises:
        DataError: naming the file and its first entry that is wrong.
    """
    if not isinstance(content, dict):
        raise DataError(f'{path} holds a JSON {type(content).__name__}; {EXPECTED}.')
    if 'images' not in content:
        raise DataError(f"{path} has no 'images', it has {sorted(content)}; {EXPECTED}.")
    for kind in ('images', 'annotations', 'categories'):
        entries = content.get(kind, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f'{kind!r} in {path} is no list of objects; {EXPECTED}.')
        for number, entry in enumerate(entries):
            for key in _IDS:
                value = entry.get(key, 0)
                # a list cannot be looked up
                if not (isinstance(value, str) or is_finite(value)):
                    raise DataError(
                        f'{key} of entry {number} of {kind!r} in {path} is {value!r:.60}; expected '
                        'a number or a text.'
                    )
    return _check_annotations(content, path)


def _check_annotations(content: dict, path: str | Path) -> list[str]:
    known = {image.get('id') for image in content['images']}
    required = {'id', 'image_id'} | ({'category_id'} if 'categories' in content else set())
    orphans = []
    for number, ann in enumerate(content.get('annotations', [])):
        keypoints = ann.get('keypoints', [])
        if not _is_joints(keypoints):
            raise DataError(
                f'keypoints of annotation {ann.get("id", f"number {number}")} in {path} are '
                f'{keypoints!r:.60}; expected a list with x, y, visibility of each joint.'
            )
        absent = required - set(ann)
        if absent:
            raise DataError(f'annotation number {number} in {path} has no {sorted(absent)}.')
        count = len(flat(keypoints))
        if ann['image_id'] not in known:
            orphans.append(ann)
        elif count % 3:
            raise DataError(
                f'annotation {ann["id"]} in {path} has {count} numbers in its keypoints; '
                'expected three for each joint: x, y, visibility (0, 1 or 2).'
            )
    if not orphans:
        return []
    return [
        f'{len(orphans)} of the {len(content["annotations"])} annotations in {path} are of '
        f'images that it does not list (annotation {orphans[0]["id"]} of image '
        f'{orphans[0]["image_id"]}); they are not used.'
    ]


def not_for_training(content: dict) -> dict[str, list[Any]]:
    """What :func:`check_coco` accepts, because evaluation can do with it, and training cannot.

    MMPose reads the size of each annotated image and the id of each category, counts with the ids
    of images, and needs an annotation of a listed image.

    Returns:
        Clause to its examples, which may be none.
    """
    images, annotations = content['images'], content.get('annotations', [])
    used = {ann['image_id'] for ann in annotations}
    annotated = [image for image in images if image.get('id') in used]
    categories = content.get('categories', [])
    return {
        'annotated images have no width or no height': [
            image['id'] for image in annotated if not (image.get('width') and image.get('height'))
        ],
        'image ids are text, expected numbers': [
            image['id'] for image in images if isinstance(image.get('id'), str)
        ],
        'categories have no id': [c.get('name', '?') for c in categories if 'id' not in c],
        'annotations, and that is all, are of images that are not listed': [
            ann['id'] for ann in annotations if not annotated
        ],
    }


def _is_joints(keypoints: Any) -> bool:
    """A flat list, or a list for each joint; not both."""
    if not isinstance(keypoints, list):
        return False
    kinds = set(map(type, keypoints))
    return list not in kinds or len(kinds) == 1


def flat(keypoints: list) -> list:
    """x, y, visibility of all joints in one list, from that or from a list for each joint."""
    nested = bool(keypoints) and isinstance(keypoints[0], list)
    return [number for joint in keypoints for number in joint] if nested else keypoints
