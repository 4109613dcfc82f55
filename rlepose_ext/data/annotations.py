"""Annotation files as arrays: COCO's keypoint json, and MPII's as MMPose publishes it."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.compat._coco_types import is_finite
from rlepose_ext.compat._data_errors import DataError
from rlepose_ext.compat.annotation_errors import check_coco
from rlepose_ext.data.mpii import as_coco, is_mpii


@dataclass
class PoseFile:
    """The annotations of one file, N of them with K joints.

    Attributes:
        path: the file.
        names: file name of each of the M images.
        sizes: annotated (width, height) of each in px, or None.
        image_of: (N,) the annotation's image, an index into ``names``; -1 if it is not listed.
        ids: N annotation ids.
        keypoints: (N, K, 3) x, y in image px, v: 0 unlabelled, 1 hidden, 2 visible.
        boxes: (N, 4) x, y, width, height in image px; nan where there is none.
        said: (N,) ``num_keypoints`` of the file, -1 where it says nothing.
        total: number of annotations in the file, those without keypoints included.
        other_counts: id and number of joints of annotations with another number of joints.
        image_ids: M ids, for finding duplicates.
        joint_names: names that the file itself gives.
        images_only: whether it has no annotations, as the files of test sets.
        warnings: what reading it warned of.
    """

    path: Path
    names: list[str]
    sizes: list[tuple[int, int] | None]
    image_of: np.ndarray
    ids: list[Any]
    keypoints: np.ndarray
    boxes: np.ndarray
    said: np.ndarray
    total: int
    other_counts: list[tuple[Any, int]] = field(default_factory=list)
    image_ids: list[Any] = field(default_factory=list)
    joint_names: tuple[str, ...] = ()
    images_only: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def labelled(self) -> np.ndarray:
        """(N, K) whether a joint is labelled, with finite coordinates."""
        return (self.keypoints[..., 2] > 0) & np.isfinite(self.keypoints).all(axis=-1)


def read_pose_file(path: str | Path, num_joints: int | None = None) -> PoseFile:
    """Read COCO keypoint json, or MPII's list.

    Args:
        path: the file.
        num_joints: K; by default the number that most annotations have.

    Raises:
        UserError: it cannot be read, or is neither.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f'annotation file {path} cannot be read ({error}).') from error
    except ValueError as error:
        empty = path.stat().st_size == 0
        reason = 'it is empty' if empty else f'it is not JSON: {error}'
        raise DataError(
            f'annotation file {path} cannot be read, {reason}. Download it again, or unpack it.'
        ) from error
    if isinstance(content, list) and content and is_mpii(content[0]):
        return _from_coco(path, as_coco(content, path), num_joints)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        check_coco(content, str(path))
    pose_file = _from_coco(path, content, num_joints)
    pose_file.warnings += [str(warning.message) for warning in caught]
    return pose_file


def _from_coco(path: Path, content: dict, num_joints: int | None) -> PoseFile:
    images = content['images']
    index_of: dict[Any, int] = {}
    for index, image in enumerate(images):
        if 'id' not in image or 'file_name' not in image:
            raise DataError(f'image number {index} in {path} has no id or no file_name.')
        index_of.setdefault(image['id'], index)
    annotations = content.get('annotations', [])
    posed = [ann for ann in annotations if ann.get('keypoints')]
    joints = [_flat(ann['keypoints']) for ann in posed]
    counts = Counter(len(numbers) // 3 for numbers in joints)
    if num_joints is None:
        num_joints = counts.most_common(1)[0][0] if counts else 0
    right = [index for index, numbers in enumerate(joints) if len(numbers) == 3 * num_joints]
    others = [
        (ann['id'], len(numbers) // 3)
        for ann, numbers in zip(posed, joints, strict=True)
        if len(numbers) != 3 * num_joints
    ]
    kept = [posed[index] for index in right]
    ids, width = [ann['id'] for ann in kept], 3 * num_joints
    keypoints = _numbers([joints[index] for index in right], width, ids, 'keypoints', path)
    categories = content.get('categories') or [{}]
    joint_names = categories[0].get('keypoints')
    return PoseFile(
        path=path,
        names=[str(image['file_name']) for image in images],
        sizes=[_size(image, path) for image in images],
        image_of=np.array([index_of.get(ann['image_id'], -1) for ann in kept], int),
        ids=ids,
        keypoints=keypoints.reshape(len(kept), num_joints, 3),
        boxes=_boxes(kept, path),
        said=np.array([_said(ann, path) for ann in kept], float),
        total=len(annotations),
        other_counts=others,
        image_ids=[image['id'] for image in images],
        joint_names=tuple(map(str, joint_names)) if isinstance(joint_names, list) else (),
        images_only=not annotations,
    )


def _flat(keypoints: list) -> list:
    nested = keypoints and isinstance(keypoints[0], list)
    return [number for joint in keypoints for number in joint] if nested else keypoints


def _numbers(
    rows: Sequence[Sequence], width: int, ids: Sequence[Any], what: str, path: Path
) -> np.ndarray:
    """(N, width) of N rows of so many numbers; null becomes nan."""
    try:
        return np.array(rows, dtype=float).reshape(len(rows), width)
    except (TypeError, ValueError, OverflowError):
        for row, annotation in zip(rows, ids, strict=True):
            try:
                list(map(float, row))
            except (TypeError, ValueError, OverflowError) as error:
                raise DataError(
                    f'{what} of annotation {annotation} in {path} are not all numbers ({error}).'
                ) from error
        raise


def _boxes(annotations: Sequence[dict], path: Path) -> np.ndarray:
    rows = [ann.get('bbox') or [np.nan] * 4 for ann in annotations]
    for row, ann in zip(rows, annotations, strict=True):
        if not isinstance(row, list) or len(row) != 4:
            raise DataError(
                f'bbox of annotation {ann["id"]} in {path} is {row!r}; expected x, y, width, '
                'height.'
            )
    ids = [ann['id'] for ann in annotations]
    return _numbers(rows, 4, ids, 'the four numbers of bbox', path)


def _said(ann: dict, path: Path) -> float:
    value = ann.get('num_keypoints', -1)
    if not is_finite(value):
        raise DataError(
            f'num_keypoints of annotation {ann["id"]} in {path} is {value!r:.60}; expected the '
            'number of its labelled joints.'
        )
    return value


def _size(image: dict, path: Path) -> tuple[int, int] | None:
    width, height = image.get('width'), image.get('height')
    if not (width and height):
        return None
    if not (is_finite(width) and is_finite(height)):
        raise DataError(
            f'image {image["id"]} in {path} has the size {width!r:.60}, {height!r:.60}; expected '
            'width and height in px.'
        )
    return int(width), int(height)
