"""WFLW's lists as the json files that MMPose's ``WFLWDataset`` reads, with the six subsets.

A line of ``list_98pt_rect_attr_{train,test}.txt`` has 207 columns: x and y of 98 landmarks; the
detected box x1, y1, x2, y2; six attributes, 0 or 1; the image's name. The attributes make the
subsets of the test.

The box of the list is that of a face detector. MMPose takes the face from the landmarks, as
HRNet's release did, and the published json says (checked against MMPose's own sample):

- ``center``: the middle of the landmarks' box, rounded outwards to whole px;
- ``scale``: the longer side of that box in units of 200 px;
- ``bbox``: the landmarks' box, a tenth of its sides wider on each side, cut at the image;
- ``keypoints``: v = 1 for each landmark.

Source: Wu et al., *Look at Boundary: A Boundary-Aware Face Alignment Algorithm*, CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlepose_ext.annotations.coco_json import Converted, image_sizes, refuse, write_coco
from rlepose_ext.errors import UserError

NUM_LANDMARKS = 98
# Columns of attributes, in the list's order, by the names of MMPose's files.
ATTRIBUTES = ('largepose', 'expression', 'illumination', 'makeup', 'occlusion', 'blur')
NUM_COLUMNS = 2 * NUM_LANDMARKS + 4 + len(ATTRIBUTES) + 1
_UNIT = 200.0  # px
_WIDER = 0.1
_CATEGORY = {'name': 'face', 'supercategory': 'person', 'keypoints': [], 'skeleton': []}


@dataclass(frozen=True)
class Face:
    """One line of a list.

    Attributes:
        name: the image's, with its folder.
        landmarks: (98, 2) in image px.
        attributes: those of :data:`ATTRIBUTES` that it has.
    """

    name: str
    landmarks: np.ndarray
    attributes: frozenset[str]


def parse_line(line: str) -> Face:
    """Read a line.

    Raises:
        ValueError: it is not one of WFLW's; the message is a clause.
    """
    columns = line.split()
    if len(columns) != NUM_COLUMNS:
        raise ValueError(
            f'{len(columns)} columns, expected {NUM_COLUMNS}: 98 landmarks, box, 6 attributes, name'
        )
    try:
        numbers = np.array(columns[:-1], float)
    except ValueError as error:
        raise ValueError(str(error)) from None
    if not np.isfinite(numbers).all():
        raise ValueError('a number is not finite')
    flags = numbers[2 * NUM_LANDMARKS + 4 :]
    if not np.isin(flags, (0, 1)).all():
        raise ValueError(f'attributes {flags.tolist()}, expected 0 or 1')
    return Face(
        columns[-1],
        numbers[: 2 * NUM_LANDMARKS].reshape(-1, 2),
        frozenset(name for name, flag in zip(ATTRIBUTES, flags, strict=True) if flag),
    )


def read_list(path: str | Path) -> tuple[list[Face], list[str]]:
    """The faces of a list, and what is wrong in other lines.

    Raises:
        UserError: it cannot be read as text, or is empty.
    """
    try:
        lines = Path(path).read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as text ({error}). Expected WFLW's "
            'list_98pt_rect_attr_train.txt or list_98pt_rect_attr_test.txt.'
        ) from error
    faces, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            faces.append(parse_line(line))
        except ValueError as error:
            problems.append(f'line {number}: {error}')
    if not faces and not problems:
        raise UserError(f'{path} is empty. Expected one line for each face.')
    return faces, problems


def annotation(face: Face, size: tuple[int, int]) -> dict[str, Any]:
    """A face as MMPose's json has it, without ids.

    Args:
        face: the face.
        size: width and height of its image in px.
    """
    low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    whole_low, whole_high = np.floor(low), np.ceil(high)
    rim = _WIDER * (high - low)
    start, end = np.maximum(low - rim, 0), np.minimum(high + rim, size)
    width, height = np.maximum(end - start, 0)
    keypoints = np.column_stack([face.landmarks, np.ones(NUM_LANDMARKS)])
    return {
        'keypoints': [_plain(number) for number in keypoints.ravel().tolist()],
        'num_keypoints': NUM_LANDMARKS,
        'bbox': [*start.tolist(), float(width), float(height)],
        'area': float(width * height),
        'iscrowd': 0,
        'center': ((whole_low + whole_high) / 2).tolist(),
        'scale': float((whole_high - whole_low).max() / _UNIT),
    }


def _plain(number: float) -> float | int:
    return int(number) if number == int(number) else number


def split_of(path: str | Path) -> str:
    """``'train'`` or ``'test'``, by the list's name.

    Raises:
        UserError: the name says neither.
    """
    last = Path(path).stem.rpartition('_')[2]
    if last not in ('train', 'test'):
        raise UserError(
            f'{path}: expected a list of which the name ends in _train.txt or _test.txt, since '
            'the names of the json files follow from it.'
        )
    return last


def outputs(path: str | Path, out: str | Path) -> dict[str | None, Path]:
    """The files that a list becomes: None for all faces, and for the test each subset."""
    stem = f'face_landmarks_wflw_{split_of(path)}'
    subsets = ATTRIBUTES if stem.endswith('test') else ()
    return {
        None: Path(out) / f'{stem}.json',
        **{name: Path(out) / f'{stem}_{name}.json' for name in subsets},
    }


def convert(
    path: str | Path, images: str | Path, out: str | Path, skip_bad: bool = False
) -> Converted:
    """Write the json of a list, and for the test those of its six subsets.

    Ids are the same in all of them, so a subset is a part of the whole.

    Args:
        path: ``list_98pt_rect_attr_train.txt`` or ``..._test.txt``.
        images: WFLW's folder ``WFLW_images``; sizes are read from the files.
        out: folder for the json files.
        skip_bad: leave out bad lines and faces without an image, instead of refusing the list.

    Raises:
        UserError: bad entries without ``skip_bad``, or nothing left to write.
    """
    files = outputs(path, out)
    faces, problems = read_list(path)
    names = {name: i for i, name in enumerate(dict.fromkeys(f.name for f in faces), start=1)}
    sizes, bad = image_sizes(images, list(names))
    problems += bad.values()
    faces = [face for face in faces if face.name in sizes]
    if not skip_bad or not faces:
        refuse(path, problems)
    annotations = _annotations(faces, names, sizes)
    result = Converted(left_out=problems)
    for subset, file in files.items():
        chosen = [
            ann
            for ann, face in zip(annotations, faces, strict=True)
            if subset is None or subset in face.attributes
        ]
        result.files[file] = write_coco(file, names, sizes, chosen, _CATEGORY)
    return result


def _annotations(
    faces: Sequence[Face], names: dict[str, int], sizes: dict[str, tuple[int, int]]
) -> list[dict[str, Any]]:
    return [
        {
            'id': number,
            'image_id': names[face.name],
            'category_id': 1,
            **annotation(face, sizes[face.name]),
        }
        for number, face in enumerate(faces, start=1)
    ]
