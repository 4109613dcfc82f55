"""PoseFix's maps of the pose that it is given, and its targets.

Input: joint k of the input pose, at p in input px, is drawn into a map of the input's size,

    m(u) = 255 exp(-|u - p|^2 / (2 sigma^2)),    0 everywhere for a joint that is not there

in the grey levels of the image, to which the K maps are joined.

Target: joint k of the true pose, at q in heatmap px, is shared by the four pixels around it,

    t(u) = (1 - |u_x - q_x|) (1 - |u_y - q_y|)    where both distances are below 1, else 0

so that the mean of u under t is q itself. In the last row and column two or three of the four lie
outside of the map; what is left is divided by its sum.

Output: the network's map is a probability h(u) over pixels, and the joint is its mean,
sum_u h(u) u (Moon et al., *PoseFix: Model-agnostic General Human Pose Refinement Network*, CVPR
2019, arXiv 1812.03595, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from torch import Tensor

from rlepose_ext.checks import check_one_person, check_positive, check_size
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import heatmap_to_input, input_to_heatmap, normalise
from rlepose_ext.registry import KEYPOINT_CODECS

HEIGHT = 255.0


def input_maps(keypoints: Tensor, weights: Tensor, size: Sequence[int], sigma: float) -> Tensor:
    """Draw input poses.

    Args:
        keypoints: (N, K, 2), input px; they may lie outside.
        weights: (N, K), 0 for joints that are not there.
        size: width and height of the maps, input px.
        sigma: standard deviation, input px.

    Returns:
        (N, K, height, width), 0 to 255.
    """

    def along(axis: int) -> Tensor:
        steps = torch.arange(size[axis], dtype=keypoints.dtype, device=keypoints.device)
        return (-(steps - keypoints[..., axis, None]).square() / (2 * sigma**2)).exp()

    rows = HEIGHT * weights[..., None] * along(1)
    return rows[..., :, None] * along(0)[..., None, :]


def shared_pixels(points: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Share each point among the four pixels around it.

    Args:
        points: (K, 2), heatmap px, within [0, width) and [0, height).
        size: width and height of the maps.

    Returns:
        (K, height, width) float32, each map with the sum 1.
    """
    maps = np.zeros((len(points), size[1], size[0]), np.float32)
    joints = np.arange(len(points))
    corner = np.floor(points).astype(int)
    x_part, y_part = (points - corner).T
    for dx, x_share in enumerate((1 - x_part, x_part)):
        for dy, y_share in enumerate((1 - y_part, y_part)):
            x, y = corner[:, 0] + dx, corner[:, 1] + dy
            inside = (x < size[0]) & (y < size[1])
            maps[joints[inside], y[inside], x[inside]] = (x_share * y_share)[inside]
    return maps / maps.sum((1, 2), keepdims=True)


def mean_pixel(heatmap: np.ndarray) -> np.ndarray:
    """The mean position of maps (K, h, w) that sum to 1: (K, 2), heatmap px."""
    columns, rows = (np.arange(side, dtype=heatmap.dtype) for side in heatmap.shape[:0:-1])
    return np.stack([heatmap.sum(1) @ columns, heatmap.sum(2) @ rows], axis=-1)


@KEYPOINT_CODECS.register_module()
class PoseFixLabel(BaseKeypointCodec):
    """Targets of PoseFix, and the input pose beside them.

    ``GenerateTarget`` with this codec belongs into the pipeline of a test as well, where it packs
    the input pose.

    Args:
        input_size: width and height of the crop, input px.
        heatmap_size: width and height of the network's maps, heatmap px.
        sigma: standard deviation of the input maps, input px: 7 at 192 x 256, 9 at 288 x 384.
            For the preprocessor, which draws them.

    Raises:
        UserError: sizes or sigma are not positive, labels of several persons, or no keypoints.
    """

    auxiliary_encode_keys = {'input_keypoints', 'input_weights'}
    label_mapping_table = {
        name: name
        for name in ('keypoint_labels', 'keypoint_weights', 'input_keypoints', 'input_weights')
    }
    field_mapping_table = {'heatmaps': 'heatmaps'}

    def __init__(
        self, input_size: tuple[int, int], heatmap_size: tuple[int, int], sigma: float = 7.0
    ) -> None:
        super().__init__()
        check_size('PoseFixLabel', input_size=input_size, heatmap_size=heatmap_size)
        check_positive('PoseFixLabel', sigma=sigma)
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.sigma = sigma

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        input_keypoints: np.ndarray | None = None,
        input_weights: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Targets of one person.

        Args:
            keypoints: the true pose, (1, K, 2), input px.
            keypoints_visible: (1, K), 0 for joints without a label. Default: all 1.
            input_keypoints: the input pose, (1, K, 2), input px. Without it, in a test,
                ``keypoints`` are the input pose, and all of its joints count.
            input_weights: (1, K), 0 for joints that the input pose lacks. Default: all 1.

        Returns:
            - ``heatmaps``, (K, h, w) float32, sum 1, empty for joints without a target;
            - ``keypoint_labels``, (1, K, 2) float32, normalised by the crop;
            - ``keypoint_weights``, (1, K): 0 for joints without a label, or outside the crop;
            - ``input_keypoints``, (1, K, 2) float32, input px; ``input_weights``, (1, K).
        """
        if keypoints.ndim < 2:
            raise UserError(
                'PoseFixLabel: expected the pose that is to be corrected, got a box without '
                'keypoints. PoseFix corrects what another model has found: `rlepose demo '
                '--refine CONFIG CHECKPOINT`, or Pose(refine=[CONFIG, CHECKPOINT]).'
            )
        check_one_person('PoseFixLabel', keypoints)
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], np.float32)
        if input_keypoints is None:
            input_keypoints = keypoints
        if input_weights is None:
            input_weights = np.ones(keypoints.shape[:2], np.float32)
        points = input_to_heatmap(
            keypoints[0].astype(np.float64), self.input_size, self.heatmap_size
        )
        # NaN compares as false
        inside = ((points >= 0) & (points < self.heatmap_size)).all(-1)
        weights = inside & (keypoints_visible[0] > 0)
        maps = shared_pixels(np.where(weights[:, None], points, 0), self.heatmap_size)
        labels = np.where(weights[:, None], normalise(points, self.heatmap_size), 0)
        return {
            'heatmaps': maps * weights[:, None, None].astype(np.float32),
            'keypoint_labels': labels[None].astype(np.float32),
            'keypoint_weights': weights[None].astype(np.float32),
            'input_keypoints': input_keypoints.astype(np.float32),
            'input_weights': input_weights.astype(np.float32),
        }

    def decode(self, heatmap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean of each map.

        Args:
            heatmap: (K, h, w), each map a probability over its pixels.

        Returns:
            Keypoints in input px (1, K, 2), and the largest probability of a pixel (1, K).
        """
        points = heatmap_to_input(mean_pixel(heatmap), self.input_size, self.heatmap_size)
        return points[None], heatmap.max((1, 2))[None]
