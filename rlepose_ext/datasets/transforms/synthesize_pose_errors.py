"""PoseFix's synthetic errors: wrong poses to learn from, as pose models make them.

A joint is moved to where a model would have put it by mistake. How far it is off is measured in
keypoint similarity (Ronchi and Perona, *Benchmarking and Error Diagnosis in Multi-Instance Pose
Estimation*, ICCV 2017): KS = exp(-d^2 / (2 A (2 sigma_k)^2)) with the area A of the person and
COCO's sigma of the joint; so it lies at the distance

    d(KS) = sqrt(-2 A (2 sigma_k)^2 ln KS)

    jitter      at KS 0.85 to 0.5 of the joint itself
    miss        at KS 0.5 to 0.1 of any candidate
    inversion   within KS 0.5 of its partner: the left wrist on the right one
    swap        within KS 0.5 of that joint, or its partner, of a person beside
    good        within KS 0.85 of the joint itself

Candidates are the joint, its partner, and both of all persons beside. A point must be nearer to
the candidate that it was drawn around than to any other one: farther from all others than its
distance from its own, or, for a miss, than d(0.5). Angle and distance are uniform. What cannot be
(a nose has no partner) has probability 0, and the others share the rest. (Moon et al.,
*PoseFix*, CVPR 2019, arXiv 1812.03595, section 3; the numbers are those of the authors' program.)
"""

# ruff: noqa: NPY002  (MMEngine seeds NumPy's global generator in every loader worker)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmcv.transforms import BaseTransform

from rlepose_ext.errors import UserError
from rlepose_ext.registry import TRANSFORMS

KINDS = ('jitter', 'miss', 'inversion', 'swap', 'good')
# Between which KS of its candidate a point lies, and how many are drawn to choose from.
_RINGS = {
    'jitter': (0.85, 0.5, 500),
    'miss': (0.5, 0.1, 2000),
    'inversion': (1.0, 0.5, 500),
    'swap': (1.0, 0.5, 500),
    'good': (1.0, 0.85, 125),
}
# Of the points of a miss that lie around other candidates than the joint itself.
_KEPT = 4


@dataclass(frozen=True)
class Chances:
    """How probable each error is for a kind of joint.

    Attributes:
        jitter: with at most 10 labelled joints, with more.
        miss: with at most 5, with at most 10, with more.
        inversion: always.
        swap: among people, see :func:`probabilities`; else.
    """

    jitter: tuple[float, float]
    miss: tuple[float, float, float]
    inversion: float
    swap: tuple[float, float]


_FACE_MISS, _ENDS_MISS, _MISS = (0.15, 0.10, 0.02), (0.20, 0.13, 0.05), (0.25, 0.15, 0.10)
_FACE, _UPPER, _LOWER = (0.01, (0.02, 0.01)), (0.03, (0.15, 0.06)), (0.06, (0.10, 0.03))
# By name without left and right.
CHANCES = {
    'nose': Chances((0.15, 0.10), _FACE_MISS, *_FACE),
    'eye': Chances((0.20, 0.15), _FACE_MISS, *_FACE),
    'ear': Chances((0.20, 0.15), _FACE_MISS, *_FACE),
    'shoulder': Chances((0.20, 0.15), _ENDS_MISS, *_UPPER),
    'elbow': Chances((0.20, 0.15), _MISS, *_UPPER),
    'wrist': Chances((0.20, 0.15), _MISS, *_UPPER),
    'hip': Chances((0.25, 0.20), _MISS, *_LOWER),
    'knee': Chances((0.15, 0.10), _MISS, *_LOWER),
    'ankle': Chances((0.15, 0.10), _ENDS_MISS, *_LOWER),
}
# CrowdPose's, which the authors have not.
CHANCES |= {'top_head': CHANCES['nose'], 'neck': CHANCES['shoulder']}


def probabilities(name: str, labelled: int, beside: int) -> np.ndarray:
    """How probable each of :data:`KINDS` is for a joint, whether it is possible or not.

    Args:
        name: of the joint, such as ``left_wrist``.
        labelled: number of labelled joints of the person.
        beside: number of persons beside, whose boxes overlap by an IoU above 0.1.

    Raises:
        UserError: a joint that is not in :data:`CHANCES`.
    """
    try:
        chances = CHANCES[name.removeprefix('left_').removeprefix('right_')]
    except KeyError:
        raise UserError(
            f'SynthesizePoseErrors: expected joints of a body ({", ".join(CHANCES)}), got '
            f'{name!r}. Its errors have not been measured; take a data set of COCO or CrowdPose.'
        ) from None
    few = labelled <= 10
    crowded = (few and beside > 0) or (labelled <= 15 and beside >= 3)
    errors = [
        chances.jitter[0 if few else 1],
        chances.miss[0 if labelled <= 5 else 1 if few else 2],
        chances.inversion,
        chances.swap[0 if crowded else 1],
    ]
    return np.array([*errors, 1 - sum(errors)])


def distance_at(similarity: float, area: float, sigma: float) -> float:
    """The distance of a joint, px, at a keypoint similarity; the inverse of KS above.

    Args:
        similarity: KS, above 0 and at most 1.
        area: of the person, px^2.
        sigma: COCO's of the joint.
    """
    return 2 * sigma * np.sqrt(-2 * area * np.log(similarity))


@dataclass(frozen=True)
class Candidates:
    """Where a joint may be taken to be, px.

    Attributes:
        own: (2,) the joint itself.
        same: (A, 2) that joint of persons beside.
        partner: (0 or 1, 2) its partner.
        partners: (B, 2) its partner of persons beside.
    """

    own: np.ndarray
    same: np.ndarray
    partner: np.ndarray
    partners: np.ndarray

    def around(self, kind: str) -> tuple[np.ndarray, list[int]]:
        """All candidates (C, 2), the joint itself first, and those that an error may be around."""
        points = np.concatenate([self.own[None], self.same, self.partner, self.partners])
        partner, partners = 1 + len(self.same), 1 + len(self.same) + len(self.partner)
        chosen = {
            'miss': range(len(points)),
            'inversion': range(partner, partners),
            'swap': [*range(1, partner), *range(partners, len(points))],
        }
        return points, list(chosen.get(kind, [0]))


