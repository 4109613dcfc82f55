"""An exported model as a pose estimator: :class:`OnnxPose`, without torch and MMPose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.geometry.crops import (
    padded_crop,
    padded_region,
    stretched_crop,
    stretched_region,
)
from rlepose_ext.geometry.spaces import denormalise, input_to_image, normalise
from rlepose_ext.inference.boxes import as_boxes, as_scores
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.images import read_image
from rlepose_ext.inference.onnx_file import joints_meta, open_model
from rlepose_ext.inference.types import PoseResult


class OnnxPose:
    """A file of ``rlepose export``, with the interface of :class:`.estimator.PoseEstimator`.

    There is no flip test: one pass for each person.

    Args:
        model: the ONNX file.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ``'openvino'`` or ``'coreml'``, as far as
            onnxruntime has it; ``'auto'`` is CUDA if it is there, else the CPU.
        batch_size: most crops that go through the network at once.

    Attributes:
        content: the metadata of the file: ``input_size``, ``codec``, ``checkpoint_sha256``, ...
        meta: what the joints are, see :class:`.types.PoseResult`.

    Raises:
        UserError: a damaged file or one of another kind; onnxruntime is not installed, or has no
            such device.
    """

    def __init__(self, model: str | Path, device: str = 'auto', batch_size: int = 32) -> None:
        if batch_size < 1:
            raise UserError(f'batch_size: expected 1 or more, got {batch_size}')
        self.batch_size = batch_size
        self._session, self.content = open_model(model, device)
        self.meta: Mapping[str, Any] = joints_meta(self.content)
        self.input_size = tuple(self.content['input_size'])
        self.has_sigma = 'sigma' in self.content['outputs']

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
            images: path, array or PIL image, or a list of these.
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
        boxes = [None] * len(images) if boxes is None else boxes
        box_scores = [None] * len(images) if box_scores is None else box_scores
        if not len(images) == len(boxes) == len(box_scores):
            raise UserError(
                f'expected boxes and scores for each of {len(images)} images, got '
                f'{len(boxes)} and {len(box_scores)}'
            )
        pictures = [read_image(image, channel_order) for image in images]
        found = [
            as_boxes([0, 0, p.shape[1], p.shape[0]] if b is None else b)
            for p, b in zip(pictures, boxes, strict=True)
        ]
        scores = [as_scores(s, len(b)) for b, s in zip(found, box_scores, strict=True)]
        clock = clock or Clock()
        with clock('crop'):
            crops = [
                self.crop(picture, box)
                for picture, part in zip(pictures, found, strict=True)
                for box in part
            ]
        poses = self._predict(crops, clock)
        ends = np.cumsum([len(part) for part in found], dtype=int)[:-1]
        columns = [
            [None] * len(found) if values is None else np.split(values, ends) for values in poses
        ]
        return [
            PoseResult(b, s, k, j, sigma=e, meta=self.meta, image=p)
            for b, s, k, j, e, p in zip(found, scores, *columns, pictures, strict=True)
        ]

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cut a box out as the model's test pipeline does.

        Args:
            image: (H, W, 3) uint8 BGR.
            box: (4,) x1, y1, x2, y2 in image px, float32.

        Returns:
            The crop, (h, w, C) uint8; centre and size of what it shows, (2,) each, image px.
        """
        how = self.content['crop']
        if how['type'] == 'stretch':
            center, size = stretched_region(box, image.shape[1::-1])
            if not (size > 0).all():
                raise UserError(
                    f'box {box.tolist()} (x1, y1, x2, y2) has no area inside of the image, '
                    f'{image.shape[1]}x{image.shape[0]} px'
                )
            crop = stretched_crop(image, center, size, self.input_size)
        else:
            center, size = padded_region(box, how['padding'], self.input_size)
            crop = padded_crop(image, center, size, self.input_size, how['use_udp'])
        if how['grey']:
            crop = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[..., None]
            crop = np.repeat(crop, self.content['channels'], axis=2)
        return crop, center, size

    def predict_crops(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Run the network on crops.

        Args:
            pixels: (N, h, w, C) uint8, N at least 1.

        Returns:
            Keypoints (N, K, 2), scores (N, K) and, where the model has it, sigma (N, K, 2), in
            input px.
        """
        parts = [
            self._session.run(None, {'crops': pixels[start : start + self.batch_size]})
            for start in range(0, len(pixels), self.batch_size)
        ]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    def _predict(
        self, crops: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], clock: Clock
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Keypoints and sigma in image px, and scores, of all crops."""
        if not crops:
            empty = np.zeros((0, self.num_keypoints, 2), np.float32)
            return empty, empty[..., 0], None
        pixels, centers, sizes = (np.stack(each) for each in zip(*crops, strict=True))
        with clock('network'):
            keypoints, scores, *rest = self.predict_crops(pixels)
        sizes = sizes[:, None]
        keypoints = input_to_image(
            keypoints.astype(np.float64), centers[:, None], sizes, self.input_size
        )
        sigma = None
        if rest:
            sigma = denormalise(normalise(rest[0], self.input_size), sizes).astype(np.float32)
        return keypoints.astype(np.float32), scores, sigma
