"""The csv files of Udacity's facial key points, frames of YouTube Faces, as COCO keypoint json.

``training_frames_keypoints.csv`` and ``test_frames_keypoints.csv`` of
https://github.com/udacity/P1_Facial_Keypoints: a header, and a line for each image with its name
and x, y of the 68 landmarks of iBUG in image px. Source of the frames: Wolf et al., CVPR 2011.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from rlepose_ext.annotations.coco_json import Converted, annotate, image_sizes, refuse, write_coco
from rlepose_ext.errors import UserError

NUM_LANDMARKS = 68
_CATEGORY = {
    'name': 'face',
    'supercategory': 'face',
    'keypoints': [f'kpt-{k}' for k in range(NUM_LANDMARKS)],
    'skeleton': [],
}
_COLUMNS = 1 + 2 * NUM_LANDMARKS
_WIDER = 0.12, 4  # the box around the landmarks: a part of its side, and px, on each side


def read_landmarks(path: str | Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Landmarks of each image.

    Returns:
        Image to (68, 2) in image px; and what is wrong in other lines, each a clause.

    Raises:
        UserError: the file cannot be read, or has other columns.
    """
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f'{path} cannot be read as csv with a header: {error}') from error
    if len(header) != _COLUMNS:
        raise UserError(
            f'{path} has {len(header)} columns. Expected {_COLUMNS}: the name of the image, and x '
            f'and y of {NUM_LANDMARKS} landmarks.'
        )
    faces, problems = {}, []
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        name, *cells = row
        if len(cells) != len(header) - 1:
            problems.append(f'line {line} has {1 + len(cells)} columns')
            continue
        try:
            landmarks = np.array(cells, float).reshape(NUM_LANDMARKS, 2)
        except ValueError as error:
            problems.append(f'line {line}: {error}')
            continue
        if name in faces:
            problems.append(f'line {line}: {name} for the second time')
        elif not np.isfinite(landmarks).all():
            problems.append(f'line {line}: a landmark is not finite')
        else:
            faces[name] = landmarks
    return faces, problems


def convert(
    path: str | Path, images: str | Path, out: str | Path, skip_bad: bool = False
) -> Converted:
    """Write the COCO keypoint file of one csv.

    Args:
        path: the csv.
        images: folder of the images.
        out: json to write.
        skip_bad: leave out lines that cannot be used and those whose image cannot be read.

    Raises:
        UserError: another file, or bad lines without ``skip_bad``.
    """
    faces, problems = read_landmarks(path)
    sizes, bad = image_sizes(images, list(faces))
    problems += bad.values()
    if not skip_bad:
        refuse(path, problems)
    ids = {name: number for number, name in enumerate(sizes, start=1)}
    annotations = []
    for name, number in ids.items():
        rim = _WIDER[0] * np.ptp(faces[name], axis=0) + _WIDER[1]
        joints = np.c_[faces[name], np.full(NUM_LANDMARKS, 2)]
        face = annotate(joints, rim, sizes[name])
        annotations.append({'id': number, 'image_id': number, 'category_id': 1, **face})
    out = Path(out)
    return Converted({out: write_coco(out, ids, sizes, annotations, _CATEGORY)}, problems)
