"""AI Challenger's keypoint annotations as COCO keypoint json.

The original file, such as ``keypoint_train_annotations_20170909.json``, is a list of images::

    {"image_id": "0000252aea...", "url": ...,
     "human_annotations": {"human1": [x1, y1, x2, y2], ...},
     "keypoint_annotations": {"human1": [x, y, v, ...], ...}}

with 14 joints and flags that do not mean what COCO's do:

=======  ================  ==========
AIC's v  the joint is      COCO's v
=======  ================  ==========
1        visible           2
2        not visible       1
3        not labelled      0
=======  ================  ==========

Source: Wu et al., *AI Challenger: A Large-scale Dataset for Going Deeper in Image
Understanding*, 2017, arXiv 1711.06475. The target is the file that MMPose's ``AicDataset`` reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlepose_ext.annotations.coco_json import Converted, image_sizes, refuse, write_coco
from rlepose_ext.errors import UserError

JOINTS = (
    'right_shoulder',
    'right_elbow',
    'right_wrist',
    'left_shoulder',
    'left_elbow',
    'left_wrist',
    'right_hip',
    'right_knee',
    'right_ankle',
    'left_hip',
    'left_knee',
    'left_ankle',
    'head_top',
    'neck',
)
_SKELETON = (
    (2, 1), (1, 0), (0, 13), (13, 3), (3, 4), (4, 5), (8, 7),
    (7, 6), (6, 9), (9, 10), (10, 11), (12, 13), (0, 6), (3, 9),
)  # fmt: skip
COCO_FLAG = {1: 2, 2: 1, 3: 0}
_PERSONS = ('human_annotations', 'keypoint_annotations')  # objects: 'human1' to numbers
_CATEGORY = {
    'name': 'person',
    'supercategory': 'person',
    'keypoints': list(JOINTS),
    'skeleton': [[a + 1, b + 1] for a, b in _SKELETON],  # COCO counts from 1
}


def convert_person(box: Sequence[float], numbers: Sequence[float]) -> dict[str, Any]:
    """One person.

    Args:
        box: x1, y1, x2, y2 in image px.
        numbers: 14 times x, y in image px and AIC's v.

    Returns:
        ``bbox`` (x, y, width, height), ``area`` of the box, ``keypoints`` with COCO's v, and
        ``num_keypoints``.

    Raises:
        ValueError: they are not as AIC has them; the message is a clause.
    """
    if not (_is_list(box, 4) and _are_finite(box)):
        raise ValueError(f'box {box!r}, expected x1, y1, x2, y2, all finite')
    if not _is_list(numbers, 3 * len(JOINTS)):
        count = len(numbers) if isinstance(numbers, list) else type(numbers).__name__
        raise ValueError(f'{count} numbers of joints, expected {3 * len(JOINTS)}')
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f'box {list(box)} is empty, expected x1 < x2 and y1 < y2')
    keypoints: list[float] = []
    for k, name in enumerate(JOINTS):
        joint = x, y, flag = numbers[3 * k : 3 * k + 3]
        if not _are_finite(joint):
            raise ValueError(f'{name} is {joint}, expected x, y, v, all finite')
        if flag not in COCO_FLAG:
            raise ValueError(
                f'{name} has v = {flag!r}, expected 1 (visible), 2 (not visible) or 3 (not '
                'labelled); a file with 0 has been converted already'
            )
        v = COCO_FLAG[flag]
        keypoints += [x, y, v] if v else [0, 0, 0]
    return {
        'bbox': [x1, y1, x2 - x1, y2 - y1],
        'area': (x2 - x1) * (y2 - y1),
        'iscrowd': 0,
        'keypoints': keypoints,
        'num_keypoints': sum(v > 0 for v in keypoints[2::3]),
    }


def _is_list(values: Any, count: int) -> bool:
    return isinstance(values, (list, tuple)) and len(values) == count


def _are_finite(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) and abs(value) < float('inf') for value in values)


def read_raw(path: str | Path) -> list[dict[str, Any]]:
    """The list of images of an original file.

    Raises:
        UserError: it is another file.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as JSON ({error}). Expected AI Challenger's original "
            'keypoint_train_annotations_20170909.json or its like.'
        ) from error
    needed = {'image_id', *_PERSONS}
    for number, entry in enumerate(content if isinstance(content, list) else [None]):
        if not (isinstance(entry, dict) and needed <= set(entry)):
            raise UserError(
                f"{path} is not AI Challenger's original file: expected a list of images with "
                f'{", ".join(sorted(needed))}; entry {number} is not so. A COCO file needs no '
                'conversion.'
            )
        for key in _PERSONS:
            if not isinstance(entry[key], dict):
                raise UserError(
                    f'{path}: {key} of entry {number} (image {entry["image_id"]}) is '
                    f'{json.dumps(entry[key])[:40]}, expected an object of persons; {{}} for none.'
                )
    return content


def persons(entry: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, box and joints of each person of an image, in the order of their numbers.

    A person who has a box or joints only gets None for the other.
    """
    boxes, joints = (entry[key] for key in _PERSONS)
    for name in sorted({*boxes, *joints}, key=_number):
        yield name, boxes.get(name), joints.get(name)


def _number(name: str) -> tuple[int, str]:
    digits = re.search(r'\d+', name)  # human10 comes after human9
    return int(digits[0]) if digits else 0, name


def convert(
    raw: str | Path, images: str | Path, out: str | Path, skip_bad: bool = False
) -> Converted:
    """Write the COCO keypoint file of an original one.

    Args:
        raw: AI Challenger's json.
        images: folder of its images, ``<image_id>.jpg``; their sizes are read from them.
        out: json to write.
        skip_bad: leave out bad persons and images, and all but the first entry of an image,
            instead of refusing the file.

    Raises:
        UserError: bad entries without ``skip_bad``, or nothing left to write.
    """
    entries = read_raw(raw)
    firsts: dict[str, dict[str, Any]] = {}
    repeated = []
    for entry in entries:
        if firsts.setdefault(f'{entry["image_id"]}.jpg', entry) is not entry:
            repeated.append(f'{entry["image_id"]}: one more entry of this image')
    names = {name: number for number, name in enumerate(firsts, start=1)}
    sizes, bad = image_sizes(images, list(names))
    problems = [*bad.values(), *repeated]
    annotations = []
    for name, entry in firsts.items():
        for human, box, joints in persons(entry):
            try:
                person = convert_person(box, joints)
            except ValueError as error:
                problems.append(f'{entry["image_id"]} {human}: {error}')
                continue
            if name in sizes:
                ids = {'id': len(annotations) + 1, 'image_id': names[name], 'category_id': 1}
                annotations.append({**ids, **person})
    if not skip_bad or not annotations:
        refuse(raw, problems)
    if not annotations:
        raise UserError(f'{raw} holds no person.')
    return Converted({Path(out): write_coco(out, names, sizes, annotations, _CATEGORY)}, problems)
