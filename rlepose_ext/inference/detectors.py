"""Where the persons are: the whole image, a file of boxes, OpenCV's HOG, or a model of mmdet.

A detector is called with frames and their names and gives for each its boxes (N, 4),
x1, y1, x2, y2 in image px, and their scores (N,).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.boxes import overlaps
from rlepose_ext.inference.loading import building
from rlepose_ext.zoo.counting import load_config

Found = tuple[np.ndarray, np.ndarray]


class Detector(Protocol):
    """What the engine calls."""

    def __call__(self, frames: Sequence[np.ndarray], names: Sequence[str]) -> list[Found]:
        """Boxes and scores of each frame."""


class FullImage:
    """One person who fills the image."""

    def __call__(self, frames: Sequence[np.ndarray], names: Sequence[str]) -> list[Found]:
        one = np.ones(1, np.float32)
        return [
            (np.array([[0, 0, frame.shape[1], frame.shape[0]]], np.float32), one)
            for frame in frames
        ]


class HogDetector:
    """OpenCV's built-in pedestrian detector: nothing to download, upright persons only.

    Histograms of oriented gradients with a linear classifier on windows of 64x128 (Dalal and
    Triggs, CVPR 2005). Scores are distances from its plane, squeezed into (0, 1).

    Args:
        bbox_thr: lowest score.
        nms_thr: of two boxes that overlap by more than this IoU, the worse is dropped.
        max_side: larger frames are made smaller for the search.

    Raises:
        UserError: OpenCV 5, which no longer has this detector.
    """

    # The window has a margin of 16 px at 64x128 around the person.
    _MARGIN = (0.19, 0.1)

    def __init__(self, bbox_thr: float = 0.3, nms_thr: float = 0.3, max_side: int = 960) -> None:
        self.bbox_thr, self.nms_thr, self.max_side = bbox_thr, nms_thr, max_side
        if not hasattr(cv2, 'HOGDescriptor'):
            raise UserError(
                f"--det hog needs OpenCV 4, and this is OpenCV {cv2.__version__}. Use 'full' (one "
                'person fills the image), a .json file of boxes, or CONFIG CHECKPOINT of mmdet; or '
                "pip install 'opencv-python<5'"
            )
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

    def __call__(self, frames: Sequence[np.ndarray], names: Sequence[str]) -> list[Found]:
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: np.ndarray) -> Found:
        height, width = frame.shape[:2]
        # Grown if the window would not fit, shrunk if the search would take long.
        factor = max(min(1.0, self.max_side / max(height, width)), 144 / height, 80 / width)
        if factor * max(height, width) > 4 * self.max_side:
            # A narrow strip: grown to the height of the window it would be millions of px wide.
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        small = frame if factor == 1 else cv2.resize(frame, None, fx=factor, fy=factor)
        rects, weights = self._hog.detectMultiScale(
            small, winStride=(8, 8), padding=(8, 8), scale=1.05, groupThreshold=0
        )
        if not len(rects):
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        boxes = np.asarray(rects, np.float32) / factor
        boxes[:, 2:] += boxes[:, :2]
        inner = (boxes[:, 2:] - boxes[:, :2]) * np.array(self._MARGIN, np.float32)
        boxes[:, :2] += inner
        boxes[:, 2:] -= inner
        scores = (1 / (1 + np.exp(-2 * np.asarray(weights, np.float32).reshape(-1)))).astype(
            np.float32
        )
        # 0.5 is the plane itself: take the scale from there to 1.
        scores = np.clip(2 * scores - 1, 0, 1)
        return drop_nested(*keep_best(boxes, scores, self.bbox_thr, self.nms_thr))


class MMDetDetector:
    """A detector of mmdet: RTMDet, YOLOX, Faster R-CNN, ...

    Args:
        config: config file.
        checkpoint: file or URL.
        device: torch device.
        category: index of the class; by default that of ``person``.
        bbox_thr: lowest score.
        nms_thr: of two boxes that overlap by more than this IoU, the worse is dropped.

    Raises:
        UserError: files that do not exist or cannot be used, a config of something else, a
            checkpoint of another model, or no class person.
    """

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path | None,
        device: str = 'cpu',
        category: int | None = None,
        bbox_thr: float = 0.3,
        nms_thr: float = 0.3,
    ) -> None:
        from mmdet.apis import init_detector
        from mmdet.models.detectors import BaseDetector
        from mmengine.dataset import Compose
        from mmengine.registry import DefaultScope

        for file in (config, checkpoint):
            if file is not None and '://' not in str(file) and not Path(file).is_file():
                raise UserError(f'{file} does not exist (of the detector)')
        cfg = load_config(str(config))
        if 'test_dataloader' not in cfg:
            raise UserError(f'{config} is no detector: it has no test_dataloader')
        _skip_dropped_boxes(cfg.model.get('test_cfg'), bbox_thr)
        self.bbox_thr, self.nms_thr = bbox_thr, nms_thr
        checkpoint = None if checkpoint is None else str(checkpoint)
        # The models of detection and pose live in the scopes of their packages.
        with (
            building(f'{config} with {checkpoint}'),
            DefaultScope.overwrite_default_scope('mmdet'),
        ):
            if 'backbone' in cfg.model:
                cfg.model.backbone.pop('init_cfg', None)
            self.model = init_detector(cfg, checkpoint, device=str(device))
            if not isinstance(self.model, BaseDetector):
                raise UserError(
                    f'{config} is no detector of mmdet: it builds {type(self.model).__name__}. '
                    'Give CONFIG CHECKPOINT of the detector first, then those of the pose model.'
                )
            steps = _test_pipeline(self.model.cfg)
            self._pipeline = Compose([{'type': 'mmdet.LoadImageFromNDArray'}, *steps[1:]])
        self.category = _person(self.model.dataset_meta, category, config)

    def __call__(self, frames: Sequence[np.ndarray], names: Sequence[str]) -> list[Found]:
        from mmdet.apis import inference_detector

        results = inference_detector(self.model, list(frames), test_pipeline=self._pipeline)
        found = []
        for result in results:
            instances = result.pred_instances.cpu().numpy()
            chosen = instances.labels == self.category
            found.append(
                keep_best(
                    instances.bboxes[chosen].astype(np.float32),
                    instances.scores[chosen].astype(np.float32),
                    self.bbox_thr,
                    self.nms_thr,
                )
            )
        return found


def keep_best(boxes: np.ndarray, scores: np.ndarray, bbox_thr: float, nms_thr: float) -> Found:
    """Drop boxes of low score, without area, and those that repeat a better one.

    Args:
        boxes: (N, 4) x1, y1, x2, y2.
        scores: (N,).
        bbox_thr: lowest score, not included.
        nms_thr: largest IoU of two boxes that are kept.
    """
    from mmpose.evaluation.functional import nms

    good = (scores > bbox_thr) & (boxes[:, 2:] > boxes[:, :2]).all(1) & np.isfinite(boxes).all(1)
    boxes, scores = boxes[good], scores[good]
    if len(boxes):
        kept = nms(np.concatenate([boxes, scores[:, None]], axis=1), nms_thr)
        boxes, scores = boxes[kept], scores[kept]
    return boxes, scores


def drop_nested(boxes: np.ndarray, scores: np.ndarray) -> Found:
    """Drop boxes that lie in a better one by four fifths of their area.

    HOG's window fits a person's legs as well as a smaller person, and IoU does not see that.

    Args:
        boxes: (N, 4) x1, y1, x2, y2, best first.
        scores: (N,).
    """
    inside = overlaps(boxes, boxes, mode='iof')
    kept: list[int] = []
    for index in range(len(boxes)):
        if (inside[index, kept] < 0.8).all():
            kept.append(index)
    return boxes[kept], scores[kept]


def _skip_dropped_boxes(test_cfg: Any, bbox_thr: float) -> None:
    """Raise thresholds of the detector to ours, wherever they stand.

    In non-maximum suppression a box never depends on those with lower scores, so the result
    is the same. mmdet's configs keep boxes from 0.001 on for the COCO metric: thousands, which
    are sorted and compared in vain.
    """
    if not isinstance(test_cfg, dict):
        return
    if 'score_thr' in test_cfg and test_cfg.get('nms', {}).get('type') == 'nms':
        test_cfg['score_thr'] = max(test_cfg['score_thr'], bbox_thr)
    for part in test_cfg.values():
        _skip_dropped_boxes(part, bbox_thr)


def _test_pipeline(cfg: Any) -> list:
    from mmdet.utils import get_test_pipeline_cfg

    return list(get_test_pipeline_cfg(cfg))


def _person(meta: dict[str, Any], category: int | None, config: str | Path) -> int:
    classes = list(meta.get('classes', ()))
    if category is not None:
        if not 0 <= category < max(len(classes), 1):
            raise UserError(f'{config}: category {category} of {len(classes)} classes')
        return category
    if 'person' not in classes:
        shown = ', '.join(map(str, classes[:8])) + (', ...' if len(classes) > 8 else '')
        raise UserError(
            f'{config}: this detector has no class person (it has {shown}). Name the class to '
            'take by its index: --det-cat-id'
        )
    return classes.index('person')
