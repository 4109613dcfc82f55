"""The skeleton as a graph: joints are nodes, bones are edges, both fixed before training.

A graph convolution may mix joint i with joint j only if ``adjacency[i, j]`` is true. The
diagonal is true as well (*self loops*): without it a joint would forget its own feature,
and a joint without bones would have no neighbour to average over.
"""

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

from rlepose_ext.checks import check_choice, check_counts
from rlepose_ext.errors import UserError

# COCO's skeleton in its joint order: 0 nose, 1-2 eyes, 3-4 ears, 5-6 shoulders, 7-8 elbows,
# 9-10 wrists, 11-12 hips, 13-14 knees, 15-16 ankles; odd numbers are the left side.
COCO_EDGES = (
    *((15, 13), (13, 11), (16, 14), (14, 12)),  # legs
    *((11, 12), (5, 11), (6, 12), (5, 6)),  # trunk
    *((5, 7), (6, 8), (7, 9), (8, 10)),  # arms
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),  # head
)

# name: edges, number of joints
SKELETONS = {'coco': (COCO_EDGES, 17)}
Skeleton = str | Sequence[Sequence[int]]


def skeleton_graph(skeleton: Skeleton, num_joints: int) -> Tensor:
    """Adjacency matrix, with self loops, of a named skeleton or of a list of edges.

    Args:
        skeleton: a name in :data:`SKELETONS`, or pairs of joint indices.
        num_joints: K.

    Returns:
        Bool, shape (K, K).

    Raises:
        UserError: unknown name, or a skeleton of another number of joints.
    """
    if not isinstance(skeleton, str):
        return adjacency(skeleton, num_joints)
    check_choice('Skeleton', 'skeleton', skeleton, SKELETONS)
    edges, expected = SKELETONS[skeleton]
    if num_joints != expected:
        raise UserError(
            f'skeleton {skeleton!r} has {expected} joints, the head has {num_joints}. Give '
            'skeleton=[(i, j), ...], the edges of your data set (skeleton_links of its metainfo).'
        )
    return adjacency(edges, num_joints)


def adjacency(edges: Sequence[Sequence[int]], num_joints: int) -> Tensor:
    """Symmetric adjacency matrix of undirected edges, with self loops.

    Args:
        edges: pairs of joint indices.
        num_joints: K.

    Returns:
        Bool, shape (K, K).

    Raises:
        UserError: ``edges`` is no list, or an edge not a pair of indices from 0 to K - 1.
    """
    check_counts('Skeleton', num_joints=num_joints)
    if not isinstance(edges, Sequence):
        raise UserError(
            f'Skeleton: expected a list of edges, pairs of joint indices, got {edges!r}.'
        )
    # On the CPU also where models are built without memory, on the meta device: it is read.
    matrix = torch.eye(num_joints, dtype=torch.bool, device='cpu')
    for edge in edges:
        if not (
            isinstance(edge, Sequence)
            and len(edge) == 2
            and all(isinstance(joint, Integral) and 0 <= joint < num_joints for joint in edge)
        ):
            raise UserError(
                f'Skeleton: expected edges as pairs of joint indices from 0 to {num_joints - 1}, '
                f'got {edge!r}. Give edges for the {num_joints} joints of the data set '
                '(skeleton_links of its metainfo).'
            )
        i, j = edge
        matrix[i, j] = matrix[j, i] = True
    return matrix
