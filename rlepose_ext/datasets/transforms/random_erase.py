"""Hide rectangles of the input, so that the model learns to infer joints it cannot see."""

# ruff: noqa: NPY002  (MMEngine seeds NumPy's global generator in every loader worker)

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from rlepose_ext.registry import TRANSFORMS


def erase(image: np.ndarray, holes: np.ndarray, fill: float = 0) -> np.ndarray:
    """A copy of an image with rectangles painted over.

    Args:
        image: (H, W) or (H, W, C).
        holes: (N, 4) integer x1, y1, x2, y2 in input px, x2 and y2 exclusive.
        fill: the value painted, in all channels.
    """
    image = image.copy()
    for x1, y1, x2, y2 in holes:
        image[y1:y2, x1:x2] = fill
    return image


@TRANSFORMS.register_module()
class RandomErase(BaseTransform):
    """Paint random rectangles over the input crop; keypoints stay as they are.

    Width and height are drawn independently, and every hole lies wholly inside the
    image. ``RandomErase()`` equals ``CoarseDropout`` of albumentations < 2 with one
    hole of 0.2 to 0.4 of the side, the setting of RTMPose's training pipelines, and
    needs no albumentations. Put it after ``TopdownAffine``: it works in input px.

    Required and modified key: ``img``.

    Args:
        prob: how often an image is touched at all.
        holes: least and greatest number of rectangles.
        size: least and greatest side, as a fraction of the image's side.
        fill: value painted.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        prob: float = 1.0,
        holes: tuple[int, int] = (1, 1),
        size: tuple[float, float] = (0.2, 0.4),
        fill: float = 0,
    ) -> None:
        super().__init__()
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in [0, 1], got {prob}')
        if not 1 <= holes[0] <= holes[1]:
            raise ValueError(f'holes must be (least, greatest) with 1 <= least, got {holes}')
        if not 0 < size[0] <= size[1] <= 1:
            raise ValueError(f'size must be (least, greatest) within (0, 1], got {size}')
        self.prob = prob
        self.holes = tuple(holes)
        self.size = tuple(size)
        self.fill = fill

    @cache_randomness
    def _draw(self, height: int, width: int) -> np.ndarray:
        """(N, 4) holes for an image of this size; N = 0 if it is left alone."""
        if np.random.rand() >= self.prob:
            return np.zeros((0, 4), dtype=int)
        number = np.random.randint(self.holes[0], self.holes[1] + 1)
        side = np.array([width, height])
        least, greatest = (np.maximum(1, np.floor(side * s)).astype(int) for s in self.size)
        extent = np.random.randint(least, greatest + 1, size=(number, 2))
        corner = np.random.randint(0, side - extent + 1)
        return np.concatenate([corner, corner + extent], axis=1)

    def transform(self, results: dict) -> dict:
        image = results['img']
        holes = self._draw(*image.shape[:2])
        if len(holes):
            results['img'] = erase(image, holes, self.fill)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, holes={self.holes}, size={self.size}, '
            f'fill={self.fill})'
        )