def draw(
    kind: str, candidates: Candidates, area: float, sigma: float, rng: np.random.Generator
) -> np.ndarray | None:
    """A point (2,) with an error of a kind, px; None if there is no room for one.

    Args:
        kind: of :data:`KINDS`.
        candidates: of the joint.
        area: of the person, px^2.
        sigma: COCO's of the joint.
        rng: source of every random choice.
    """
    nearest, farthest, count = _RINGS[kind]
    low, high = (distance_at(similarity, area, sigma) for similarity in (nearest, farthest))
    points, centres = candidates.around(kind)
    found = []
    for index in centres:
        angle, distance = rng.uniform(0, 2 * np.pi, count), rng.uniform(low, high, count)
        drawn = points[index] + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        others = np.delete(points, index, axis=0)
        # axis by axis: a sum over an axis of two takes three times as long
        room = sum(np.subtract.outer(drawn[:, axis], others[:, axis]) ** 2 for axis in (0, 1))
        least = np.full(count, low) if kind == 'miss' else distance
        drawn = drawn[(room > least[:, None] ** 2).all(1)]
        found.append(drawn[: len(drawn) // _KEPT] if kind == 'miss' and index else drawn)
    found = np.concatenate([np.empty((0, 2)), *found])
    return found[rng.integers(len(found))] if len(found) else None


def synthesize(
    joints: np.ndarray,
    labelled: np.ndarray,
    names: Sequence[str],
    flip_indices: Sequence[int],
    sigmas: np.ndarray,
    area: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A wrong pose of one person.

    Args:
        joints: (2 + M, K, 2), px: of the person, the same person's as another model has found
            them, which stand in where there is no label, and of M persons beside.
        labelled: (2 + M, K), whether each is known.
        names: of the K joints.
        flip_indices: the partner of each, itself where there is none.
        sigmas: (K,), COCO's.
        area: of the person's box, px^2.
        rng: source of every random choice.

    Returns:
        Points (K, 2), px; whether each is there (K,), which it is not without a label and
        without the other model's; and the kind of error of each, ``''`` where it is not.
    """
    pose, there, kinds = np.zeros(joints.shape[1:]), labelled[:2].any(0), []
    count, beside = int(labelled[0].sum()), len(joints) - 2
    for k, name in enumerate(names):
        if not there[k]:
            kinds.append('')
            continue
        pair = flip_indices[k]
        has_pair = pair != k
        candidates = Candidates(
            own=joints[0 if labelled[0, k] else 1, k],
            same=joints[2:, k][labelled[2:, k]],
            partner=joints[:1, pair][labelled[:1, pair] & has_pair],
            partners=joints[2:, pair][labelled[2:, pair] & has_pair],
        )
        # The first kind that is possible, each time by what is left: the same as giving those
        # that are not the probability 0.
        chances = dict(zip(KINDS, probabilities(name, count, beside), strict=True))
        point = None
        while chances and point is None:
            share = np.array(list(chances.values()))
            kind = list(chances)[rng.choice(len(share), p=share / share.sum())]
            point = draw(kind, candidates, area, sigmas[k], rng)
            del chances[kind]
        pose[k] = candidates.own if point is None else point
        kinds.append('good' if point is None else kind)
    return pose, there, kinds


@TRANSFORMS.register_module()
class SynthesizePoseErrors(BaseTransform):
    """Give a sample of training a wrong pose, see the module.

    Put it between ``TopdownAffine`` and ``GenerateTarget``. Area is that of the person's box in
    the crop.

    Required keys: ``transformed_keypoints`` (2 + M, K, 2) in input px, ``keypoints`` and
    ``keypoints_visible`` with as many rows: those of :func:`synthesize`, the last M + 1 may be
    left out; ``bbox``, ``input_size``, ``input_scale``; and ``flip_indices``, ``sigmas``,
    ``keypoint_names``, which :class:`~rlepose_ext.datasets.posefix_dataset.PoseFixDataset` adds.

    Modified keys: of those with rows the first one is left, the labels. Added keys:
    ``input_keypoints`` (1, K, 2) in input px, ``input_weights`` (1, K), ``pose_errors``, a kind
    for each joint.

    Raises:
        UserError: joints whose errors are not known.
    """

    def transform(self, results: dict) -> dict:
        joints = results['transformed_keypoints'].astype(np.float64)
        labelled = (results['keypoints_visible'] > 0) & np.isfinite(joints).all(-1)
        if len(joints) == 1:
            joints = np.concatenate([joints, np.zeros_like(joints)])
            labelled = np.concatenate([labelled, np.zeros_like(labelled)])
        corners = results['bbox'][0].reshape(2, 2).astype(np.float64)
        area = np.prod((corners[1] - corners[0]) * results['input_size'] / results['input_scale'])
        rng = np.random.default_rng(np.random.randint(2**32, dtype=np.uint64))
        pose, there, kinds = synthesize(
            joints,
            labelled,
            results['keypoint_names'],
            results['flip_indices'],
            results['sigmas'],
            area,
            rng,
        )
        for name in ('transformed_keypoints', 'keypoints', 'keypoints_visible'):
            results[name] = results[name][:1]
        results['input_keypoints'] = pose[None].astype(np.float32)
        results['input_weights'] = there[None].astype(np.float32)
        results['pose_errors'] = kinds
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
