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

from rlepose_ext.compat._data_errors import DataError
from rlepose_ext.compat.annotation_errors import check_coco
from rlepose_ext.errors import UserError

# MPII's scale is the person's height in units of this many px.
_MPII_PIXELS = 200.0


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
    if isinstance(content, list) and content and _is_mpii(content[0]):
        return _from_mpii(path, content)
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
    keypoints = _numbers([joints[i] for i in right], [a['id'] for a in kept], 'keypoints', path)
    categories = content.get('categories') or [{}]
    return PoseFile(
        path=path,
        names=[str(image['file_name']) for image in images],
        sizes=[_size(image) for image in images],
        image_of=np.array([index_of.get(ann['image_id'], -1) for ann in kept], int),
        ids=[ann['id'] for ann in kept],
        keypoints=keypoints.reshape(len(kept), num_joints, 3),
        boxes=_boxes(kept, path),
        said=np.array([ann.get('num_keypoints', -1) for ann in kept], int),
        total=len(annotations),
        other_counts=others,
        image_ids=[image['id'] for image in images],
        joint_names=tuple(map(str, categories[0].get('keypoints') or ())),
    )


def _flat(keypoints: list) -> list:
    nested = keypoints and isinstance(keypoints[0], list)
    return [number for joint in keypoints for number in joint] if nested else keypoints


def _numbers(rows: Sequence[Sequence], ids: Sequence[Any], what: str, path: Path) -> np.ndarray:
    try:
        return np.array(rows, dtype=float)
    except (TypeError, ValueError):
        for row, annotation in zip(rows, ids, strict=True):
            try:
                np.array(row, dtype=float)
            except (TypeError, ValueError) as error:
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
    return _numbers(rows, ids, 'the four numbers of bbox', path).reshape(len(rows), 4)


def _size(image: dict) -> tuple[int, int] | None:
    width, height = image.get('width'), image.get('height')
    return (int(width), int(height)) if width and height else None


def _is_mpii(entry: Any) -> bool:
    return isinstance(entry, dict) and {'image', 'center', 'scale'} <= set(entry)


def _from_mpii(path: Path, content: list[dict]) -> PoseFile:
    """MPII: ``image``, ``center``, ``scale``, and 16 ``joints`` with ``joints_vis`` 0 or 1."""
    posed = [entry for entry in content if 'joints' in entry]  # the test set has none
    names = list(dict.fromkeys(str(entry['image']) for entry in content))
    index_of = {name: index for index, name in enumerate(names)}
    try:
        xy = np.array([entry['joints'] for entry in posed], float).reshape(len(posed), -1, 2)
        flags = np.array([entry['joints_vis'] for entry in posed], float)
        sides = np.array([[float(entry['scale'])] * 2 for entry in posed]).reshape(-1, 2)
        centres = np.array([entry['center'] for entry in posed], float).reshape(-1, 2)
        v = 2.0 * (flags.reshape(xy.shape[:2]) > 0)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{path} is not as MMPose publishes MPII ({type(error).__name__}: {error}). Expected a '
            'list of image, center, scale, joints and joints_vis.'
        ) from error
    sides = sides * _MPII_PIXELS
    return PoseFile(
        path=path,
        names=names,
        sizes=[None] * len(names),
        image_of=np.array([index_of[str(entry['image'])] for entry in posed], int),
        ids=list(range(len(posed))),
        keypoints=np.concatenate([xy, v[..., None]], axis=-1),
        boxes=np.concatenate([centres - sides / 2, sides], axis=-1),
        said=np.full(len(posed), -1),
        total=len(content),
        image_ids=names,
    )
