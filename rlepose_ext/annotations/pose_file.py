"""Annotation files as arrays: COCO's keypoint json, and MPII's as MMPose publishes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.annotations.coco_file import (
    DataError,
    check_coco,
    flat,
    is_finite,
    not_for_training,
    read_json,
)

# The scale of a person in MPII is the person's height in units of this many px.
_PIXELS = 200.0


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
        said: (N,) ``num_keypoints`` of the file, -1 where it says nothing, nan for no number.
        total: number of annotations in the file, those without keypoints included.
        other_counts: id and number of joints of annotations with another number of joints.
        image_ids: M ids, for finding duplicates.
        joint_names: names that the file itself gives.
        images_only: whether it has no annotations, as the files of test sets.
        warnings: what reading it warned of.
        problems: what keeps MMPose from training with it, each with its examples.
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
    problems: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def labelled(self) -> np.ndarray:
        """(N, K) whether a joint is labelled, with finite coordinates."""
        return (self.keypoints[..., 2] > 0) & np.isfinite(self.keypoints).all(axis=-1)


def read_pose_file(
    path: str | Path, num_joints: int | None = None, content: Any = None
) -> PoseFile:
    """Read COCO keypoint json, or MPII's list.

    Args:
        path: the file.
        num_joints: K; by default the number that most annotations have.
        content: of the file, where it has been read already.

    Raises:
        UserError: it cannot be read, or is neither.
    """
    path = Path(path)
    if content is None:
        content = read_json(path)
    if isinstance(content, list) and content and _is_mpii(content[0]):
        return _from_coco(path, _mpii_as_coco(content, path), num_joints)
    warnings = check_coco(content, path)
    pose_file = _from_coco(path, content, num_joints)
    pose_file.warnings += warnings
    pose_file.problems |= not_for_training(content)
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
    joints = [flat(ann['keypoints']) for ann in posed]
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
        said=np.array([_said(ann.get('num_keypoints', -1)) for ann in kept], float),
        total=len(annotations),
        other_counts=others,
        image_ids=[image['id'] for image in images],
        joint_names=tuple(map(str, joint_names)) if isinstance(joint_names, list) else (),
        images_only=not annotations,
    )


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


def _said(value: Any) -> float:
    return value if is_finite(value) else np.nan


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


def _is_mpii(entry: Any) -> bool:
    """Whether it is one person of such a list."""
    return isinstance(entry, dict) and {'image', 'center', 'scale'} <= set(entry)


def _mpii_as_coco(content: list, path: str | Path) -> dict[str, list[dict]]:
    """The list in COCO's form.

    Args:
        content: of the file.
        path: the file, for messages.

    Returns:
        ``images`` and ``annotations``; an annotation's id is its place in the list.

    Raises:
        DataError: naming the first entry that is not as MMPose publishes it.
    """
    annotations = []
    for number, entry in enumerate(content):
        try:
            annotations.append({'id': number, **_person(entry)})
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f'entry {number} of {path} is not as MMPose publishes MPII '
                f'({type(error).__name__}: {error}). Expected image, center, scale, joints and '
                'joints_vis.'
            ) from error
    names = dict.fromkeys(ann['image_id'] for ann in annotations)
    images = [{'id': name, 'file_name': name} for name in names]
    return {'images': images, 'annotations': annotations}


def _person(entry: dict) -> dict[str, Any]:
    """One annotation without its id; in the test set it has no joints."""
    person: dict[str, Any] = {'image_id': str(entry['image'])}
    if 'joints' in entry:
        xy = np.array(entry['joints'], float).reshape(-1, 2)
        flags = np.array(entry['joints_vis'], float).reshape(len(xy), 1)
        person['keypoints'] = np.hstack([xy, 2.0 * (flags > 0)]).ravel().tolist()
        side = float(entry['scale']) * _PIXELS
        x, y = map(float, entry['center'])
        person['bbox'] = [x - side / 2, y - side / 2, side, side]
    return person
