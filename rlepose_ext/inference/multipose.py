"""MoveNet MultiPose: all persons of a picture, with boxes and joints, from one look at it.

    from rlepose_ext.inference.multipose import MultiPose

    find = MultiPose()
    (result,) = find.predict([picture])
    result.boxes, result.keypoints

It is a detector for top-down models too: called as any of :mod:`rlepose_ext.inference.detectors` it
gives boxes and scores.

A picture is resized so that its longer side has ``longer_side`` pixels, put top left, and padded
with black right and below to multiples of 32, as in Google's reference. Pictures of one size share
a batch.

The network overlooks whoever fills a picture: in a portrait, or in a crop of one person, it finds
nobody. A second look at a small copy, a sixth of the cost, finds them: 53 instead of 20 of 58 such
crops of photographs, and nobody else is found differently (``benchmarks/photographs.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmengine.config import Config
from mmpose.models.pose_estimators import BottomupPoseEstimator

from rlepose_ext.checks import check_counts
from rlepose_ext.engine.cpu_speed import keep_freed_memory, wanted
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import denormalise, normalise
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.detectors import Found, best_of
from rlepose_ext.inference.loading import (
    building,
    choose_device,
    config_and_checkpoint,
    init_model,
)
from rlepose_ext.inference.network import normalise_crops
from rlepose_ext.inference.types import PoseResult
from rlepose_ext.models.backbones.movenet import STRIDE
from rlepose_ext.models.heads import MoveNetMultiPoseHead

MODEL = 'movenet-multipose'
# Share of a picture's longer side from which on a person is looked for in the small copy.
CLOSE = 0.6


class MultiPose:
    """Google's MoveNet MultiPose, or one that was trained here.

    Args:
        model: config file, ``Config``, or name in the zoo.
        checkpoint: file; by default Google's weights, downloaded once.
        device: ``'auto'`` is the first GPU if there is one, else the CPU.
        longer_side: of the picture that the network sees, px. 384 finds what 256 overlooks;
            persons below about 30 px of it are missed.
        close_side: of the small copy in which it looks for persons who take more than
            :data:`CLOSE` of the picture's longer side; None does without.
        bbox_thr: lowest score, not included. It is a product of several: good persons have 0.3 to
            0.7.
        nms_thr: of two boxes that overlap by more than this IoU, the worse is dropped.
        batch_size: most pictures that go through the network at once.

    Raises:
        UserError: another model, or one without a checkpoint.
    """

    has_sigma = False
    finds_everybody = True

    def __init__(
        self,
        model: str | Path | Config = MODEL,
        checkpoint: str | Path | None = None,
        device: str = 'auto',
        longer_side: int = 384,
        close_side: int | None = 160,
        bbox_thr: float = 0.2,
        nms_thr: float = 0.45,
        batch_size: int = 8,
    ) -> None:
        check_counts('MultiPose', longer_side=longer_side, batch_size=batch_size)
        if close_side is not None:
            check_counts('MultiPose', close_side=close_side)
        self.device = choose_device(device)
        self.longer_side, self.close_side, self.batch_size = longer_side, close_side, batch_size
        self.bbox_thr, self.nms_thr = bbox_thr, nms_thr
        config, checkpoint = config_and_checkpoint(model, checkpoint)
        with building(f'{config.filename} with {checkpoint}'):
            model = init_model(config, checkpoint, self.device)
        head = getattr(model, 'head', None)
        if not isinstance(model, BottomupPoseEstimator) or not isinstance(
            head, MoveNetMultiPoseHead
        ):
            raise UserError(
                f'{config.filename}: expected a MoveNet MultiPose model, such as {MODEL}, got a '
                f'{type(model).__name__} with {type(head).__name__}'
            )
        self.meta: dict[str, Any] = dict(model.dataset_meta)
        self.model = fuse_conv_bn(model)
        if self.device.type == 'cpu':
            if wanted()[0]:
                keep_freed_memory()
            self.model = self.model.to(memory_format=torch.channels_last)

    def __call__(self, frames: Sequence[np.ndarray], names: Sequence[str] = ()) -> list[Found]:
        """Boxes (N, 4) in image px and scores (N,) of each frame, (H, W, 3) uint8 BGR."""
        return [(each.boxes, each.box_scores) for each in self.predict(frames)]

    def predict(
        self, frames: Sequence[np.ndarray], names: Sequence[str] = (), clock: Clock | None = None
    ) -> list[PoseResult]:
        """Everybody in each frame, best first; see :class:`.predictors.Predictor`."""
        clock = clock or Clock()
        results = self._look(frames, self.longer_side, clock)
        if self.close_side is None:
            return results
        close = self._look(frames, self.close_side, clock)
        return [self._joined(*pair) for pair in zip(results, close, strict=True)]

    def _look(self, frames: Sequence[np.ndarray], side: int, clock: Clock) -> list[PoseResult]:
        """Everybody in each frame, resized to ``side`` px."""
        with clock('crop'):
            inputs = [_resize(frame, side) for frame in frames]
        results: list[PoseResult | None] = [None] * len(frames)
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, (pixels, _) in enumerate(inputs):
            groups.setdefault(pixels.shape, []).append(index)
        for members in groups.values():
            for start in range(0, len(members), self.batch_size):
                part = members[start : start + self.batch_size]
                with clock('network'):
                    poses = self._network(np.stack([inputs[i][0] for i in part]))
                for index, pose in zip(part, poses, strict=True):
                    results[index] = self._result(frames[index], inputs[index][1], pose)
        return results

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

    def follow(
        self, frames: Sequence[np.ndarray], last: PoseResult, clock: Clock | None = None
    ) -> list[PoseResult]:
        """See :meth:`.predictors.Predictor.follow`; this model looks for everybody anyway."""
        return self.predict(frames, clock=clock)

    def _network(self, pixels: np.ndarray) -> list:
        test_cfg = {'score_thr': self.bbox_thr, 'nms_thr': self.nms_thr}
        with torch.inference_mode():
            x = normalise_crops(pixels, self.model.data_preprocessor, self.device)
            return self.model.head.predict(self.model.extract_feat(x), [], test_cfg)

    def _result(self, frame: np.ndarray, size: np.ndarray, pose: Any) -> PoseResult:
        def to_image(points: np.ndarray) -> np.ndarray:
            image_size = frame.shape[1], frame.shape[0]
            return denormalise(normalise(points, size), image_size).astype(np.float32)

        corners = to_image(pose.bboxes.reshape(-1, 2, 2))
        corners = np.clip(corners, 0, np.float32([frame.shape[1], frame.shape[0]]))
        return PoseResult(
            corners.reshape(-1, 4),
            pose.bbox_scores.astype(np.float32),
            to_image(pose.keypoints),
            pose.keypoint_scores.astype(np.float32),
            meta=self.meta,
            image=frame,
        )


def _resize(frame: np.ndarray, longer_side: int) -> tuple[np.ndarray, np.ndarray]:
    """The padded input, and the (width, height) of the picture in it, px."""
    height, width = frame.shape[:2]
    factor = longer_side / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    pixels = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    right, below = (-side % STRIDE for side in size)
    pixels = cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_CONSTANT)
    return pixels, np.array(size)
