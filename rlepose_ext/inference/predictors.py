"""All persons of a frame: a detector with a top-down model, or one model that finds everybody.

Every predictor has the same interface, :class:`Predictor`, so that the engine, ``rlepose demo`` and
:class:`rlepose_ext.Pose` do not care what kind of model runs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.boxes import best_of, find_boxes
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.types import PoseResult

if TYPE_CHECKING:
    from mmengine.config import Config

    from rlepose_ext.inference.detectors import Detector
    from rlepose_ext.inference.estimator import PoseEstimator


class Predictor(Protocol):
    """What the engine calls.

    Attributes:
        meta: what the joints are, see :class:`PoseResult`.
        has_sigma: whether results have ``sigma``.
        finds_everybody: whether :meth:`follow` does nothing else than :meth:`predict`.
    """

    meta: Mapping[str, Any]
    has_sigma: bool
    finds_everybody: bool

    def predict(
        self, frames: Sequence[np.ndarray], names: Sequence[str] = (), clock: Clock | None = None
    ) -> list[PoseResult]:
        """Everybody in each frame.

        Args:
            frames: (H, W, 3) uint8 BGR, of any sizes.
            names: of the frames, by which files of boxes know them.
            clock: adds up the time of the stages.
        """

    def follow(
        self, frames: Sequence[np.ndarray], last: PoseResult, clock: Clock | None = None
    ) -> list[PoseResult]:
        """The persons of ``last``, the frame before, without looking for others.

        Args:
            frames: one frame.
            last: of the frame before.
            clock: adds up the time of the stages.
        """


class TopDown:
    """A detector, and a pose model that sees one person in a box.

    Two threads may call it: the detector runs for one of them at a time, the pose model for both.

    Args:
        detector: see :func:`.boxes.find_boxes`.
        estimator: the pose model.
        kpt_thr: joints with a lower score do not count for the box of the next frame.
    """

    finds_everybody = False

    def __init__(self, detector: Detector, estimator: PoseEstimator, kpt_thr: float = 0.3) -> None:
        self.detector, self.estimator, self.kpt_thr = detector, estimator, kpt_thr
        self._one_at_a_time = threading.Lock()

    @property
    def meta(self) -> Mapping[str, Any]:
        return self.estimator.meta

    @property
    def has_sigma(self) -> bool:
        return self.estimator.has_sigma

    def with_detector(self, detector: Detector) -> TopDown:
        """The same model behind another detector."""
        return TopDown(detector, self.estimator, self.kpt_thr)

    def predict(
        self, frames: Sequence[np.ndarray], names: Sequence[str] = (), clock: Clock | None = None
    ) -> list[PoseResult]:
        """See :meth:`Predictor.predict`."""
        clock = clock or Clock()
        # A detector may be anybody's, and is not asked by two threads at once.
        with clock('detect'), self._one_at_a_time:
            found = find_boxes(self.detector, frames, names)
        boxes, scores = [each[0] for each in found], [each[1] for each in found]
        return self.estimator(list(frames), boxes, scores, clock=clock)

    def follow(
        self, frames: Sequence[np.ndarray], last: PoseResult, clock: Clock | None = None
    ) -> list[PoseResult]:
        """See :meth:`Predictor.follow`; a person's box is that around its last joints."""
        from rlepose_ext.inference.tracking import box_around

        boxes = box_around(last, self.kpt_thr)
        return self.estimator(list(frames), [boxes], [last.box_scores], clock=clock)


def with_detector(predictor: Predictor, detector: Detector) -> Predictor:
    """The same predictor behind another detector.

    Raises:
        UserError: it has none.
    """
    if not hasattr(predictor, 'with_detector'):
        raise UserError('boxes: this model finds all persons by itself: leave them out')
    return predictor.with_detector(detector)


class OneStage:
    """A bottom-up or one-stage model of MMPose: DEKR, YOLO-Pose, YOLOX-Pose, RTMO.

    Args:
        model: config file, ``Config``, or name.
        checkpoint: file or URL.
        device: ``'auto'`` is the first GPU if there is one, else the CPU.
        bbox_thr: lowest score of a person, not included.
        nms_thr: of two persons whose boxes overlap by more than this IoU, the worse is dropped;
            the model's own suppression has been applied before.

    Raises:
        UserError: a model that sees one person at a time, or one without a checkpoint.
    """

    has_sigma = False
    finds_everybody = True

    def __init__(
        self,
        model: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str = 'auto',
        bbox_thr: float = 0.3,
        nms_thr: float = 1.0,
    ) -> None:
        from mmengine.dataset import Compose
        from mmengine.registry import DefaultScope
        from mmpose.models.pose_estimators import BottomupPoseEstimator

        from rlepose_ext.inference.loading import (
            building,
            choose_device,
            config_and_checkpoint,
            init_model,
        )

        self.bbox_thr, self.nms_thr = bbox_thr, nms_thr
        config, checkpoint = config_and_checkpoint(model, checkpoint)
        with (
            building(f'{config.filename} with {checkpoint}'),
            DefaultScope.overwrite_default_scope('mmpose'),
        ):
            self.model = init_model(config, checkpoint, choose_device(device))
            self._pipeline = Compose(config.test_dataloader.dataset.pipeline)
        if not isinstance(self.model, BottomupPoseEstimator):
            raise UserError(
                f'{config.filename}: {type(self.model).__name__} sees one person in a box; it '
                'needs a detector'
            )
        self.meta = dict(self.model.dataset_meta)
        self._lock = threading.Lock()

    def predict(
        self, frames: Sequence[np.ndarray], names: Sequence[str] = (), clock: Clock | None = None
    ) -> list[PoseResult]:
        """See :meth:`Predictor.predict`. Frames go through the network one by one."""
        import torch
        from mmengine.dataset import pseudo_collate

        clock = clock or Clock()
        results = []
        for frame in frames:
            with clock('crop'):
                data = self._pipeline({'img': frame, 'img_id': 0, 'img_path': '', **self.meta})
            with clock('network'), self._lock, torch.inference_mode():
                (sample,) = self.model.test_step(pseudo_collate([data]))
            results.append(self._result(frame, sample.pred_instances))
        return results

    def follow(
        self, frames: Sequence[np.ndarray], last: PoseResult, clock: Clock | None = None
    ) -> list[PoseResult]:
        """See :meth:`Predictor.follow`; these models look for everybody anyway."""
        return self.predict(frames, clock=clock)

    def _result(self, frame: np.ndarray, found: Any) -> PoseResult:
        keypoints = np.asarray(found.keypoints, np.float32)
        scores = np.asarray(found.keypoint_scores, np.float32)
        if 'bboxes' in found:
            boxes = np.asarray(found.bboxes, np.float32).reshape(-1, 4)
        else:
            # DEKR and associative embedding have none: around the joints.
            boxes = np.concatenate([keypoints.min(1), keypoints.max(1)], axis=1)
        box_scores = np.asarray(found.get('bbox_scores', scores.mean(1)), np.float32)
        kept = best_of(boxes, box_scores, self.bbox_thr, self.nms_thr)
        return PoseResult(
            boxes[kept],
            box_scores[kept],
            keypoints[kept],
            scores[kept],
            meta=self.meta,
            image=frame,
        )
