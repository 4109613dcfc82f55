"""What labels do not say: flip pairs, links, and whether objects lie in all directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlepose_ext.annotations.flips import MARGIN, check_flips, costs, mirrored_name
from rlepose_ext.annotations.metainfo import PoseMeta

_FEWEST = 10  # objects with both joints
_TURNED = 0.5  # size of the mean pose: 1 if all poses are alike, 0 if evenly turned


def guess_partners(
    joints: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    keypoints: np.ndarray,
    boxes: np.ndarray,
) -> tuple[list[int], str]:
    """What each joint becomes in a mirrored image.

    Args:
        joints: K names.
        pairs: those that the labels give.
        keypoints: (N, K, 3) x, y in image px, v.
        boxes: (N, 4) x, y, width, height in image px.

    Returns:
        K indices, and where they come from; empty if there are no pairs.
    """
    index = {name: k for k, name in enumerate(joints)}
    partners, source = list(range(len(joints))), 'the labels'
    if not pairs:
        source = 'names'
        pairs = [(name, mirrored_name(name)) for name in joints]
        pairs = [(a, b) for a, b in pairs if b in index and a != b]
    for a, b in pairs:
        partners[index[a]], partners[index[b]] = index[b], index[a]
    if not pairs:
        partners, source = _by_poses(joints, keypoints, boxes), 'poses alone'
    return partners, source if partners != list(range(len(joints))) else ''


def _by_poses(joints: Sequence[str], keypoints: np.ndarray, boxes: np.ndarray) -> list[int]:
    """Partners that lie at mirrored places on average, and that :func:`check_flips` confirms."""
    alone = list(range(len(joints)))
    labelled = keypoints[..., 2] > 0
    found = costs(keypoints, labelled, boxes, alone)
    cost = np.where(found.persons >= _FEWEST, found.cost, np.inf)
    best, partners = cost.argmin(axis=1), list(alone)
    for a in alone:
        b = int(best[a])
        if best[b] == a and cost[a, b] < cost[a, a] / 2 and cost[a, a] - cost[a, b] > MARGIN:
            partners[a], partners[b] = b, a
    report = check_flips(
        keypoints, labelled, boxes, PoseMeta('', '', tuple(joints), tuple(partners))
    )
    return alone if report.wrong else partners


def guess_links(keypoints: np.ndarray) -> list[tuple[int, int]]:
    """Joints to connect: the spanning tree of the distances that vary least.

    A bone keeps its length. The cost of a link is the standard deviation of its length, and a
    twentieth of its mean, so that of two rigid ones the shorter is drawn.

    Args:
        keypoints: (N, K, 3) x, y in image px, v.

    Returns:
        K - 1 pairs; fewer if some joints are never labelled together.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    xy, labelled = _centred(keypoints)
    cost = np.zeros((keypoints.shape[1],) * 2)
    for a in range(len(cost)):  # row by row: N x K x K at once would not fit for faces
        both = labelled & labelled[:, [a]]
        length = np.ma.array(np.linalg.norm(xy - xy[:, [a]], axis=-1), mask=~both)
        cost[a] = (length.std(axis=0) + 0.05 * length.mean(axis=0) + 1e-9).filled(0)  # 0: no link
    tree = minimum_spanning_tree(np.triu(cost, 1))
    return sorted((int(a), int(b)) for a, b in zip(*tree.nonzero(), strict=True))


def lie_in_all_directions(keypoints: np.ndarray) -> bool:
    """Whether objects are turned at random, as seen from above, and not upright.

    Poses that point in all directions cancel out: their mean is a small part of their size.

    Args:
        keypoints: (N, K, 3) x, y in image px, v.
    """
    xy, labelled = _centred(keypoints)
    mean = xy.sum(axis=0) / np.maximum(labelled.sum(axis=0), 1)[:, None]
    return bool(len(xy) >= _FEWEST and np.sqrt((mean**2).sum(axis=-1).mean()) < _TURNED)


def _centred(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, K, 2) joints from the object's middle, in units of their root mean square distance."""
    labelled = keypoints[..., 2] > 0
    number = np.maximum(labelled.sum(axis=1), 1)[:, None, None]
    xy = keypoints[..., :2] * labelled[..., None]
    xy = (xy - xy.sum(axis=1, keepdims=True) / number) * labelled[..., None]
    size = np.sqrt((xy**2).sum(axis=(1, 2), keepdims=True) / number)
    return xy / np.maximum(size, 1e-9), labelled
