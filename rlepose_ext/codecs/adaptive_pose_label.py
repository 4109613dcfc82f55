r"""AdaptivePose's targets, and how its maps become persons.

Xiao et al., *AdaptivePose: Human Parts as Adaptive Points*, AAAI 2022, arXiv 2112.13635, and the
authors' code. Space is *heatmap px*: the network's maps, a quarter of the input. A *cell* is a
pixel of a map, and a point p lies in the cell floor(p). For a picture the network gives

- ``centre`` (1 map): how likely a person's centre is in a cell,
- ``offset`` (2K maps, all x before all y): from the cell of a centre to each joint,
- in training ``heatmap`` (K maps): how likely a joint is in a cell, of whichever person.

**Encoding.** A joint counts if it is labelled and inside of the map, a person if its joints that
count span some width and some height. Its centre is the cell of their mean. Centres and joints are
drawn as Gaussian peaks of height 1 at their cells, as wide as the person is large: with r of
:func:`peak_radius`, :math:`\sigma = (2 r + 1) / 6`. Where peaks meet the higher one counts.

**Decoding.** A cell is a centre if it is the largest within 5 x 5 cells. The best P of them are
persons, each with its centre's score, and with joints

.. math:: p_k = c + \mathrm{offset}_k(c).

**Area.** The OKS loss compares an error with the person's area A, image px\ :sup:`2`. A crop that
shows the picture at scale s shows the person at :math:`s^2 A`, and a map at a quarter of that
scale at :math:`s^2 A / 16`. The authors' code has :math:`s A / 16`: ``legacy_area``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.codecs.utils import batch_heatmap_nms
from torch import Tensor

from rlepose_ext.checks import check_counts, check_size
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.crops import AREA_OF_BOX
from rlepose_ext.geometry.spaces import heatmap_to_input, input_to_heatmap
from rlepose_ext.registry import KEYPOINT_CODECS

# Centres are the largest within so many cells.
WINDOW = 5


def peak_radius(size: np.ndarray, overlap: float = 0.7) -> np.ndarray:
    r"""Radius of a person's peaks, as CenterNet's code computes it.

    .. math:: r = \frac{1}{2} \left( \sqrt{(2 t (w + h))^2 + 16 t (1 - t) w h} - 2 t (w + h) \right)

    A box that grows by r' on each side keeps the IoU t (Law and Deng, *CornerNet*, section 3.2) for
    :math:`r' = r / (4 t)`. The code forgets that divisor, and published weights were trained so.

    Args:
        size: width and height w, h, shape (..., 2).
        overlap: t, 0 to 1.

    Returns:
        Shape (...), in the unit of ``size``.
    """
    b = 2 * overlap * size.sum(-1)
    return 0.5 * (np.sqrt(b**2 + 16 * overlap * (1 - overlap) * size.prod(-1)) - b)


@KEYPOINT_CODECS.register_module()
class AdaptivePoseLabel(BaseKeypointCodec):
    """Targets of AdaptivePose, and its decoding.

    Args:
        input_size: width and height of the training input, multiples of 32; pictures of any such
            size are decoded.
        heatmap_size: width and height of the maps, a quarter of that.
        max_persons: P, how many persons are decoded at most.
        legacy_area: areas as in the authors' code, which multiplies them by the scale of the crop
            and not by its square. For training as the published weights were.

    Raises:
        UserError: sizes that do not fit each other.
    """

    label_mapping_table = {
        name: name for name in ('keypoint_weights', 'centre_cell', 'offset', 'area')
    }
    field_mapping_table = {'heatmaps': 'heatmaps', 'centre': 'centre'}
    auxiliary_encode_keys = {'area', 'warp_mat'}

    def __init__(
        self,
        input_size: Sequence[int],
        heatmap_size: Sequence[int],
        max_persons: int = 20,
        legacy_area: bool = False,
    ) -> None:
        super().__init__()
        check_size('AdaptivePoseLabel', input_size=input_size, heatmap_size=heatmap_size)
        check_counts('AdaptivePoseLabel', max_persons=max_persons)
        if any(side % 32 for side in input_size) or any(
            side != 4 * part for side, part in zip(input_size, heatmap_size, strict=True)
        ):
            raise UserError(
                'AdaptivePoseLabel: expected an input_size of multiples of 32 and a heatmap_size '
                f'of a quarter of it, got {tuple(input_size)} and {tuple(heatmap_size)}.'
            )
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.max_persons = max_persons
        self.legacy_area = legacy_area

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        area: np.ndarray | None = None,
        warp_mat: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Targets of a picture.

        Args:
            keypoints: (N, K, 2), input px.
            keypoints_visible: (N, K), 0 without a label; default 1.
            area: of the persons, input px squared, (N,). By default, and where it is no number
                above 0, 0.53 of the box around the joints.
            warp_mat: (2, 3), from image px to input px, for ``legacy_area``; by default the two
                are the same.

        Returns:
            With M of the N persons, those that count:

            - ``centre`` (1, H, W) and ``heatmaps`` (K, H, W), peaks of height 1;
            - ``keypoint_weights`` (M, K): 1 for joints that count;
            - ``centre_cell`` (M, 2): x and y, int64;
            - ``offset`` (M, K, 2): from the centre's cell to the joint, heatmap px;
            - ``area`` (M,): heatmap px squared.
        """
        if keypoints.ndim != 3 or keypoints.shape[-1] != 2:
            raise UserError(
                f'AdaptivePoseLabel: expected keypoints (N, K, 2), got {keypoints.shape}'
            )
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], np.float32)
        size = np.array(self.heatmap_size)
        points = input_to_heatmap(keypoints.astype(np.float64), self.input_size, size)
        with np.errstate(invalid='ignore'):  # what is not a number is outside
            counts = (keypoints_visible > 0) & ((points >= 0) & (points < size)).all(-1)
        points = np.where(counts[..., None], points, 0)
        low = np.where(counts[..., None], points, np.inf).min(1)
        high = np.where(counts[..., None], points, -np.inf).max(1)
        kept = (high > low).all(-1)
        points, counts, extent = points[kept], counts[kept], (high - low)[kept]

        mean = points.sum(1) / np.maximum(counts.sum(1), 1)[:, None]
        centre_cell = np.floor(mean).astype(np.int64)
        joint_cell = np.floor(points).astype(np.int64)
        centre = np.zeros((1, *self.heatmap_size[::-1]), np.float32)
        heatmaps = np.zeros((keypoints.shape[1], *self.heatmap_size[::-1]), np.float32)
        radii = peak_radius(np.ceil(extent)).astype(np.int64)
        for person, radius in enumerate(radii):
            _draw(centre[0], centre_cell[person], radius)
            for joint in np.flatnonzero(counts[person]):
                _draw(heatmaps[joint], joint_cell[person, joint], radius)
        return {
            'centre': centre,
            'heatmaps': heatmaps,
            'keypoint_weights': counts.astype(np.float32),
            'centre_cell': centre_cell,
            'offset': (points - centre_cell[:, None]).astype(np.float32),
            'area': self._areas(area, kept, extent, warp_mat),
        }

    def _areas(
        self,
        area: np.ndarray | None,
        kept: np.ndarray,
        extent: np.ndarray,
        warp_mat: np.ndarray | None,
    ) -> np.ndarray:
        """Areas of the persons that count, heatmap px squared, (M,) float32."""
        of_box = AREA_OF_BOX * extent.prod(-1)
        if area is None:
            return of_box.astype(np.float32)
        cells = np.prod(self.heatmap_size) / np.prod(self.input_size)
        found = np.asarray(area, np.float64).reshape(-1)[kept] * cells
        if self.legacy_area and warp_mat is not None:
            found = found / np.sqrt(abs(np.linalg.det(warp_mat[:2, :2])))
        return np.where(found > 0, found, of_box).astype(np.float32)

    def decode(
        self, centre: np.ndarray | Tensor, offset: np.ndarray | Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """Persons of a picture of any size.

        Args:
            centre: (1, H, W), 0 to 1.
            offset: (2K, H, W), all x before all y, heatmap px.

        Returns:
            Keypoints (P, K, 2) in input px and scores (P,), best first.
        """
        centre, offset = torch.as_tensor(centre), torch.as_tensor(offset)
        width = centre.shape[-1]
        peaks = batch_heatmap_nms(centre[None], WINDOW).flatten()
        scores, cells = peaks.topk(min(self.max_persons, len(peaks)))
        x, y = cells % width, cells // width
        found = offset[:, y, x].view(2, -1, len(cells)).permute(2, 1, 0)  # (P, K, 2)
        points = torch.stack([x, y], -1)[:, None] + found
        points = points.detach().float().cpu().numpy()
        return (
            heatmap_to_input(points, self.input_size, self.heatmap_size),
            scores.detach().float().cpu().numpy(),
        )


def _draw(target: np.ndarray, cell: np.ndarray, radius: int) -> None:
    """Put a peak of height 1 into a map (H, W), where it is higher than what is there."""
    sigma = (2 * radius + 1) / 6
    rows, columns = (
        np.arange(max(at - radius, 0), min(at + radius + 1, side))
        for side, at in zip(target.shape, cell[::-1], strict=True)
    )
    x, y = cell
    square = np.square(rows - y)[:, None] + np.square(columns - x)
    part = target[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    np.maximum(part, np.exp(-square / (2 * sigma**2)), out=part, casting='same_kind')
