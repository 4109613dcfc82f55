r"""OKS sigmas from objects that two people have labelled, and what AP makes of them.

COCO defines the sigma of joint k by the distance d of a label from the true place, in units of the
object's size s, the square root of its area: :math:`\sigma_k^2 = E[d_k^2 / s^2]`. The true place is
not known, but two people who err independently are :math:`\sqrt 2` times as far from each other
as each from the truth: :math:`\sigma_k^2 = E[\|a_k - b_k\|^2 / s^2] / 2`.

Source: Ronchi and Perona, *Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation*,
ICCV 2017; cocodataset.org, *Keypoint Evaluation*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.own_data.objects import Images, Object, as_coco, find_objects
from rlepose_ext.own_data.readers import read_labels

FACTORS = (0.5, 1.0, 2.0)


def measure(
    folder: Path, first: str, second: str
) -> tuple[list[str], np.ndarray, np.ndarray, dict[float, float]]:
    """Compare labels of the same images by two people.

    Args:
        folder: of the images.
        first: as :func:`~rlepose_ext.own_data.readers.read_labels` takes it.
        second: likewise, of another person.

    Returns:
        K joints; their sigmas, NaN where nobody labelled one twice; numbers of pairs (K,); and
        the AP of the second person against the first, for sigmas times each of
        :data:`FACTORS`.

    Raises:
        UserError: labels cannot be read, have other joints, or share no object.
    """
    read = [read_labels(folder, what) for what in (first, second)]
    joints = read[0].joints
    if set(joints) != set(read[1].joints):
        raise UserError(f'{first} and {second} have other joints: expected the same names in both.')
    read[1].joints = joints
    objects = [find_objects(r, Images(folder, r.source, folder / 'rlepose'))[0] for r in read]
    pairs = _pairs(*objects)
    if not pairs:
        raise UserError(f'{first} and {second} label no object of the same image.')
    a, b = (np.array([pair[i].keypoints for pair in pairs]) for i in (0, 1))
    truth = as_coco([pair[0] for pair in pairs], 'object', joints)
    area = np.array([annotation['area'] for annotation in truth['annotations']])
    both = (a[..., 2] > 0) & (b[..., 2] > 0)
    squared = ((a - b)[..., :2] ** 2).sum(axis=-1) / area[:, None] / 2
    count = both.sum(axis=0)
    with np.errstate(invalid='ignore'):
        sigmas = np.sqrt((squared * both).sum(axis=0) / count)
    if not (sigmas > 0).any():
        raise UserError(f'{first} and {second} are the same labels: nothing to measure.')
    return joints, sigmas, count, _sensitivity(truth, b, sigmas)


def _pairs(first: Sequence[Object], second: Sequence[Object]) -> list[tuple[Object, Object]]:
    """Each object of the first with the nearest of the second in its image that is left."""
    there = defaultdict(list)
    for other in second:
        there[other.file].append(other)
    pairs = []
    for one in first:
        rest = there[one.file]
        if rest:
            away = [np.abs(one.box - other.box).sum() for other in rest]
            pairs.append((one, rest.pop(int(np.argmin(away)))))
    return pairs


def _sensitivity(truth: dict, other: np.ndarray, sigmas: np.ndarray) -> dict[float, float]:
    from rlepose_ext.evaluation.offline import evaluate

    found = [
        {
            'image_id': annotation['image_id'],
            'category_id': 1,
            'keypoints': joints.ravel().tolist(),
            'bbox': annotation['bbox'],
            'score': 1.0,
        }
        for annotation, joints in zip(truth['annotations'], other, strict=True)
    ]
    usable = np.where(sigmas > 0, sigmas, np.nanmedian(sigmas[sigmas > 0]))
    return {factor: evaluate(found, truth, factor * usable)['AP'] for factor in FACTORS}
