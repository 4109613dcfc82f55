"""An exported model as a pose estimator: :class:`OnnxPose`, without torch and MMPose."""

from __future__ import annotations

from collections.abc import Mapping
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
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.in_boxes import Crops, InBoxes, Points, stacked
from rlepose_ext.inference.onnx_file import OnnxFile, joints_meta, opened


class OnnxPose(InBoxes):
    """A file of ``rlepose export``, with the interface of :class:`.estimator.PoseEstimator`.

    There is no flip test: one pass for each person.

    Args:
        model: the ONNX file, or what :func:`.onnx_file.open_model` gives.
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

    def __init__(
        self, model: str | Path | OnnxFile, device: str = 'auto', batch_size: int = 32
    ) -> None:
        if batch_size < 1:
            raise UserError(f'batch_size: expected 1 or more, got {batch_size}')
        self.batch_size = batch_size
        file = opened(model, device, finds_everybody=False)
        self._session, self.content = file.session, file.content
        self.meta: Mapping[str, Any] = joints_meta(self.content)
        self.input_size = tuple(self.content['input_size'])
        self.has_sigma = 'sigma' in self.content['outputs']

    def crop(self, image: np.ndarray, boxes: np.ndarray) -> Crops:
        """See :meth:`InBoxes.crop`; as the metadata of the file say.

        Raises:
            UserError: a box without area inside of the image, of models that stretch boxes.
        """
        return stacked([self._crop(image, box) for box in boxes])

    def points(self, pixels: np.ndarray, clock: Clock | None = None) -> Points:
        """See :meth:`InBoxes.points`."""
        with (clock or Clock())('network'):
            parts = [
                self._session.run(crops=pixels[start : start + self.batch_size])
                for start in range(0, len(pixels), self.batch_size)
            ]
        keypoints, scores, *sigma = (np.concatenate(each) for each in zip(*parts, strict=True))
        return keypoints, scores, sigma[0] if sigma else None

    def _crop(
        self, image: np.ndarray, box: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
