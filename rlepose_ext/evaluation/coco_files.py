"""Files of COCO's keypoint evaluation: read, checked, and named where they are wrong.

A result file is a JSON list with one entry for each detected person,

.. code-block:: json

    {"image_id": 785, "category_id": 1, "keypoints": [x1, y1, s1, ...], "score": 0.9}

in image px; the third number of a joint is its score and does not enter COCO's evaluation.
COCO's readers check next to nothing. In results a wrong id ends in an ``AssertionError``, a wrong
number of joints in numpy's broadcasting, a category without annotations in an AP of 0. In
annotations a field that is absent or of another type ends in a ``KeyError`` or ``TypeError``; an id
that comes twice ends in a wrong AP, because the second annotation takes the place of the first.

Source: cocodataset.org, *Results Format*, *Keypoint Detection*.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from rlepose_ext.annotations.coco_file import check_coco, is_finite
from rlepose_ext.errors import UserError

_KEYS = ('image_id', 'category_id', 'keypoints', 'score')
_LIST = (
    'a result file is a JSON list of detections with image_id, category_id, keypoints and score, '
    'such as the .keypoints.json that CocoMetric writes with outfile_prefix'
)
_NESTED = 'keypoints with a list for each joint; COCO reads one list, x1, y1, v1, x2, y2, v2, ...'
# The evaluation keeps the ids of matches as floating-point numbers.
_LARGEST_ID = 2**53


def read_json(path: str | Path, what: str) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        what: what it should be, for messages.

    Raises:
        UserError: it is not there, cannot be read, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise UserError(f'{what} {path} does not exist. Check the path.') from error
    except OSError as error:
        raise UserError(f'{what} {path} cannot be read: {error.strerror}.') from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise UserError(
            f'{what} {path} is not JSON ({error}). Unpack it if it is a zip, or write it again.'
        ) from error


def read_pair(results: str | Path, annotations: str | Path) -> tuple[list[dict], dict]:
    """A result file and the annotations that it is judged by, in the right order.

    Args:
        results: path of the list of detections.
        annotations: path of COCO keypoint annotations.

    Returns:
        Detections as they stand in the file, not checked yet, and the annotations.

    Raises:
        UserError: a file cannot be used, or the two were given in the wrong order.
    """
    found = read_json(results, 'result file')
    truth = read_json(annotations, 'annotation file')
    if isinstance(found, dict) and 'images' in found:
        hint = 'The two seem to be swapped' if isinstance(truth, list) else 'It is no result file'
        raise UserError(
            f'{results} holds annotations, expected results there. {hint}: the order is '
            'RESULTS ANNOTATIONS.'
        )
    if isinstance(truth, list):
        raise UserError(
            f'{annotations} holds a JSON list, as result files do; expected COCO keypoint '
            'annotations (an object with images, annotations and categories). The order is '
            'RESULTS ANNOTATIONS.'
        )
    check_coco(truth, str(annotations))
    if not truth.get('annotations'):
        raise UserError(
            f'{annotations} has no annotation to compare with. The annotations of test sets are '
            "not public: COCO's server evaluates them (configs/coco_testdev/README.md)."
        )
    return found, truth


def check_results(
    results: Any,
    source: str,
    joints: int,
    image_ids: Collection,
    category_ids: Collection = (1,),
) -> None:
    """Raise unless ``results`` is a list of detections that fits the annotations.

    Args:
        results: content of the file.
        source: the file, for messages.
        joints: K, numbers of a detection's keypoints are 3K.
        image_ids: what ``image_id`` may be.
        category_ids: what ``category_id`` may be.

    Raises:
        UserError: naming the first entry that is wrong, or the ids without annotations.
    """
    if not isinstance(results, list):
        raise UserError(f'{source} holds a JSON {type(results).__name__}, no list; {_LIST}.')
    if not results:
        raise UserError(
            f'{source} is an empty list: nothing was detected, or nothing was written. Expected '
            'one entry for each detected person.'
        )
    for number, entry in enumerate(results):
        _check_entry(entry, f'entry {number} of {source}', joints)
    _check_known('image_id', results, set(image_ids), source)
    _check_known('category_id', results, set(category_ids), source)


def _check_entry(entry: Any, where: str, joints: int) -> None:
    if not isinstance(entry, dict):
        raise UserError(f'{where} is a JSON {type(entry).__name__}, no object; {_LIST}.')
    absent = [key for key in _KEYS if key not in entry]
    if absent:
        raise UserError(f'{where} has no {", ".join(absent)}; {_LIST}.')
    keypoints = entry['keypoints']
    if _is_nested(keypoints):
        raise UserError(f'{where} has {_NESTED}.')
    if not isinstance(keypoints, list) or len(keypoints) != 3 * joints:
        count = len(keypoints) if isinstance(keypoints, list) else 0
        raise UserError(
            f'{where} has {count} numbers in its keypoints, that is {count / 3:g} joints; expected '
            f'{3 * joints} (x, y, score of {joints} joints). Evaluate it on the data set that the '
            'model was trained for, and with its --sigmas.'
        )
    numbers = [*keypoints, entry['score']]
    if not all(map(_is_number, numbers)):
        raise UserError(f'{where} has keypoints or a score that are no numbers; {_LIST}.')
    if not all(map(is_finite, numbers)):
        raise UserError(
            f'{where} has a coordinate or score that is not finite. Expected numbers; a model that '
            'predicts NaN did not train.'
        )
    if has_box(entry) and not is_box(entry['bbox']):
        raise UserError(
            f'{where} has the bbox {entry["bbox"]!r:.60}; expected x, y, width, height in px, or '
            'no bbox.'
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def has_box(entry: dict) -> bool:
    """Whether a detection has a box; null and an empty list stand for none."""
    return entry.get('bbox') not in (None, [])


def is_box(box: Any) -> bool:
    """Whether it is a list of x, y, width, height."""
    return isinstance(box, list) and len(box) == 4 and all(map(is_finite, box))


def _check_known(key: str, results: Sequence[dict], known: set, source: str) -> None:
    try:
        unknown = [value for value in dict.fromkeys(r[key] for r in results) if value not in known]
    except TypeError as error:  # a list or an object
        raise UserError(f'{source} has a {key} that is neither number nor string.') from error
    if unknown:
        first = ', '.join(map(repr, unknown[:3]))
        example = repr(next(iter(known))) if known else 'none at all'
        raise UserError(
            f'{source} has {len(unknown)} {key}s that the annotations do not have, such as {first} '
            f'(known is {example}). Expected results on the images of that annotation file.'
        )


def check_annotations(
    truth: dict, joints: int, source: str, use_area: bool = True, crowd: bool = False
) -> None:
    """Raise unless the annotations have what an evaluation reads.

    Args:
        truth: content of the file, which
            :func:`rlepose_ext.annotations.coco_file.check_coco` has accepted.
        joints: K, the number of sigmas.
        source: the file, for messages.
        use_area: whether ``area`` is read, else ``bbox`` instead of it.
        crowd: whether CrowdPose's ``crowdIndex`` and ``num_keypoints`` are read.

    Raises:
        UserError: naming the first entry that lacks something.
    """
    if not truth.get('categories'):
        raise UserError(f"{source} has no 'categories'; add them, [{{'id': 1, 'name': 'person'}}].")
    for kind in ('images', 'categories'):
        _check_ids(truth[kind], kind, source)
    categories = {category['id'] for category in truth['categories']}
    seen = set()
    for ann in truth['annotations']:
        where = f'annotation {ann["id"]} in {source}'
        _check_joints(ann, joints, where)
        _check_fields(ann, where, use_area, crowd)
        if ann['category_id'] not in categories:
            raise UserError(
                f"{where} has the category_id {ann['category_id']!r}, which 'categories' does not "
                'have. It would not be evaluated: add the category, or correct the annotation.'
            )
        if ann['id'] in seen:
            raise UserError(
                f'{where} comes more than once. Number the annotations anew: of those with the '
                "same id COCO's evaluation sees the last one only."
            )
        seen.add(ann['id'])
    for image in truth['images'] if crowd else ():
        if not is_finite(image.get('crowdIndex')):
            raise UserError(
                f"image {image['id']} in {source} has no 'crowdIndex' that is a number, which "
                "--crowd reads. Use CrowdPose's annotations, or leave --crowd out."
            )


def _check_ids(entries: list[dict], kind: str, source: str) -> None:
    """COCO's evaluation looks entries up by their ids, and sorts these."""
    for number, entry in enumerate(entries):
        if 'id' not in entry:
            raise UserError(f'entry {number} of {kind!r} in {source} has no id.')
    if len({isinstance(entry['id'], str) for entry in entries}) > 1:
        raise UserError(
            f'the ids of {kind!r} in {source} are partly numbers and partly text. Expected one of '
            'the two.'
        )


