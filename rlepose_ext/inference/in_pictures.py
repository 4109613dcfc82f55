"""Everybody in a picture at one look: what is the same for a checkpoint and for an exported file.

A picture is resized and padded to what the network sees, a *view*; pictures whose views have one
size share a batch, and points come back to the pixels of their picture. Needs numpy and OpenCV;
neither torch nor MMPose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from rlepose_ext.geometry.crops import expanded_region, fitted_region, padded_crop
from rlepose_ext.geometry.spaces import input_to_image
from rlepose_ext.inference.boxes import best_of
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.images import read_image
from rlepose_ext.inference.types import PoseResult

# Share of a picture's longer side from which on a person is looked for in the small copy.
CLOSE = 0.6
# Keypoints (N, P, K, 2), their scores (N, P, K), boxes (N, P, 4) and their scores (N, P), input px.
People = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class View:
    """A picture as the network sees it.

    Attributes:
        pixels: (h, w, 3) uint8 BGR.
        center: of the region of the picture that ``size`` shows, (2,) image px.
        scale: width and height of that region, (2,) image px.
        size: width and height of that region in ``pixels``, (2,) input px.
    """

    pixels: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    size: np.ndarray


def view_of(
    frame: np.ndarray, longer_side: int, multiple: int, fill: Sequence[int] = (0, 0, 0)
) -> View:
    """Resized by its longer side, put top left, and padded right and below.

    Args:
        frame: (H, W, 3) uint8.
        longer_side: px.
        multiple: both sides of the view are multiples of it.
        fill: colour of the padding, BGR.
    """
    image_size = np.array(frame.shape[1::-1])
    factor = longer_side / image_size.max()
    size = [max(round(side * factor), 1) for side in image_size]
    pixels = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    right, below = (-side % multiple for side in size)
    pixels = cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_CONSTANT, value=tuple(fill))
    return View(pixels, image_size / 2, image_size, np.array(size))


def fitted_view(frame: np.ndarray, size: Sequence[int], fill: Sequence[int] = (0, 0, 0)) -> View:
    """Resized to fit into a picture of ``size`` (width, height), in its middle."""
    center, scale = fitted_region(frame.shape[1::-1], size)
    return View(padded_crop(frame, center, scale, size, fill=fill), center, scale, np.array(size))


def views_of(frame: np.ndarray, how: Mapping[str, Any]) -> list[View]:
    """The views of a frame, as ``picture`` of an exported file's metadata says.

    Args:
        frame: (H, W, 3) uint8.
        how: ``type``, ``fill`` and what that type needs: ``'fit'`` into ``size``, ``'expand'`` of
            the shorter side to ``size``, or ``'longer side'``, each of ``sides``; the last two to
            multiples of ``multiple``.
    """
    kind, fill = how['type'], how['fill']
    if kind == 'longer side':
        return [view_of(frame, side, how['multiple'], fill) for side in how['sides']]
    if kind == 'fit':
        return [fitted_view(frame, how['size'], fill)]
    center, scale, size = expanded_region(frame.shape[1::-1], how['size'], how['multiple'])
    return [View(padded_crop(frame, center, scale, size, fill=fill), center, scale, size)]


class InPictures(ABC):
    """A model that finds everybody, a :class:`.predictors.Predictor`.

    Attributes:
        meta: what the joints are, see :class:`.types.PoseResult`.
        bbox_thr: lowest score of a person, not included.
        nms_thr: of two persons whose boxes overlap by more than this IoU, the worse is dropped.
        batch_size: most pictures that go through the network at once.
    """

    has_sigma = False
    finds_everybody = True
    meta: Mapping[str, Any]
    bbox_thr: float
    nms_thr: float
    batch_size: int

    @abstractmethod
    def views(self, frame: np.ndarray) -> list[View]:
        """The looks at a frame: the first for everybody, a second only for those who fill it."""

    @abstractmethod
    def people(self, pixels: np.ndarray) -> People:
        """Run the model on views of one size, (N, h, w, 3) uint8."""

    def __call__(
        self, images: Any, channel_order: str = 'bgr', clock: Clock | None = None
    ) -> PoseResult | list[PoseResult]:
        """Everybody in one image, or in each image of a list, best first.

        Args:
            images: path, array or PIL image (see :func:`read_image`), or a list of these.
            channel_order: of arrays, ``'bgr'`` or ``'rgb'``.
            clock: adds up the time of the stages.

        Returns:
            A result for an image, a list of results for a list.

        Raises:
            UserError: an image that cannot be read.
        """
        if not isinstance(images, (list, tuple)):
            (result,) = self([images], channel_order, clock)
            return result
        frames = [read_image(image, channel_order) for image in images]
        clock = clock or Clock()
        with clock('crop'):
            looks = list(zip(*(self.views(frame) for frame in frames), strict=True))
        if not looks:
            return []
        results, *close = [self._look(frames, views, clock) for views in looks]
        for more in close:
            results = [self._joined(*pair) for pair in zip(results, more, strict=True)]
        return results

    def predict(
        self, images: Any, names: Sequence[str] = (), clock: Clock | None = None
    ) -> PoseResult | list[PoseResult]:
        """The same as a :class:`.predictors.Predictor`; names change nothing."""
        return self(images, clock=clock)

    def follow(
        self, frames: Sequence[np.ndarray], last: PoseResult, clock: Clock | None = None
    ) -> list[PoseResult]:
        """See :meth:`.predictors.Predictor.follow`; this model looks for everybody anyway."""
        return self.predict(frames, clock=clock)

    def _look(
        self, frames: Sequence[np.ndarray], views: Sequence[View], clock: Clock
    ) -> list[PoseResult]:
        results: list[PoseResult | None] = [None] * len(frames)
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, view in enumerate(views):
            groups.setdefault(view.pixels.shape, []).append(index)
        for members in groups.values():
            for start in range(0, len(members), self.batch_size):
                part = members[start : start + self.batch_size]
                with clock('network'):
                    people = self.people(np.stack([views[i].pixels for i in part]))
                for index, *found in zip(part, *people, strict=True):
                    results[index] = self._result(frames[index], views[index], *found)
        return results

    def _result(
        self,
        frame: np.ndarray,
        view: View,
        keypoints: np.ndarray,
        scores: np.ndarray,
        boxes: np.ndarray,
        box_scores: np.ndarray,
    ) -> PoseResult:
        def to_image(points: np.ndarray) -> np.ndarray:
            points = input_to_image(np.float64(points), view.center, view.scale, view.size)
            return points.astype(np.float32)

        corners = to_image(boxes.reshape(-1, 2, 2))
        boxes = np.clip(corners, 0, np.float32(frame.shape[1::-1])).reshape(-1, 4)
        kept = best_of(boxes, box_scores, self.bbox_thr, self.nms_thr)
        return PoseResult(
            boxes[kept],
            box_scores[kept].astype(np.float32),
            to_image(keypoints[kept]),
            scores[kept].astype(np.float32),
            meta=self.meta,
            image=frame,
        )

    def _joined(self, found: PoseResult, close: PoseResult) -> PoseResult:
        """Both looks at a frame; of two at one person the one with the higher score."""
        longer = max(found.image.shape[:2])
        close = close[(close.boxes[:, 2:] - close.boxes[:, :2]).max(1) > CLOSE * longer]
        if not len(close):
            return found
        names = ('boxes', 'box_scores', 'keypoints', 'scores')
        both = {n: np.concatenate([getattr(found, n), getattr(close, n)]) for n in names}
        kept = best_of(both['boxes'], both['box_scores'], self.bbox_thr, self.nms_thr)
        return replace(found, **{name: values[kept] for name, values in both.items()})
