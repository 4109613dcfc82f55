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

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from rlepose_ext.engine.cpu_speed import keep_freed_memory, wanted
from rlepose_ext.errors import UserError
from rlepose_ext.inference.boxes import as_boxes
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.in_boxes import Crops, InBoxes, Points, stacked
from rlepose_ext.inference.loading import (
    JointsMeta,
    build_model,
    building,
    choose_device,
    config_and_checkpoint,
    crop_pipeline,
    uncertainty_of,
)
from rlepose_ext.inference.network import (
    give_float32,
    normalise_crops,
    optimise,
    pointwise_by_onednn,
    predict,
    read_bins,
    with_mirrored,
)
from rlepose_ext.models.heads.simcc_bins import bin_reading
from rlepose_ext.models.losses import RLELoss

DTYPES = {'float32': None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


class PoseEstimator(InBoxes):
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
        self.flip_test = (
            bool(self.model.test_cfg.get('flip_test', False)) if flip_test is None else flip_test
        )
        uncertainty = uncertainty_of(self.model, self.flip_test)
        self.bins = bin_reading(
            self.model.head, self.model.test_cfg, calibrated=bool(self.model.calibration)
        )
        if self.bins is not None and self.bins.sigma:
            uncertainty |= {'sigma_spread': lambda: np.ones(2), 'sigma_correlation': lambda: 0.0}
        self.meta = JointsMeta(self.model.dataset_meta, **uncertainty)
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
            if self.device.type == 'cpu':
                pointwise_by_onednn(self.model)
        if self.dtype is not None:
            give_float32(self.model.head)
        if self.bins is not None:
            read_bins(self.model.head, self.bins)

    @property
    def has_sigma(self) -> bool:
        """Whether results have ``sigma``: of our heads with RLE, and of calibrated SimCC heads."""
        of_bins = self.bins is not None and self.bins.sigma
        return of_bins or any(isinstance(part, RLELoss) for part in self.model.head.modules())

    def crop(self, image: np.ndarray, boxes: np.ndarray) -> Crops:
        """See :meth:`InBoxes.crop`; by the transforms of the config."""
        rows = []
        for box in boxes:
            data = {'img': image, 'img_shape': image.shape[:2], 'ori_shape': image.shape[:2]}
            data |= {'bbox': box[None], 'bbox_score': np.ones(1, np.float32)}
            data |= self.model.dataset_meta
            data = self._transform(data)
            pixels = data['img'].reshape(*data['img'].shape[:2], -1)
            rows.append((pixels, data['input_center'], data['input_scale']))
        return stacked(rows)

    def points(self, pixels: np.ndarray, clock: Clock | None = None) -> Points:
        """See :meth:`InBoxes.points`."""
        clock = clock or Clock()
        poses: list = []
        meta = {'flip_indices': self.meta['flip_indices'], 'input_size': self.input_size}
        with torch.inference_mode(), self._autocast(), clock('network'):
            for start in range(0, len(pixels), self.batch_size):
                batch = pixels[start : start + self.batch_size]
                if self.flip_test:
                    batch = with_mirrored(batch)
                x = normalise_crops(batch, self.model.data_preprocessor, self.device)
                poses += predict(self.model, x, meta, self.flip_test)
        sigma = None
        if all('sigma' in pose for pose in poses):
            sigma = np.concatenate([pose.sigma for pose in poses])
        keypoints = np.concatenate([pose.keypoints for pose in poses])[..., :2]
        return keypoints, np.concatenate([pose.keypoint_scores for pose in poses]), sigma

    def attention(self, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, Crops]:
        """Where joints look, of a model with keypoint tokens: see ``TokenPoseHead.attention``.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (N, 4) x1, y1, x2, y2 in image px, N at least 1.

        Returns:
            (N, blocks, K, rows, columns) float32, and the crops in which the patches lie.
        """
        crops, found = self.crop(image, as_boxes(boxes)), []
        with torch.inference_mode(), self._autocast():
            for start in range(0, len(crops.pixels), self.batch_size):
                batch = crops.pixels[start : start + self.batch_size]
                x = normalise_crops(batch, self.model.data_preprocessor, self.device)
                found.append(self.model.head.attention(self.model.extract_feat(x)).float().cpu())
        return torch.cat(found).numpy(), crops

    def _autocast(self) -> Any:
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)