def _check_joints(ann: dict, joints: int, where: str) -> None:
    keypoints = ann.get('keypoints', [])
    if not keypoints:
        raise UserError(
            f'{where} has no keypoints. Expected keypoint annotations, such as '
            'person_keypoints_val2017.json; instances_val2017.json has boxes only.'
        )
    if _is_nested(keypoints):
        raise UserError(f'{where} has {_NESTED}.')
    if len(keypoints) != 3 * joints:
        raise UserError(
            f'{where} has {len(keypoints)} numbers in its keypoints, expected {3 * joints} for '
            f'{joints} sigmas. Name the sigmas of its data set with --sigmas.'
        )
    if not all(map(is_finite, keypoints)):
        raise UserError(f'{where} has keypoints that are not all finite numbers.')


def _check_fields(ann: dict, where: str, use_area: bool, crowd: bool) -> None:
    if not (is_finite(ann['id']) and ann['id'] % 1 == 0 and 0 <= ann['id'] < _LARGEST_ID):
        raise UserError(
            f"{where}: expected whole numbers from 0 on as ids of annotations, COCO's evaluation "
            'counts with them.'
        )
    if use_area and not _is_size(ann.get('area')):
        raise UserError(
            f"{where} has no 'area' that is a number of px^2{_came(ann, 'area')}. Give --area bbox "
            'to take 0.53 of the box instead, as is usual for CrowdPose and AI Challenger.'
        )
    if not (is_box(ann.get('bbox')) and min(ann['bbox'][2:]) >= 0):
        raise UserError(
            f"{where} has no 'bbox' of x, y, width and height in px{_came(ann, 'bbox')}, which "
            "COCO's evaluation reads."
        )
    if ann.get('iscrowd', 0) not in (0, 1):
        raise UserError(f'{where}: expected 0 or 1 as iscrowd{_came(ann, "iscrowd")}.')
    if crowd and not is_finite(ann.get('num_keypoints')):
        raise UserError(
            f"{where} has no 'num_keypoints' that is a number{_came(ann, 'num_keypoints')}, which "
            '--crowd reads.'
        )


def _is_nested(keypoints: Any) -> bool:
    return isinstance(keypoints, list) and any(isinstance(joint, list) for joint in keypoints)


def _is_size(value: Any) -> bool:
    return is_finite(value) and value >= 0


def _came(ann: dict, key: str) -> str:
    """What came in its place, for messages."""
    return f' (it is {ann[key]!r:.60})' if key in ann else ''
