"""Heatmaps that say which pixel, offset maps that say where within: the codec of SKPS.

The peak of a heatmap of a quarter of the input's size is known to a pixel, which is four
of the crop's. SKPS ("simple keypoints", ``projects/skps`` of MMPose) adds two maps per
joint. They hold, at *every* pixel u of the map, the way from that pixel to the joint:

    heatmap  g_k(u) = exp(-|u - p_k|^2 / (2 sigma^2))     Gaussian around the unrounded joint
    offset   d_k(u) = p_k - u                             in heatmap px

To decode, take the highest pixel of the heatmap and add the offset found there:

    u* = argmax g_k,    p_k = u* + d_k(u*)

Whichever pixel wins, the right offset leads to the joint: no quantisation remains, and
a joint a little outside of the map is found too.

Encoding is cheap, because both maps are separable: a Gaussian is the outer product of
one along x and one along y, and d_x depends on the column only, d_y on the row.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.logging import print_log
from mmpose.codecs.base import BaseKeypointCodec
from torch import Tensor

from rlepose_ext.checks import check_one_person, check_positive, check_size
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import heatmap_to_input, input_to_heatmap
from rlepose_ext.registry import KEYPOINT_CODECS

Maps = np.ndarray | Tensor

# A product of two tails above this is a normal float32. Denormal ones take many times longer.
SMALLEST_TAIL = 1.1e-19


def gaussian_maps(points: np.ndarray, size: Sequence[int], sigma: float) -> np.ndarray:
    """Gaussians of height 1 around points that need not lie on pixels.

    Args:
        points: (x, y) in heatmap px, shape (K, 2), finite.
        size: width and height of the maps.
        sigma: standard deviation in heatmap px.

    Returns:
        Shape (K, H, W), float32. No cut-off but float32's.
    """
    tails = []
    for axis, length in enumerate(size):
        distance = np.arange(length, dtype=np.float64) - points[:, axis, None]
        tail = np.exp(-np.square(distance) / (2 * sigma**2)).astype(np.float32)
        tails.append(np.where(tail < SMALLEST_TAIL, np.float32(0), tail))
    x, y = tails
    return y[:, :, None] * x[:, None, :]


def offset_maps(points: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The way from every pixel to the point: point minus pixel.

    Args:
        points: (x, y) in heatmap px, shape (K, 2).
        size: width and height of the maps.

    Returns:
        Shape (2K, H, W), float32, heatmap px: K maps of x, then K maps of y.
    """
    along_x, along_y = (
        (points[:, axis, None] - np.arange(length)).astype(np.float32)
        for axis, length in enumerate(size)
    )
    count = len(points)
    maps = np.empty((2 * count, size[1], size[0]), dtype=np.float32)
    maps[:count] = along_x[:, None, :]
    maps[count:] = along_y[:, :, None]
    return maps


def touches_map(points: np.ndarray, size: Sequence[int], sigma: float) -> np.ndarray:
    """Whether some of the Gaussian, three sigma to each side, lies on the map.

    The bounds are those of MMPose's ``generate_unbiased_gaussian_heatmaps``, one pixel more
    towards the left and the top.

    Args:
        points: heatmap px, shape (..., 2).
        size: width and height of the map.
        sigma: heatmap px.

    Returns:
        Boolean, shape (...); false for points that are not finite.
    """
    left_top, right_bottom = points - 3 * sigma, points + 3 * sigma + 1
    return ((left_top < np.asarray(size)) & (right_bottom >= 0)).all(-1)


def read_peaks(heatmaps: Maps, displacements: Maps) -> tuple[np.ndarray, np.ndarray]:
    """Highest pixel of each heatmap, plus the offset found there.

    Args:
        heatmaps: shape (N, K, H, W), array or tensor. Maps on a GPU are searched there.
        displacements: shape (N, 2K, H, W), heatmap px: K maps of x, then K maps of y.

    Returns:
        Points (N, K, 2) in heatmap px and the heights of the peaks (N, K), both float32.
    """
    # On a CPU numpy's argmax is several times faster than torch's.
    heatmaps, displacements = _numpy_if_on_cpu(heatmaps), _numpy_if_on_cpu(displacements)
    n, k, height, width = heatmaps.shape
    heatmaps = heatmaps.reshape(n, k, height * width)
    offset_x, offset_y = (
        maps.reshape(n, k, height * width) for maps in (displacements[:, :k], displacements[:, k:])
    )
    take = np.take_along_axis if isinstance(heatmaps, np.ndarray) else torch.take_along_dim
    index = heatmaps.argmax(-1)[..., None]
    peak, dx, dy = (
        _float32(take(maps, index, -1))[..., 0] for maps in (heatmaps, offset_x, offset_y)
    )
    row, column = np.divmod(_float32(index)[..., 0], width)
    return np.stack([column + dx, row + dy], axis=-1), peak


