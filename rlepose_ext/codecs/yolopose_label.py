r"""YOLO-Pose's targets: which cells and which anchors are to find a person.

The network gives one map per level, at 1/8, 1/16, 1/32 and 1/64 of the input. A *cell* is a pixel
of such a map. In every cell stand three *anchors*, boxes of fixed sizes, about 30 px at the finest
level and 800 px at the coarsest. For each cell and anchor the network gives 6 + 3K numbers: t_x,
t_y, t_w, t_h, objectness, class, and x, y and visibility of each joint. With the cell (i, j) of a
level of stride s and the anchor (a_w, a_h) they mean

.. math::

   c &= (2 \sigma(t_{xy}) - 1/2 + (i, j)) \, s, \qquad
   (w, h) = (2 \sigma(t_{wh}))^2 (a_w, a_h), \\
   p_k &= (2 t_k - 1/2 + (i, j)) \, s,

all in input px. The middle c of a box stays within 1.5 cells of its cell and the box below four
times its anchor; a joint may lie anywhere.

A person with the box (w, h) and the middle c is to be found

- by the anchors that are at most four times larger or smaller on either side,
  :math:`\max(w / a_w, a_w / w, h / a_h, a_h / h) < 4`, of any level;
- in the cell of c, and in the two neighbours whose border is nearest: left or right, above or
  below, where they exist.

So a person is learnt in three to some thirty places, whatever the network says there.

Source: Maji et al., *YOLO-Pose*, CVPR Workshops 2022, arXiv 2204.06806; assignment and boxes are
those of YOLOv5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from torch import Tensor

from rlepose_ext.checks import check_positive, check_size
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import heatmap_to_input, input_to_heatmap
from rlepose_ext.registry import KEYPOINT_CODECS

# Width and height, input px, of the anchors of each level; published with the configs for 960 px.
ANCHORS = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)
STRIDES = (8, 16, 32, 64)
# Numbers of a cell and anchor before the joints: box, objectness, class.
BOX_VALUES = 6


def decode_rows(
    rows: Tensor, cells: Tensor, anchors: Tensor, stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes and joints of raw outputs of one level, by the formulas above.

    Args:
        rows: (..., 6 + 3K).
        cells: (..., 2), x and y.
        anchors: (..., 2), width and height, input px.
        stride: of the level, input px.

    Returns:
        Middles (..., 2) and sizes (..., 2) of boxes, joints (..., K, 2), in input px.
    """
    joints = rows[..., BOX_VALUES:].unflatten(-1, (-1, 3))[..., :2]
    middle = 2 * rows[..., :2].sigmoid() - 0.5 + cells
    points = 2 * joints - 0.5 + cells.unsqueeze(-2)
    size = (2 * rows[..., 2:4].sigmoid()).square() * anchors
    in_px = (stride, stride), (1, 1)
    return heatmap_to_input(middle, *in_px), size, heatmap_to_input(points, *in_px)


