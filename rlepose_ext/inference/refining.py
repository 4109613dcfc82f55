"""PoseFix behind any pose model: what it has found, corrected.

from rlepose_ext import Pose

pose = Pose('rtmpose-m', refine=['configs/posefix/....py', 'posefix.pth'])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmpose.datasets.transforms import LoadImage

from rlepose_ext.errors import UserError
from rlepose_ext.geometry.crops import box_around_joints
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.detectors import Detector
from rlepose_ext.inference.images import read_image
from rlepose_ext.inference.loading import (
    build_model,
    building,
    choose_device,
    config_and_checkpoint,
)
from rlepose_ext.inference.predictors import Predictor, with_detector
from rlepose_ext.inference.types import PoseResult
from rlepose_ext.models.estimators import PoseFixEstimator


class PoseRefiner:
    """A model of ``configs/posefix`` with its weights.

    Args:
        model: config file, ``Config``, or name.
        checkpoint: file or URL.
        device: ``'auto'`` is the first GPU if there is one, else the CPU.
        batch_size: most persons that go through the network at once.
        flip_test: average with the mirrored crop; by default as the config has it.

    Raises:
        UserError: another kind of model, or no checkpoint of it.
    """

    def __init__(
        self,
        model: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str = 'auto',
        batch_size: int = 32,
        flip_test: bool | None = None,
    ) -> None:
        config, checkpoint = config_and_checkpoint(model, checkpoint)
        self.model = build_model(config, checkpoint, choose_device(device))
        if not isinstance(self.model, PoseFixEstimator):
            raise UserError(
                f'{config.filename}: expected a model that corrects poses, one of '
                f'configs/posefix, got a {type(self.model).__name__}, which finds them.'
            )
        if flip_test is not None:
            self.model.test_cfg['flip_test'] = flip_test
        self.batch_size = batch_size
        self.meta = dict(self.model.dataset_meta)
        with (
            building(f'test pipeline of {config.filename}'),
            DefaultScope.overwrite_default_scope('mmpose'),
        ):
            self._pipeline = Compose(config.test_dataloader.dataset.pipeline)
        steps = self._pipeline.transforms
        self._pipeline.transforms = [s for s in steps if not isinstance(s, LoadImage)]

    def __call__(
        self, images: Sequence[Any], results: Sequence[PoseResult], clock: Clock | None = None
    ) -> list[PoseResult]:
        """Correct the poses of images.

        Args:
            images: arrays (H, W, 3) BGR, or what :func:`read_image` takes.
            results: of each.
            clock: adds up the time of the stages.

        Returns:
            The same persons with other ``keypoints``; without ``sigma``, which is that of the
            joints as they were.
        """
        clock = clock or Clock()
        images = [read_image(image) for image in images]
        pairs = [
            (image, points, scores)
            for image, result in zip(images, results, strict=True)
            for points, scores in zip(result.keypoints, result.scores, strict=True)
        ]
        if not pairs:
            return [replace(each, sigma=None) for each in results]
        corrected: list[np.ndarray] = []
        with clock('refine'), torch.inference_mode():
            for start in range(0, len(pairs), self.batch_size):
                batch = [self._sample(*pair) for pair in pairs[start : start + self.batch_size]]
                samples = self.model.test_step(pseudo_collate(batch))
                corrected += [sample.pred_instances.keypoints for sample in samples]
        ends = np.cumsum([len(each) for each in results], dtype=int)
        parts = np.split(np.concatenate(corrected).astype(np.float32), ends)[:-1]
        return [
            replace(each, keypoints=points, sigma=None)
            for each, points in zip(results, parts, strict=True)
        ]

    def _sample(self, image: np.ndarray, points: np.ndarray, scores: np.ndarray) -> dict:
        data = {'img': image, 'img_shape': image.shape[:2], 'ori_shape': image.shape[:2]}
        data |= {'bbox': box_around_joints(points)[None], 'bbox_score': np.ones(1, np.float32)}
        data |= {'keypoints': points[None], 'keypoints_visible': scores[None]}
        return self._pipeline({**data, 'flip_indices': self.meta['flip_indices']})


class Refined:
    """A predictor whose poses are corrected, see :class:`.predictors.Predictor`.

    Args:
        predictor: finds the poses.
        refiner: corrects them.

    Raises:
        UserError: the two have other joints.
    """

    has_sigma = False

    def __init__(self, predictor: Predictor, refiner: PoseRefiner) -> None:
        names = [_joint_names(each.meta) for each in (predictor, refiner)]
        if names[0] != names[1]:
            raise UserError(
                f'refine: expected a model for the joints that are found ({_told(names[0])}), got '
                f'one for {_told(names[1])}. Both have to be of the same data set.'
            )
        self.predictor, self.refiner = predictor, refiner
        self.meta, self.finds_everybody = predictor.meta, predictor.finds_everybody
        # Where a tracker looks for thresholds, and the demo for a file of boxes.
        self.detector = getattr(predictor, 'detector', predictor)

    def with_detector(self, detector: Detector) -> Refined:
        """The same models behind another detector; see :func:`.predictors.with_detector`."""
        return Refined(with_detector(self.predictor, detector), self.refiner)

    def predict(
        self, frames: Sequence[np.ndarray], names: Sequence[str] = (), clock: Clock | None = None
    ) -> list[PoseResult]:
        """See :meth:`.predictors.Predictor.predict`."""
        return self.refiner(frames, self.predictor.predict(frames, names, clock), clock)

    def follow(
        self, frames: Sequence[np.ndarray], last: PoseResult, clock: Clock | None = None
    ) -> list[PoseResult]:
        """See :meth:`.predictors.Predictor.follow`."""
        return self.refiner(frames, self.predictor.follow(frames, last, clock), clock)


def _joint_names(meta: Any) -> list[str]:
    names = meta['keypoint_id2name']
    return [names[k] for k in range(len(names))]


def _told(names: Sequence[str]) -> str:
    return f'{len(names)} joints, {", ".join(names[:3])}, ...'