@KEYPOINT_CODECS.register_module()
class SKPSHeatmap(BaseKeypointCodec):
    """Unbiased Gaussian heatmaps with dense offset maps.

    Targets are those of MMPose's ``projects/skps``: its weights can be used and trained
    further.

    Args:
        input_size: width and height of the crop, input px.
        heatmap_size: width W and height H of the maps, heatmap px.
        sigma: standard deviation of the Gaussians, heatmap px.

    Raises:
        UserError: sizes are not whole and positive, sigma is not positive, or keypoints have a
            shape that cannot be encoded.
    """

    label_mapping_table = {'keypoint_weights': 'keypoint_weights'}
    field_mapping_table = {'heatmaps': 'heatmaps', 'displacements': 'displacements'}

    def __init__(
        self, input_size: Sequence[int], heatmap_size: Sequence[int], sigma: float
    ) -> None:
        super().__init__()
        check_size('SKPSHeatmap', input_size=input_size, heatmap_size=heatmap_size)
        check_positive('SKPSHeatmap', sigma=sigma)
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.sigma = sigma
        self._reported = False

    def encode(
        self, keypoints: np.ndarray, keypoints_visible: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Draw the maps of one person.

        Args:
            keypoints: input px, shape (1, K, 2).
            keypoints_visible: shape (1, K); below 0.5 a joint has no label. Default: all 1.

        Returns:
            - ``heatmaps``, (K, H, W): 0 for joints without a label or out of reach.
            - ``displacements``, (2K, H, W), heatmap px: K maps of x, then K maps of y;
              drawn for every joint with finite coordinates, seen or not.
            - ``keypoint_weights``, (1, K): ``keypoints_visible``, but 0 for joints more than
              three sigma off the map and for coordinates that are not finite.
        """
        check_one_person('SKPSHeatmap', keypoints)
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], dtype=np.float32)
        if keypoints_visible.shape != keypoints.shape[:2]:
            raise UserError(
                f'SKPSHeatmap: keypoints_visible has shape {keypoints_visible.shape}, expected '
                f'{keypoints.shape[:2]}, one number per keypoint.'
            )
        points = input_to_heatmap(keypoints[0], self.input_size, self.heatmap_size)
        labelled = keypoints_visible[0] >= 0.5
        with np.errstate(over='ignore'):
            finite = np.isfinite(points.astype(np.float32)).all(-1)
        if (labelled & ~finite).any():
            self._report(int((labelled & ~finite).sum()))
        points = np.where(finite[:, None], points, 0)
        drawn = labelled & finite & touches_map(points, self.heatmap_size, self.sigma)

        heatmaps = gaussian_maps(points, self.heatmap_size, self.sigma)
        heatmaps[~drawn] = 0
        displacements = offset_maps(points, self.heatmap_size)
        count = len(points)
        displacements[np.flatnonzero(~finite)] = 0
        displacements[np.flatnonzero(~finite) + count] = 0
        weights = np.where((labelled & ~drawn) | ~finite, 0, keypoints_visible)
        return {
            'heatmaps': heatmaps,
            'displacements': displacements,
            'keypoint_weights': weights.astype(keypoints_visible.dtype),
        }

    def decode(
        self, heatmaps: np.ndarray, displacements: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read the keypoints of one person.

        Args:
            heatmaps: shape (K, H, W).
            displacements: shape (2K, H, W), heatmap px.

        Returns:
            Keypoints in input px, (1, K, 2), and scores, (1, K): the heatmaps' maxima. A map
            without a peak gives a meaningless point and the score 0.
        """
        keypoints, scores = self.batch_decode(heatmaps[None], displacements[None])
        return keypoints[0], scores[0]

    def batch_decode(self, heatmaps: Maps, displacements: Maps) -> tuple[np.ndarray, np.ndarray]:
        """Read the keypoints of many persons at once.

        Args:
            heatmaps: shape (N, K, H, W), array or tensor on any device.
            displacements: shape (N, 2K, H, W), heatmap px.

        Returns:
            Keypoints in input px, (N, 1, K, 2), and scores, (N, 1, K); numpy.
        """
        width, height = self.heatmap_size
        n, k = heatmaps.shape[:2]
        expected = (n, k, height, width), (n, 2 * k, height, width)
        if (tuple(heatmaps.shape), tuple(displacements.shape)) != expected:
            raise UserError(
                f'SKPSHeatmap: expected heatmaps (N, K, {height}, {width}) and displacements '
                f'(N, 2K, {height}, {width}), got {tuple(heatmaps.shape)} and '
                f"{tuple(displacements.shape)}. Set heatmap_size of the codec to the model's."
            )
        points, scores = read_peaks(heatmaps, displacements)
        keypoints = heatmap_to_input(points, self.input_size, self.heatmap_size)
        return keypoints[:, None], scores[:, None]

    def _report(self, count: int) -> None:
        if not self._reported:
            self._reported = True
            print_log(
                f'SKPSHeatmap: {count} visible keypoints of a sample are not finite. Their weight '
                'is 0; this is said once per process. Check the annotation file and custom '
                'transforms.',
                logger='current',
                level=logging.WARNING,
            )


def _numpy_if_on_cpu(maps: Maps) -> Maps:
    if not isinstance(maps, Tensor):
        return maps
    maps = maps.detach()
    if maps.device.type != 'cpu':
        return maps
    # numpy has no bfloat16
    return maps.to(torch.promote_types(maps.dtype, torch.float32)).numpy()


def _float32(values: Maps) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.float().cpu().numpy()
    return values.astype(np.float32)
