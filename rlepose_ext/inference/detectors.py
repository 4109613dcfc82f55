"""Where the persons are: the whole image, or a model of mmdet.

A detector is called with frames and their names and gives for each its boxes (N, 4),
x1, y1, x2, y2 in image px, and their scores (N,).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rlepose_ext.errors import UserError
from rlepose_ext.inference.boxes import best_of
from rlepose_ext.inference.loading import building
from rlepose_ext.zoo.counting import load_config

Found = tuple[np.ndarray, np.ndarray]
# A tracker may see boxes down to this share of the lowest score that is wanted.
LOW_SHARE = 1 / 3


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


class MMDetDetector:
    """A detector of mmdet: RTMDet, YOLOX, Faster R-CNN, ...

    Args:
        config: config file.
        checkpoint: file or URL.
        device: torch device.
        category: index of the class, or several; by default that of ``person``.
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
        category: int | Sequence[int] | None = None,
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
        # A tracker may ask for boxes of lower score.
        _skip_dropped_boxes(cfg.model.get('test_cfg'), bbox_thr * LOW_SHARE)
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
        self.categories = _persons(self.model.dataset_meta, category, config)

    def __call__(self, frames: Sequence[np.ndarray], names: Sequence[str]) -> list[Found]:
        from mmdet.apis import inference_detector

        results = inference_detector(self.model, list(frames), test_pipeline=self._pipeline)
        found = []
        for result in results:
            instances = result.pred_instances.cpu().numpy()
            chosen = np.isin(instances.labels, self.categories)
            boxes = instances.bboxes[chosen].astype(np.float32)
            scores = instances.scores[chosen].astype(np.float32)
            kept = best_of(boxes, scores, self.bbox_thr, self.nms_thr)
            found.append((boxes[kept], scores[kept]))
        return found


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


def _persons(
    meta: dict[str, Any], category: int | Sequence[int] | None, config: str | Path
) -> list[int]:
    """Indices of the classes that are taken for persons."""
    classes = list(meta.get('classes', ()))
    if category is not None:
        chosen = [category] if isinstance(category, int) else list(category)
        for index in chosen:
            if not isinstance(index, int) or not 0 <= index < max(len(classes), 1):
                raise UserError(f'{config}: category {index} of {len(classes)} classes')
        return chosen
    if 'person' not in classes:
        shown = ', '.join(map(str, classes[:8])) + (', ...' if len(classes) > 8 else '')
        raise UserError(
            f'{config}: this detector has no class person (it has {shown}). Name the class to '
            'take by its index: --det-cat-id'
        )
    return [classes.index('person')]
