"""Annotations that detections are judged by: has every entry what COCO's evaluation reads?

COCO's reader and evaluation trust what they are given. A field that is absent or of another type
ends in a ``KeyError`` or ``TypeError``; an id that comes twice ends in nothing but a wrong AP,
because the second annotation takes the place of the first.
"""

from __future__ import annotations

from typing import Any

from rlepose_ext.annotations.coco_file import is_finite
from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.coco_results import is_box

# The evaluation keeps the ids of matches as floating-point numbers.
_LARGEST_ID = 2**53


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


def _is_size(value: Any) -> bool:
    return is_finite(value) and value >= 0


def _came(ann: dict, key: str) -> str:
    """What came in its place, for messages."""
    return f' (it is {ann[key]!r:.60})' if key in ann else ''
