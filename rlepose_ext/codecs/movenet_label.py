r"""MoveNet's targets, and how its maps become poses.

Space is *heatmap px*: the network's maps, a quarter of the input. A *cell* is a pixel of a map, and
a point p lies in the cell floor(p). MoveNet gives for a picture

- ``centre`` (1 map): how likely a person's middle is in a cell,
- ``regression`` (2K maps): from the cell of the middle to each joint, a guess,
- ``heatmap`` (K maps): how likely a joint is in a cell, of whichever person,
- ``offset`` (2K maps): from a cell to the joint in it, mostly 0 to 1,
- for many persons also ``box_size`` and ``box_offset`` (2 maps each): width and height of the box
  around a person, and from the cell of the middle to the middle.

Pairs of maps hold all x before all y. The regression says roughly where, the heatmap which cell,
the offset where in the cell. With sigmoid maps c (centre) and h_k (heatmaps), and cells u:

**One person**, who is meant to fill the picture:

.. math::

   c^* = \arg\max_u \frac{c(u)}{|u - (W/2, H/2)| + 1.8}, \quad
   g_k = c^* + \mathrm{regression}_k(c^*), \quad
   u_k = \arg\max_u \frac{h_k(u)}{|u - g_k| + 1.8}, \quad
   p_k = u_k + \mathrm{offset}_k(u_k),

and the score is :math:`h_k(u_k)`. The denominators turn attention to the middle, and to the guess.

**Many persons**: centres are cells that are the largest within 5 x 5; the best P of them are taken.
Around each stands a box, and

.. math::

   u_k = \arg\max_{u \,\in\, \mathrm{box}} w_k(u), \qquad
   w_k(u) = h_k(u) \exp\left( -\frac{|u - g_k|^2}{0.3 \, \min(H, W)} \right).

A joint's score is the largest :math:`w_k(u_k)` that any of the P persons gives to that cell. A
person's score is c times the mean of the joint scores above 0.127.

Sources: Google's published graphs (MoveNet single pose v4, MultiPose v1) for decoding; for targets
CenterNet (Zhou et al., arXiv 1904.07850) and the project fire717/movenet.pytorch.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from torch import Tensor

from rlepose_ext.checks import check_choice, check_counts, check_size
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import heatmap_to_input, input_to_heatmap
from rlepose_ext.registry import KEYPOINT_CODECS

Maps = np.ndarray | Tensor

# Constants of Google's graphs, as they are stored there (float16).
DISTANCE_BIAS = 1.8
VARIANCE = 0.300048828125
EQUAL = 1.01328e-06
COUNTED_SCORE = 0.126953125


def gaussian_radius(size: np.ndarray, overlap: float = 0.7) -> np.ndarray:
    """How far both corners of a box may be off for an IoU of at least ``overlap``.

    The least over three cases: corners move the same way, both inwards, both outwards. Each is a
    quadratic equation (Law and Deng, *CornerNet*, ECCV 2018, section 3.2).

    Args:
        size: width and height, shape (..., 2).
        overlap: IoU, 0 to 1.

    Returns:
        Shape (...), in the unit of ``size``.
    """
    half = size.sum(-1)
    area = size.prod(-1)
    # (w - r)(h - r) / (2 w h - (w - r)(h - r)) = t
    shifted = 0.5 * (half - np.sqrt(half**2 - 4 * area * (1 - overlap) / (1 + overlap)))
    # (w - 2 r)(h - 2 r) / (w h) = t
    shrunk = 0.25 * (half - np.sqrt(half**2 - 4 * area * (1 - overlap)))
    # w h / ((w + 2 r)(h + 2 r)) = t
    grown = 0.25 * (np.sqrt(half**2 + 4 * area * (1 - overlap) / overlap) - half)
    return np.minimum(np.minimum(shifted, shrunk), grown)


def decode_single(
    heatmap: np.ndarray, centre: np.ndarray, regression: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the person in the middle of each picture.

    Args:
        heatmap: (N, K, H, W), 0 to 1.
        centre: (N, 1, H, W), 0 to 1.
        regression: (N, 2K, H, W), heatmap px.
        offset: (N, 2K, H, W), heatmap px.

    Returns:
        Points (N, K, 2), heatmap px, and scores (N, K).
    """
    height, width = heatmap.shape[2:]
    middle = np.float32([[[width / 2, height / 2]]])
    cells = _argmax(centre / (_distance(middle, height, width) + DISTANCE_BIAS))  # (N, 1, 2)
    guess = cells[:, 0, None] + _read_pairs(regression, cells)[:, 0]
    cells = _argmax(heatmap / (_distance(guess, height, width) + DISTANCE_BIAS))  # (N, K, 2)
    return cells + _read_own_pairs(offset, cells), _read_own(heatmap, cells)