@KEYPOINT_CODECS.register_module()
class YOLOPoseLabel(BaseKeypointCodec):
    """Targets of YOLO-Pose, for all persons of a picture.

    Args:
        input_size: width and height of the training input; pictures of any size are decoded.
        anchors: of each level width and height of its anchors, input px.
        strides: of each level, input px.
        ratio: an anchor is for persons less than so many times larger or smaller.

    Raises:
        UserError: sizes that are none, or another number of levels than strides.
    """

    auxiliary_encode_keys = {'bbox'}
    label_mapping_table = {
        name: name for name in ('cells', 'boxes', 'keypoint_labels', 'keypoint_weights')
    }

    def __init__(
        self,
        input_size: Sequence[int],
        anchors: Sequence[Sequence[Sequence[float]]] = ANCHORS,
        strides: Sequence[int] = STRIDES,
        ratio: float = 4.0,
    ) -> None:
        super().__init__()
        check_size('YOLOPoseLabel', input_size=input_size)
        sizes = np.array(anchors, np.float32)
        if sizes.ndim != 3 or sizes.shape[0] != len(strides) or sizes.shape[2] != 2:
            raise UserError(
                'YOLOPoseLabel: expected anchors of shape (levels, anchors, 2) for '
                f'{len(strides)} strides, got {sizes.shape}.'
            )
        check_positive('YOLOPoseLabel', ratio=ratio, anchors=sizes.min(), strides=min(strides))
        self.input_size = tuple(input_size)
        self.anchors = sizes
        self.strides = tuple(strides)
        self.ratio = ratio

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
            bbox: (N, 4), x1, y1, x2, y2, input px.

        Returns:
            A row for each of the M places that are to find a person:

            - ``cells`` (M, 4): level, anchor, row and column, int64;
            - ``boxes`` (M, 4): the person's, x1, y1, x2, y2, input px;
            - ``keypoint_labels`` (M, K, 2): input px, 0 without a label;
            - ``keypoint_weights`` (M, K): 1 for labelled joints inside of the picture.

        Raises:
            UserError: there are persons and no boxes, or arrays of other shapes.
        """
        if keypoints.ndim != 3 or keypoints.shape[-1] != 2:
            raise UserError(f'YOLOPoseLabel: expected keypoints (N, K, 2), got {keypoints.shape}')
        if bbox is None or np.shape(bbox) != (len(keypoints), 4):
            raise UserError(
                f'YOLOPoseLabel: expected boxes ({len(keypoints)}, 4) x1, y1, x2, y2, got '
                f'{None if bbox is None else np.shape(bbox)}. Use bbox_keep_corner=False in '
                'BottomupRandomAffine.'
            )
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], np.float32)
        with np.errstate(invalid='ignore'):  # not a number is outside
            inside = ((keypoints >= 0) & (keypoints < self.input_size)).all(-1)
        weights = ((keypoints_visible > 0) & inside).astype(np.float32)
        points = np.where(weights[..., None] > 0, keypoints, 0).astype(np.float32)
        boxes = np.asarray(bbox, np.float32)
        persons, cells = self.assign(boxes)
        return {
            'cells': cells,
            'boxes': boxes[persons],
            'keypoint_labels': points[persons],
            'keypoint_weights': weights[persons],
        }

    def assign(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The places that are to find each box.

        Args:
            boxes: (N, 4), x1, y1, x2, y2, input px. One without area, or with a middle outside of
                the picture, has no place.

        Returns:
            Indices of boxes (M,) and cells (M, 4): level, anchor, row and column; int64.
        """
        corners = boxes.reshape(-1, 2, 2).astype(np.float64)
        middle, size = corners.mean(1), corners[:, 1] - corners[:, 0]
        good = np.isfinite(middle).all(-1) & (size > 0).all(-1)
        good &= ((middle >= 0) & (middle < self.input_size)).all(-1)
        found = [np.zeros((0, 5), np.int64)]
        for level, (anchors, stride) in enumerate(zip(self.anchors, self.strides, strict=True)):
            with np.errstate(divide='ignore', invalid='ignore'):
                times = size[:, None] / anchors
                fits = np.maximum(times, 1 / times).max(-1) < self.ratio
            person, anchor = np.nonzero(fits & good[:, None])
            at = input_to_heatmap(middle[person], (stride, stride), (1, 1))
            # Columns and rows of the map, as many as the padded input has.
            grid = -(-np.array(self.input_size) // stride)
            own, rest = np.floor(at).astype(np.int64), grid - at
            before = (at % 1 < 0.5) & (at > 1)  # nearer to the left, or upper, border
            after = (rest % 1 < 0.5) & (rest > 1)
            for step, near in (
                ((0, 0), np.full(len(at), True)),
                ((-1, 0), before[:, 0]),
                ((0, -1), before[:, 1]),
                ((1, 0), after[:, 0]),
                ((0, 1), after[:, 1]),
            ):
                x, y = (own[near] + step).T
                at_level = np.full(len(x), level)
                found.append(np.stack([person[near], at_level, anchor[near], y, x], -1))
        rows = np.concatenate(found)
        return rows[:, 0], rows[:, 1:]

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Everything that the maps say, the many places where nobody is too.

        Args:
            maps: raw, of each level (N, anchors, H, W, 6 + 3K).

        Returns:
            For each of the P places of all levels: boxes (N, P, 4) x1, y1, x2, y2 and joints
            (N, P, K, 2) in input px; scores (N, P), objectness times class, and scores of the
            joints (N, P, K), 0 to 1.
        """
        parts = []
        for rows, anchors, stride in zip(maps, self.anchors, self.strides, strict=True):
            height, width = rows.shape[2:4]
            y, x = np.mgrid[:height, :width]
            cells = rows.new_tensor(np.stack([x, y], -1))
            sizes = rows.new_tensor(anchors)[:, None, None]
            middle, size, points = decode_rows(rows, cells, sizes, stride)
            corners = (middle - size / 2, middle + size / 2)
            objectness, kind = rows[..., 4:BOX_VALUES].sigmoid().unbind(-1)
            joints = rows[..., BOX_VALUES:].unflatten(-1, (-1, 3))[..., 2].sigmoid()
            each = (*corners, points, (objectness * kind)[..., None], joints)
            parts.append([value.flatten(1, 3) for value in each])
        low, high, points, scores, joints = (
            torch.cat(each, 1) for each in zip(*parts, strict=True)
        )
        return torch.cat((low, high), -1), points, scores[..., 0], joints
