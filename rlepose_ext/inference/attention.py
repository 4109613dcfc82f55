"""Where joints look: the attention of keypoint tokens on the picture, a tile for each joint.

Models with keypoint tokens (:class:`rlepose_ext.models.heads.TokenPoseHead`) can say what each
joint's token takes of each patch of the crop. The last block is drawn, the mean over its heads,
scaled to the largest value of the joint.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import heatmap_to_input, input_to_image
from rlepose_ext.inference.drawing import Style, draw_poses
from rlepose_ext.inference.types import PoseResult

# Longer side of a tile and height of the line above it, px.
TILE, LINE = 240, 16
# Width to height of the page, roughly.
PAGE = 1.5
_PICTURE, _ATTENTION = 0.45, 0.55
_FONT, _TEXT = cv2.FONT_HERSHEY_SIMPLEX, 0.4


class AttentionSheet:
    """Draws a page for each frame: its skeletons, then a tile for each joint.

    It looks at each frame's persons a second time.

    Args:
        predictor: see :mod:`.predictors`.
        style: of the skeletons.

    Raises:
        UserError: a model without keypoint tokens.
    """

    def __init__(self, predictor: Any, style: Style | None = None) -> None:
        self._estimator = getattr(predictor, 'estimator', None)
        self._style = style or Style()
        head = getattr(getattr(self._estimator, 'model', None), 'head', None)
        if not hasattr(head, 'attention'):
            raise UserError(
                '--draw-attention: expected a model with keypoint tokens (configs/tokenpose), got '
                f'{"one without a head of its own" if head is None else type(head).__name__}'
            )

    def __call__(self, frame: np.ndarray, poses: PoseResult) -> np.ndarray:
        """The page of a frame.

        Args:
            frame: (H, W, 3) uint8 BGR.
            poses: its persons.

        Returns:
            A new picture, whose size depends on that of the frame only.
        """
        looks = self._looks(frame, poses)
        tiles = [('', draw_poses(frame.copy(), poses, self._style))]
        for joint, name in enumerate(poses.names):
            tile = _glow(frame, looks[joint])
            for person in range(len(poses)):
                if poses.scores[person, joint] >= self._style.kpt_thr:
                    _mark(tile, poses.keypoints[person, joint])
            tiles.append((name.replace('_', ' '), tile))
        return _page(tiles)

    def _looks(self, frame: np.ndarray, poses: PoseResult) -> np.ndarray:
        """(K, H, W) from 0 to 1: the largest share that any of the persons' tokens takes."""
        height, width = frame.shape[:2]
        looks = np.zeros((poses.keypoints.shape[1], height, width), np.float32)
        if not len(poses):
            return looks
        maps, crops = self._estimator.attention(frame, poses.boxes)
        grid = maps.shape[:2:-1]
        for person, shares in enumerate(maps[:, -1]):
            # Middles of the first patch and of the next one right and below.
            middles = heatmap_to_input(
                np.array([[0.5, 0.5], [1.5, 1.5]]), self._estimator.input_size, grid
            )
            first, second = input_to_image(
                middles, crops.centers[person], crops.scales[person], self._estimator.input_size
            )
            matrix = np.column_stack([np.diag(second - first), first])
            for joint, share in enumerate(shares):
                found = cv2.warpAffine(share / share.max(), matrix, (width, height))
                np.maximum(looks[joint], found, out=looks[joint])
        return looks


def _glow(frame: np.ndarray, look: np.ndarray) -> np.ndarray:
    """A darker frame with a glow where ``look``, (H, W) from 0 to 1, is high."""
    heat = cv2.applyColorMap(np.uint8(255 * look.clip(0, 1)), cv2.COLORMAP_INFERNO)
    return cv2.addWeighted(frame, _PICTURE, heat, _ATTENTION, 0)


def _mark(tile: np.ndarray, point: np.ndarray) -> None:
    """A ring around a joint."""
    if not np.isfinite(point).all():
        return
    center = np.clip(point, -1e4, 1e4).round().astype(int).tolist()
    radius = max(round(max(tile.shape[:2]) / 50), 2)
    cv2.circle(tile, center, radius, (255, 255, 255), max(radius // 3, 1), cv2.LINE_AA)


def _page(tiles: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Tiles of one size with their names above them."""
    height, width = tiles[0][1].shape[:2]
    scale = TILE / max(height, width)
    width, height = max(round(width * scale), 1), max(round(height * scale), 1)
    columns = math.ceil(math.sqrt(len(tiles) * PAGE * height / width))
    rows = math.ceil(len(tiles) / columns)
    page = np.zeros((rows * (height + LINE), columns * width, 3), np.uint8)
    for index, (name, tile) in enumerate(tiles):
        y, x = index // columns * (height + LINE), index % columns * width
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        small = cv2.resize(tile, (width, height), interpolation=how)
        page[y + LINE : y + LINE + height, x : x + width] = small
        cv2.putText(
            page, name, (x + 3, y + LINE - 4), _FONT, _TEXT, (255, 255, 255), 1, cv2.LINE_AA
        )
    return page