def decode_many(
    heatmap: np.ndarray,
    centre: np.ndarray,
    regression: np.ndarray,
    offset: np.ndarray,
    box_size: np.ndarray,
    box_offset: np.ndarray,
    max_persons: int = 20,
    least: float = -1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The best P persons of each picture, best centre first; P is ``max_persons``.

    Args:
        heatmap: (N, K, H, W), 0 to 1.
        centre: (N, 1, H, W), 0 to 1.
        regression: (N, 2K, H, W), heatmap px.
        offset: (N, 2K, H, W), heatmap px.
        box_size: (N, 2, H, W), width and height, heatmap px.
        box_offset: (N, 2, H, W), heatmap px.
        max_persons: P, cut to the number of cells.
        least: persons whose score cannot be above it, because that of their centre is not, are left
            out; P is then the most that any of the pictures keeps.

    Returns:
        Points (N, P, K, 2), joint scores (N, P, K), boxes (N, P, 4) x1, y1, x2, y2, all in heatmap
        px, and person scores (N, P), which are nearly 0 where nobody is.
    """
    n, k, height, width = heatmap.shape
    size = np.float32([width, height])
    score = centre[:, 0]
    window = np.ones((5, 5), np.uint8)
    border = {'borderType': cv2.BORDER_CONSTANT, 'borderValue': 0}
    highest = np.stack([cv2.dilate(each, window, **border) for each in score])
    peak = score >= highest - EQUAL
    score = np.where(peak, score, 0).reshape(n, -1)
    best = np.argsort(-score, axis=1, kind='stable')[:, :max_persons]
    score = np.take_along_axis(score, best, 1)  # (N, P)
    cells = np.stack([best % width, best // width], -1)  # (N, P, 2)

    middle = cells + _read_pairs(box_offset, cells)[:, :, 0]
    half = np.maximum(_read_pairs(box_size, cells)[:, :, 0], 0) / 2
    low, high = (np.clip(corner, 0, size) for corner in (middle - half, middle + half))

    guess = cells[:, :, None] + _read_pairs(regression, cells)  # (N, P, K, 2)
    # The Gaussian and the box are products of one factor in x and one in y.
    along_x, along_y = (
        _gate(guess[..., i], low[..., i], high[..., i], side, VARIANCE * min(height, width))
        for i, side in enumerate((width, height))
    )
    kept = int((score > least).sum(1).max(initial=0))
    flat = np.zeros((n, kept, k), int)
    for p in range(kept):  # one at a time: the weights of all cells stay in the processor's cache
        weights = heatmap * along_y[:, p, :, :, None] * along_x[:, p, :, None]
        flat[:, p] = weights.reshape(n, k, -1).argmax(-1)
    x, y = flat % width, flat // width
    pictures, joints = np.arange(n)[:, None, None], np.arange(k)
    # What each person, of those left out too, gives to each of these cells: (N, P, K, persons).
    every = np.arange(best.shape[1])
    place = pictures[..., None], every, joints[:, None]
    given = heatmap[pictures, joints, y, x][..., None] * along_y[*place, y[..., None]]
    joint_scores = (given * along_x[*place, x[..., None]]).max(-1)
    maps = offset.reshape(n, 2, k, height, width)
    points = np.stack([x, y], -1) + maps[pictures, :, joints, y, x]
    low, high, score = low[:, :kept], high[:, :kept], score[:, :kept]
    counted = joint_scores > COUNTED_SCORE
    mean = (joint_scores * counted).sum(-1) / np.maximum(counted.sum(-1), 1)
    boxes = np.concatenate([low, high], -1)
    return points.astype(np.float32), joint_scores, boxes, score * mean


@KEYPOINT_CODECS.register_module()
class MoveNetLabel(BaseKeypointCodec):
    """Targets of MoveNet, and its decoding.

    Args:
        input_size: width and height of the input, multiples of 32; for many persons of the
            training input, pictures of any such size are decoded.
        heatmap_size: width and height of the maps, a quarter of that.
        persons: ``'one'``: the picture is a crop, the person's middle is that of the labelled
            joints. ``'many'``: whole pictures; the middle is that of the person's box.
        shape: of a peak that falls off from the joint's cell, at distance d. ``'exponential'``,
            exp(-3 d / R), as fire717: R = (s + 6) // 2, where s is 3, 5 or 7 for joints whose
            extent covers less than 16 %, less than 30 %, or more of the picture, and 2 more for
            the middle. ``'gaussian'``, as CenterNet: sigma (2 r + 1) / 6, with r the whole
            part of :func:`gaussian_radius` of the person's box.
        max_persons: P, how many persons are decoded at most.

    Raises:
        UserError: sizes that do not fit each other, or another name.
    """

    label_mapping_table = {
        name: name
        for name in (
            'keypoint_weights',
            'centre_cell',
            'regression',
            'joint_cell',
            'offset',
            'box_size',
            'box_offset',
        )
    }
    field_mapping_table = {
        'heatmaps': 'heatmaps',
        'centre': 'centre',
        'heatmap_mask': 'heatmap_mask',
    }
    support_batch_decoding = True

    def __init__(
        self,
        input_size: Sequence[int],
        heatmap_size: Sequence[int],
        persons: str = 'one',
        shape: str = 'exponential',
        max_persons: int = 20,
    ) -> None:
        super().__init__()
        check_size('MoveNetLabel', input_size=input_size, heatmap_size=heatmap_size)
        check_choice('MoveNetLabel', 'persons', persons, ('one', 'many'))
        check_choice('MoveNetLabel', 'shape', shape, ('exponential', 'gaussian'))
        check_counts('MoveNetLabel', max_persons=max_persons)
        if any(side % 32 for side in input_size) or any(
            side != 4 * part for side, part in zip(input_size, heatmap_size, strict=True)
        ):
            raise UserError(
                'MoveNetLabel: expected an input_size of multiples of 32 and a heatmap_size of a '
                f'quarter of it, got {tuple(input_size)} and {tuple(heatmap_size)}.'
            )
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.persons = persons
        self.shape = shape
        self.max_persons = max_persons
        if persons == 'many':
            self.auxiliary_encode_keys = {'bbox'}

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray | None = None,
        bbox: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Targets of a picture.

        Args:
            keypoints: (N, K, 2), input px.
            keypoints_visible: (N, K), 0 without a label; default 1.
            bbox: for many persons, the box of each, input px: (N, 4) x1, y1, x2, y2, or (N, 4, 2)
                corners.

        Returns:
            With M of the N persons, those whose middle is in the picture:

            - ``heatmaps`` (K, H, W) and ``centre`` (1, H, W), peaks of height 1;
            - ``keypoint_weights`` (M, K): 1 for labelled joints inside of the picture;
            - ``centre_cell`` (M, 2) and ``joint_cell`` (M, K, 2): cells (x, y), int64;
            - ``regression`` (M, K, 2): from the centre's cell to the joint, heatmap px;
            - ``offset`` (M, K, 2): from the joint's cell to the joint;
            - ``box_size``, ``box_offset`` (M, 2): of the box, or of the joints' extent.
        """
        if keypoints.ndim != 3 or keypoints.shape[-1] != 2:
            raise UserError(f'MoveNetLabel: expected keypoints (N, K, 2), got {keypoints.shape}')
        if self.persons == 'one' and len(keypoints) != 1:
            raise UserError(
                f'MoveNetLabel: expected one person, got {len(keypoints)}: use a top-down data '
                "set, or persons='many'."
            )
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], np.float32)
        size = np.array(self.heatmap_size)
        with np.errstate(invalid='ignore'):
            points = input_to_heatmap(
                keypoints.astype(np.float64), self.input_size, self.heatmap_size
            )
            inside = ((points >= 0) & (points < size)).all(-1)  # not a number is outside
        labelled = (keypoints_visible > 0) & inside
        points = np.where(labelled[..., None], points, 0)
        low, high = self._boxes(points, labelled, bbox)
        middle = (low + high) / 2
        kept = ((middle >= 0) & (middle < size) & np.isfinite(high - low)).all(-1)
        points, labelled, middle = points[kept], labelled[kept], middle[kept]
        extent = (high - low)[kept]

        centre_cell = np.floor(middle).astype(np.int64)
        joint_cell = np.floor(points).astype(np.int64)
        width, height = self.heatmap_size
        heatmaps = np.zeros((keypoints.shape[1], height, width), np.float32)
        centre = np.zeros((1, height, width), np.float32)
        for person in range(len(points)):
            for joint in np.flatnonzero(labelled[person]):
                self._draw(heatmaps[joint], joint_cell[person, joint], extent[person])
            if labelled[person].any() or self.persons == 'many':
                self._draw(centre[0], centre_cell[person], extent[person], middle=True)
        float32 = np.float32
        return {
            'heatmaps': heatmaps,
            'centre': centre,
            'keypoint_weights': labelled.astype(float32),
            'centre_cell': centre_cell,
            'joint_cell': joint_cell,
            'regression': (points - centre_cell[:, None]).astype(float32),
            'offset': (points - joint_cell).astype(float32),
            'box_size': extent.astype(float32),
            'box_offset': (middle - centre_cell).astype(float32),
        }

    def decode(self, *maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """:meth:`batch_decode` of one picture's maps, each without the first dimension."""
        keypoints, scores = self.batch_decode(*(np.asarray(each)[None] for each in maps))
        return keypoints[0], scores[0]

    def batch_decode(self, *maps: Maps) -> tuple[np.ndarray, np.ndarray]:
        """The person in the middle of each crop.

        Args:
            *maps: heatmap, centre, regression, offset, see :func:`decode_single`.

        Returns:
            Keypoints in input px, (N, 1, K, 2), and scores, (N, 1, K); numpy.
        """
        arrays = _as_arrays(maps[:4])
        self._check_maps(arrays)
        points, scores = decode_single(*arrays)
        points = heatmap_to_input(points, self.input_size, self.heatmap_size)
        return points[:, None], scores[:, None]

    def decode_persons(self, *maps: Maps, least: float = -1.0) -> list[tuple[np.ndarray, ...]]:
        """All persons of whole pictures, of any size.

        Args:
            *maps: heatmap, centre, regression, offset, box size, box offset, see
                :func:`decode_many`.
            least: see there.

        Returns:
            For each picture keypoints (P, K, 2) and their scores (P, K), boxes (P, 4) x1, y1, x2,
            y2 and their scores (P,), in input px.
        """
        arrays = _as_arrays(maps)
        found = decode_many(*arrays, max_persons=self.max_persons, least=least)
        points, joint_scores, boxes, scores = found
        points, corners = (
            heatmap_to_input(each, self.input_size, self.heatmap_size)
            for each in (points, boxes.reshape(*boxes.shape[:2], 2, 2))
        )
        return list(zip(points, joint_scores, corners.reshape(boxes.shape), scores, strict=True))

    def _boxes(
        self, points: np.ndarray, labelled: np.ndarray, bbox: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Corners of each person's box, (N, 2) each, heatmap px."""
        if self.persons == 'many':
            if bbox is None:
                raise UserError(
                    "MoveNetLabel: persons='many' needs the boxes of persons, and the data set "
                    'has none (bbox of the annotations).'
                )
            corners = np.asarray(bbox, np.float64).reshape(len(points), -1, 2)
            corners = input_to_heatmap(corners, self.input_size, self.heatmap_size)
            # What is cut off by the edge of the picture is not part of the box.
            corners = np.clip(corners, 0, self.heatmap_size)
            low, high = corners.min(1), corners.max(1)
            off = (high <= low).any(-1)  # all of it is cut off
            low[off] = high[off] = -1
            return low, high
        if not labelled.any():  # nothing is learned from this crop but that nobody is seen
            middle = np.array(self.heatmap_size)[None] / 2
            return middle, middle
        low = np.where(labelled[..., None], points, np.inf).min(1)
        high = np.where(labelled[..., None], points, -np.inf).max(1)
        return low, high

    def _draw(
        self, target: np.ndarray, cell: np.ndarray, extent: np.ndarray, middle: bool = False
    ) -> None:
        """Put a peak of height 1 into a map (H, W), where it is higher than what is there."""
        rows, columns = (
            np.square(np.arange(side) - at).astype(np.float32)
            for side, at in zip(target.shape, cell[::-1], strict=True)
        )
        square = rows[:, None] + columns
        if self.shape == 'gaussian':
            radius = max(int(gaussian_radius(extent)), 0)
            peak = np.exp(-square / (2 * ((2 * radius + 1) / 6) ** 2))
        else:
            peak = np.exp(-3 * np.sqrt(square) / self._reach(extent, middle))
        peak[peak < 1e-6] = 0
        np.maximum(target, peak, out=target)

    def _reach(self, extent: np.ndarray, middle: bool) -> int:
        """R of the exponential peak, in cells."""
        area = extent.prod() / np.prod(self.heatmap_size)
        step = 3 if area < 0.16 else 5 if area < 0.3 else 7
        return (step + 6 + 2 * middle) // 2

    def _check_maps(self, maps: Sequence[np.ndarray]) -> None:
        width, height = self.heatmap_size
        if maps[0].shape[2:] != (height, width):
            raise UserError(
                f'MoveNetLabel: expected maps of {width} x {height}, got {maps[0].shape[3]} x '
                f'{maps[0].shape[2]}. Set input_size and heatmap_size of the codec to the '
                "model's."
            )


def _as_arrays(maps: Sequence[Maps]) -> list[np.ndarray]:
    return [
        each.detach().float().cpu().numpy() if isinstance(each, Tensor) else each for each in maps
    ]


def _distance(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """From each cell to each point: (N, K, 2) to (N, K, H, W), float32."""
    x = np.square(np.arange(width, dtype=np.float32) - points[..., :1])
    y = np.square(np.arange(height, dtype=np.float32) - points[..., 1:])
    return np.sqrt(y[..., None] + x[..., None, :])


def _gate(
    guess: np.ndarray, low: np.ndarray, high: np.ndarray, side: int, variance: float
) -> np.ndarray:
    """The Gaussian along one axis, 0 outside of the box: (N, P, K) to (N, P, K, side)."""
    cells = np.arange(side, dtype=np.float32)
    inside = (cells >= low[..., None]) & (cells < high[..., None])  # (N, P, side)
    tail = np.exp(-np.square(cells - guess[..., None]) / np.float32(variance))
    return tail * inside[:, :, None]


def _argmax(maps: np.ndarray) -> np.ndarray:
    """Cell of the maximum of each map: (N, K, H, W) to (N, K, 2), x and y."""
    flat = maps.reshape(*maps.shape[:2], -1).argmax(-1)
    return np.stack([flat % maps.shape[3], flat // maps.shape[3]], -1)


def _read_pairs(maps: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """All pairs of (N, 2K, H, W) at each of the cells (N, P, 2): (N, P, K, 2)."""
    pictures = np.arange(len(maps))[:, None]
    values = maps[pictures, :, cells[..., 1], cells[..., 0]]  # (N, P, 2K)
    return values.reshape(*values.shape[:2], 2, -1).swapaxes(-1, -2)


def _read_own(maps: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Each of the maps (N, K, H, W) at its own cell (N, K, 2): (N, K)."""
    n, k = cells.shape[:2]
    return maps[np.arange(n)[:, None], np.arange(k), cells[..., 1], cells[..., 0]]


def _read_own_pairs(maps: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Pair k of (N, 2K, H, W) at cell k of (N, K, 2): (N, K, 2)."""
    count = cells.shape[1]
    return np.stack(
        [_read_own(half, cells) for half in (maps[:, :count], maps[:, count:])], axis=-1
    )
