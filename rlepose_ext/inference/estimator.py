"""The pose model as a function: images and boxes in, poses in image pixels out.

    from rlepose_ext.inference import PoseEstimator

    estimate = PoseEstimator('configs/rle/....py', 'checkpoint.pth')
    result = estimate('street.jpg', boxes=[[10, 20, 110, 320]])
    result.keypoints, result.scores, result.sigma

MMPose's ``inference_topdown`` builds its pipeline for every call and runs the persons of one
image. Here everything is built once, the persons of many images share a batch, and an empty
list of boxes means no person instead of the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from rlepose_ext.engine.cpu_speed import keep_freed_memory, wanted
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import denormalise, input_to_image, normalise
from rlepose_ext.inference.boxes import as_boxes, as_scores
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.images import read_image
from rlepose_ext.inference.loading import (
    JointsMeta,
    build_model,
    building,
    choose_device,
    config_and_checkpoint,
    crop_pipeline,
    spread_of,
)
from rlepose_ext.inference.network import (
    give_float32,
    normalise_crops,
    optimise,
    predict,
    with_mirrored,
)
from rlepose_ext.inference.types import PoseResult
from rlepose_ext.models.losses import RLELoss

DTYPES = {'float32': None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


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


class PoseEstimator:
    """A top-down pose model with its weights.

    It may be called from several threads.

    Args:
        model: config file, ``Config``, or the name of a config of the zoo (``rlepose zoo``).
        checkpoint: file or URL; by default the zoo's, which is downloaded once.
        device: ``'auto'`` is the first GPU if there is one, else the CPU.
        batch_size: most crops that go through the network at once.
        flip_test: average with the mirrored crop; by default as the config has it.
        dtype: ``'float32'``, or ``'bfloat16'`` / ``'float16'`` for autocast.
        fast: fold batch norm and store weights channels-last, see
            :mod:`rlepose_ext.inference.network`.
        cfg_options: overrides of the config.

    Raises:
        UserError: a model that is not top-down or cannot be built, no checkpoint or one of
            another model, an unknown device, type or name.
    """

    def __init__(
        self,
        model: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str = 'auto',
        batch_size: int = 32,
        flip_test: bool | None = None,
        dtype: str = 'float32',
        fast: bool = True,
        cfg_options: dict[str, Any] | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise UserError(f'dtype: expected one of {", ".join(DTYPES)}, got {dtype!r}')
        if batch_size < 1:
            raise UserError(f'batch_size: expected 1 or more, got {batch_size}')
        self.device = choose_device(device)
        self.batch_size = batch_size
        self.dtype = DTYPES[dtype]
        config, self.checkpoint = config_and_checkpoint(model, checkpoint)
        if cfg_options:
            config.merge_from_dict(cfg_options)
        self.model = build_model(config, self.checkpoint, self.device)
        self.meta = JointsMeta(self.model.dataset_meta, sigma_spread=spread_of(self.model))
        self.flip_test = (
            bool(self.model.test_cfg.get('flip_test', False)) if flip_test is None else flip_test
        )
        with (
            building(f'test pipeline of {config.filename}'),
            DefaultScope.overwrite_default_scope('mmpose'),
        ):
            self._transform = crop_pipeline(config)
            probe = self.crop(np.zeros((8, 8, 3), np.uint8), as_boxes([0, 0, 8, 8])).pixels[0]
        self.input_size = (probe.shape[1], probe.shape[0])
        self.done: list[str] = []
        if self.device.type == 'cpu' and wanted()[0]:
            keep_freed_memory()
        if fast:
            self.model, self.done = optimise(self.model, probe.shape)
        if self.dtype is not None:
            give_float32(self.model.head)

    @property
    def num_keypoints(self) -> int:
        """K."""
        return int(self.meta['num_keypoints'])

    @property
    def has_sigma(self) -> bool:
        """Whether the results have ``sigma``: whether this project's head was trained with RLE."""
        return any(isinstance(part, RLELoss) for part in self.model.head.modules())

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
        keypoints, joint_scores, sigma = self.predict_crops(crops, clock)
        ends = np.cumsum([len(b) for b in found], dtype=int)  # nothing comes after the last
        parts = [np.split(values, ends)[:-1] for values in (keypoints, joint_scores)]
        sigmas = [None] * len(found) if sigma is None else np.split(sigma, ends)[:-1]
        return [
            PoseResult(b, s, k, j, sigma=e, meta=self.meta, image=p)
            for b, s, k, j, e, p in zip(found, scores, *parts, sigmas, pictures, strict=True)
        ]

    def crop(self, image: np.ndarray, boxes: np.ndarray) -> Crops:
        """Cut the boxes out as the test pipeline of the config does.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (N, 4) x1, y1, x2, y2 in image px.
        """
        pixels, centers, scales = [], [], []
        for box in boxes:
            data = {'img': image, 'img_shape': image.shape[:2], 'ori_shape': image.shape[:2]}
            data |= {'bbox': box[None], 'bbox_score': np.ones(1, np.float32)}
            data |= self.model.dataset_meta
            data = self._transform(data)
            pixels.append(data['img'].reshape(*data['img'].shape[:2], -1))
            centers.append(data['input_center'])
            scales.append(data['input_scale'])
        if not pixels:
            return Crops(np.zeros((0,)), np.zeros((0, 2)), np.zeros((0, 2)))
        return Crops(np.stack(pixels), np.stack(centers), np.stack(scales))

    def predict_crops(
        self, crops: Sequence[Crops], clock: Clock | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Run the network on the crops of several images.

        Returns:
            Keypoints (N, K, 2) and sigma (N, K, 2) or ``None`` in image px, and scores
            (N, K), N the number of all crops.
        """
        clock = clock or Clock()
        crops = [part for part in crops if len(part.centers)]
        if not crops:
            empty = np.zeros((0, self.num_keypoints, 2), np.float32)
            return empty, empty[..., 0], None
        pixels = np.concatenate([part.pixels for part in crops])
        poses: list = []
        with torch.inference_mode(), self._autocast():
            for start in range(0, len(pixels), self.batch_size):
                with clock('network'):
                    batch = pixels[start : start + self.batch_size]
                    if self.flip_test:
                        batch = with_mirrored(batch)
                    x = normalise_crops(batch, self.model.data_preprocessor, self.device)
                    meta = {
                        'flip_indices': self.meta['flip_indices'],
                        'input_size': self.input_size,
                    }
                    poses += predict(self.model, x, meta, self.flip_test)
        with clock('decode keypoints'):
            centers = np.concatenate([part.centers for part in crops])[:, None]
            scales = np.concatenate([part.scales for part in crops])[:, None]
            keypoints = np.concatenate([pose.keypoints for pose in poses])[..., :2]
            keypoints = input_to_image(
                keypoints.astype(np.float64), centers, scales, self.input_size
            )
            scores = np.concatenate([pose.keypoint_scores for pose in poses])
            sigma = None
            if all('sigma' in pose for pose in poses):
                sigma = np.concatenate([pose.sigma for pose in poses])
                sigma = denormalise(normalise(sigma, self.input_size), scales).astype(np.float32)
        return keypoints.astype(np.float32), scores.astype(np.float32), sigma

    def _autocast(self) -> Any:
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)
