"""The public archives of Leeds Sports Pose as COCO keypoint json.

``joints.mat`` holds 14 joints, x, y and a flag, in image px:

- LSP (2,000 images): shape (3, 14, N), flag 1: hidden. The first half is the training set.
- LSP extended (10,000 images): shape (14, 3, N), flag 0: not labelled. It has no split; here every
  seventh image is for validation.

Image i is the i-th of the folder by name. Sources: Johnson and Everingham, BMVC 2010 and CVPR 2011.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from rlepose_ext.annotations.coco_json import Converted, annotate, image_sizes, refuse, write_coco
from rlepose_ext.errors import UserError

SPLITS = ('train', 'val')
JOINTS = (
    'right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee', 'left_ankle',
    'right_wrist', 'right_elbow', 'right_shoulder', 'left_shoulder', 'left_elbow', 'left_wrist',
    'neck', 'head_top',
)  # fmt: skip
_CATEGORY = {'name': 'person', 'supercategory': 'person', 'keypoints': [*JOINTS], 'skeleton': []}
_WIDER = 0.1
_EVERY = 7


def read_joints(path: str | Path) -> tuple[np.ndarray, list[str]]:
    """Joints and the split of each image.

    Returns:
        Shape (N, 14, 3): x and y in image px, COCO's v; and N names of splits.

    Raises:
        UserError: the file is another one.
    """
    expected = 'Expected joints.mat of LSP, (3, 14, N), or of LSP extended, (14, 3, N).'
    try:
        joints = np.asarray(loadmat(str(path))['joints'], float)
    except Exception as error:  # scipy raises many kinds for a broken file
        raise UserError(f'{path} cannot be read ({error}). {expected}') from error
    number = joints.shape[-1]
    if joints.shape == (3, 14, number):
        joints = joints.transpose(2, 1, 0)
        flags = np.where(joints[..., 2] == 1, 1, 2)
        splits = [SPLITS[2 * index >= number] for index in range(number)]
    elif joints.shape == (14, 3, number):
        joints = joints.transpose(2, 0, 1)
        flags = np.where(joints[..., 2] == 0, 0, 2)
        splits = [SPLITS[index % _EVERY == _EVERY - 1] for index in range(number)]
    else:
        raise UserError(f'{path} has joints of shape {joints.shape}. {expected}')
    flags[~np.isfinite(joints[..., :2]).all(axis=-1)] = 0
    points = np.where(flags[..., None] > 0, joints[..., :2], 0)
    return np.concatenate([points, flags[..., None]], axis=-1), splits


def convert(
    mat: str | Path, images: str | Path, folder: str | Path, skip_bad: bool = False
) -> Converted:
    """Write ``lsp_train.json`` and ``lsp_val.json``.

    Args:
        mat: ``joints.mat``.
        images: folder of the images.
        folder: where the two files go.
        skip_bad: leave out images that cannot be read and persons without a joint.

    Raises:
        UserError: bad entries without ``skip_bad``, another number of images than of persons.
    """
    joints, splits = read_joints(mat)
    names = sorted(each.name for each in Path(images).glob('*') if each.suffix in ('.jpg', '.png'))
    if len(names) != len(joints):
        raise UserError(
            f'{mat} has {len(joints)} persons, and {images} has {len(names)} images (.jpg, .png). '
            'Expected one image for each.'
        )
    sizes, bad = image_sizes(images, names)
    problems = list(bad.values())
    people: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for index, (name, person) in enumerate(zip(names, joints, strict=True)):
        if not person[:, 2].any():
            problems.append(f'{name} has no labelled joint')
        elif name in sizes:
            ids = {'id': index + 1, 'image_id': index + 1, 'category_id': 1}
            side = np.ptp(person[person[:, 2] > 0, :2], axis=0).max()
            person = annotate(person, _WIDER * side, sizes[name])
            people[splits[index]].append({**ids, **person})
    if not skip_bad:
        refuse(mat, problems)
    numbers = {name: index for index, name in enumerate(names, start=1)}
    files = {outputs(mat, folder)[split]: people[split] for split in SPLITS}
    return Converted(
        {file: write_coco(file, numbers, sizes, each, _CATEGORY) for file, each in files.items()},
        problems,
    )


def outputs(mat: str | Path, folder: str | Path) -> dict[str, Path]:
    """The file of each split; one archive has both."""
    return {split: Path(folder) / f'lsp_{split}.json' for split in SPLITS}
