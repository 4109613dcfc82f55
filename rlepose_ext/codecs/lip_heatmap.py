"""Heatmaps of the LIP single-person baseline: small Gaussians on whole pixels, cut to a square.

With p the joint in heatmap px, the map of a labelled joint is

    c = clip(floor(p), 0, size - 1)
    g(u) = exp(-|u - c|^2 / (2 sigma^2))   for u in [c - 4, c + 4) on both axes, else 0.

MMPose's ``MSRAHeatmap`` rounds to the nearest pixel, gives up joints outside of the map and cuts
at three sigma on all sides. Here the square ends at +3, and joints outside of the image, which
LIP has a few of at the border, are taken to its edge. A joint without a label has an empty map,
which the baseline's loss trains like any other: no weights.

floor() says that the joint lies somewhere in [c, c + 1). So its best estimate is the middle, and
``decode`` gives (index + 0.5) in input px: never more than half a heatmap px off. Scaling the
index alone, as the baseline does, puts every joint up and to the left by that half on average.
"""

from collections.abc import Sequence

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.codecs.utils import get_heatmap_maximum

from rlepose_ext.checks import check_one_person, check_positive, check_size
from rlepose_ext.geometry.spaces import heatmap_to_input, input_to_heatmap
from rlepose_ext.registry import KEYPOINT_CODECS


def windowed_gaussians(
    centers: np.ndarray, size: Sequence[int], sigma: float, window: int, last: int = 0
) -> np.ndarray:
    """Gaussians of height 1 around whole pixels, zero outside of a square.

    Args:
        centers: x, y in heatmap px, shape (K, 2), integers.
        size: width and height of the maps.
        sigma: standard deviation, heatmap px.
        window: the square is [c - window, c + window) on both axes.
        last: so many columns at the right and rows at the bottom stay empty.

    Returns:
        Shape (K, H, W), float32.
    """
    factors = []
    for axis, length in enumerate(size):
        step = np.arange(length) - centers[:, axis, None]
        inside = (-window <= step) & (step < window) & (np.arange(length) < length - last)
        factors.append(np.where(inside, np.exp(-np.square(step) / (2 * sigma**2)), 0))
    x, y = (factor.astype(np.float32) for factor in factors)
    return y[:, :, None] * x[:, None, :]


@KEYPOINT_CODECS.register_module()
class LIPHeatmap(BaseKeypointCodec):
    """The targets of the LIP baseline.

    Args:
        input_size: width and height of the crop, input px.
        heatmap_size: width and height of the maps, heatmap px.
        sigma: standard deviation of the Gaussians, heatmap px.
        window: half the side of the square that is painted, heatmap px.
        legacy_edge: leave the last row and column of the maps empty, as the original did by an
            index that is one too low: joints there have no peak, or a lower one beside it.

    Raises:
        UserError: sizes, sigma or window are not positive, or labels of several persons.
    """

    label_mapping_table = {'keypoint_weights': 'keypoint_weights'}
    field_mapping_table = {'heatmaps': 'heatmaps'}

    def __init__(
        self,
        input_size: tuple[int, int],
        heatmap_size: tuple[int, int],
        sigma: float = 1.0,
        window: int = 4,
        legacy_edge: bool = False,
    ) -> None:
        super().__init__()
        check_size('LIPHeatmap', input_size=input_size, heatmap_size=heatmap_size)
        check_positive('LIPHeatmap', sigma=sigma, window=window)
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.sigma = sigma
        self.window = window
        self.legacy_edge = legacy_edge

    def encode(
        self, keypoints: np.ndarray, keypoints_visible: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Draw the maps of one person.

        Args:
            keypoints: input px, shape (1, K, 2).
            keypoints_visible: shape (1, K); below 0.5 a joint has no label. Default: all 1.

        Returns:
            - ``heatmaps``, (K, H, W), float32: 0 for joints without a label;
            - ``keypoint_weights``, (1, K): 1 for joints with a map. The baseline's loss
              does not use them, the accuracy in the log does.
        """
        check_one_person('LIPHeatmap', keypoints)
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], dtype=np.float32)
        points = input_to_heatmap(
            keypoints[0].astype(np.float64), self.input_size, self.heatmap_size
        )
        labelled = (keypoints_visible[0] >= 0.5) & np.isfinite(points).all(-1)
        points = np.where(labelled[:, None], points, 0)
        centers = np.clip(np.floor(points), 0, np.subtract(self.heatmap_size, 1)).astype(int)
        maps = windowed_gaussians(
            centers, self.heatmap_size, self.sigma, self.window, last=int(self.legacy_edge)
        )
        maps *= labelled[:, None, None]
        return {'heatmaps': maps, 'keypoint_weights': labelled[None].astype(np.float32)}

    def decode(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Middle of the highest pixel.

        Args:
            encoded: heatmaps, shape (K, H, W).

        Returns:
            Keypoints in input px (1, K, 2), and the heights of the peaks (1, K). Without a
            value above 0 there is no peak; the point then lies off the map, to the upper left.
        """
        pixels, scores = get_heatmap_maximum(encoded)
        points = heatmap_to_input(pixels + np.float32(0.5), self.input_size, self.heatmap_size)
        return points[None], scores[None]
