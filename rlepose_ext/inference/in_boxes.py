"""Poses of images in given boxes: what is the same for a checkpoint and for an exported file.

Images are read, boxes checked and cut out, the crops of all images go through the model together,
and points come back to the pixels of their image. Needs numpy and OpenCV; neither torch nor MMPose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import denormalise, input_to_image, normalise
from rlepose_ext.inference.boxes import as_boxes, as_scores
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.images import read_image
from rlepose_ext.inference.types import PoseResult

# Keypoints (N, K, 2), scores (N, K), and sigma (N, K, 2) or None.
Points = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@dataclass(frozen=True, eq=False)
class Crops:
    """The N boxes of an image as the network's input.

    Attributes:
        pixels: (N, h, w, C) uint8.
        centers: (N, 2) centre of each crop, image px.
        scales: (N, 2) width and height of each crop, image px.
    """

    pixels: np.ndarray
    centers: np.ndarray
    scales: np.ndarray


class InBoxes(ABC):
    """A model that sees one person in a crop, called with images and boxes.

    Attributes:
        meta: what the joints are, see :class:`.types.PoseResult`.
        input_size: width and height of a crop, px.
        has_sigma: whether results have ``sigma``.
    """

    meta: Mapping[str, Any]
    input_size: tuple[int, int]
    has_sigma: bool

    @property
    def num_keypoints(self) -> int:
        """K."""
        return int(self.meta['num_keypoints'])

    def __call__(
        self,
        images: Any,
        boxes: Any = None,
        box_scores: Any = None,
        channel_order: str = 'bgr',
        clock: Clock | None = None,
    ) -> PoseResult | list[PoseResult]:
        """Poses of one image, or of each image of a list.

        Args:
            images: path, array or PIL image (see :func:`read_image`), or a list of these.
            boxes: (N, 4) x1, y1, x2, y2 in image px, for a list of images a list of those;
                ``None`` takes the whole image for one person; an empty array means no person.
            box_scores: (N,) of the boxes, default 1.
            channel_order: of arrays, ``'bgr'`` or ``'rgb'``.
            clock: adds up the time of the stages.

        Returns:
            A result for an image, a list of results for a list.

        Raises:
            UserError: an image that cannot be read, or boxes of another form.
        """
        if not isinstance(images, (list, tuple)):
            (result,) = self([images], [boxes], [box_scores], channel_order, clock)
            return result
        pictures = [read_image(image, channel_order) for image in images]
        boxes = [None] * len(images) if boxes is None else boxes
        box_scores = [None] * len(images) if box_scores is None else box_scores
        if not len(pictures) == len(boxes) == len(box_scores):
            raise UserError(
                f'expected boxes and scores for each of {len(pictures)} images, got '
                f'{len(boxes)} and {len(box_scores)}'
            )
        found = [
            np.array([[0, 0, p.shape[1], p.shape[0]]], np.float32) if b is None else as_boxes(b)
            for p, b in zip(pictures, boxes, strict=True)
        ]
        scores = [as_scores(s, len(b)) for b, s in zip(found, box_scores, strict=True)]
        clock = clock or Clock()
        with clock('crop'):
            crops = [self.crop(p, b) for p, b in zip(pictures, found, strict=True)]
        keypoints, joint_scores, sigma = self._in_image(crops, clock)
        ends = np.cumsum([len(b) for b in found], dtype=int)  # nothing comes after the last
        parts = [np.split(values, ends)[:-1] for values in (keypoints, joint_scores)]
        sigmas = [None] * len(found) if sigma is None else np.split(sigma, ends)[:-1]
        return [
            PoseResult(b, s, k, j, sigma=e, meta=self.meta, image=p)
            for b, s, k, j, e, p in zip(found, scores, *parts, sigmas, pictures, strict=True)
        ]

    @abstractmethod
    def crop(self, image: np.ndarray, boxes: np.ndarray) -> Crops:
        """Cut the boxes out as the model's test pipeline does.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (N, 4) x1, y1, x2, y2 in image px, float32.
        """

    @abstractmethod
    def points(self, pixels: np.ndarray, clock: Clock | None = None) -> Points:
        """Run the model on crops.

        Args:
            pixels: (N, h, w, C) uint8, N at least 1.
            clock: adds up the time of the stages.

        Returns:
            Keypoints (N, K, 2), scores (N, K) and sigma (N, K, 2) or None, in input px.
        """

    def _in_image(self, crops: Sequence[Crops], clock: Clock) -> Points:
        """:meth:`points` of the crops of several images, in the px of each image."""
        crops = [part for part in crops if len(part.centers)]
        if not crops:
            empty = np.zeros((0, self.num_keypoints, 2), np.float32)
            return empty, empty[..., 0], empty if self.has_sigma else None
        keypoints, scores, sigma = self.points(np.concatenate([c.pixels for c in crops]), clock)
        with clock('decode keypoints'):
            centers = np.concatenate([part.centers for part in crops])[:, None]
            scales = np.concatenate([part.scales for part in crops])[:, None]
            keypoints = input_to_image(
                keypoints.astype(np.float64), centers, scales, self.input_size
            )
            if sigma is not None:
                sigma = denormalise(normalise(sigma, self.input_size), scales).astype(np.float32)
        return keypoints.astype(np.float32), scores.astype(np.float32), sigma


def stacked(rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Crops:
    """Crops of single boxes, each (h, w, C), (2,) and (2,), as one."""
    if not rows:
        return Crops(np.zeros((0,)), np.zeros((0, 2)), np.zeros((0, 2)))
    return Crops(*(np.stack(each) for each in zip(*rows, strict=True)))
