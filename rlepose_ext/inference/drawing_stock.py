"""MMPose's own visualizer, for what only it draws: heatmaps and OpenPose's skeleton."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.apis import inference_topdown
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample, merge_data_samples

from rlepose_ext.inference.drawing import Style
from rlepose_ext.inference.estimator import PoseEstimator
from rlepose_ext.inference.types import PoseResult


class StockDrawing:
    """Draws a frame as MMPose's demo does.

    Args:
        estimator: the pose model. With heatmaps it runs once more for each frame, because
            they are not kept.
        style: what to draw.
        skeleton_style: ``'mmpose'`` or ``'openpose'``.
        heatmaps: draw the heatmaps over a second frame below, of models that have them.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        style: Style,
        skeleton_style: str = 'mmpose',
        heatmaps: bool = False,
    ) -> None:
        self.model, self.style = estimator.model, style
        self.skeleton_style = skeleton_style
        config: dict[str, Any] = {**self.model.cfg.visualizer, 'vis_backends': None}
        # MMPose's sizes where none are given.
        sizes = {'radius': style.radius or 3, 'line_width': style.thickness or 1}
        config |= {**sizes, 'alpha': style.alpha}
        config['name'] = f'stock_drawing_{id(self)}'
        with DefaultScope.overwrite_default_scope('mmpose'):
            self._visualizer = VISUALIZERS.build(config)
        self._visualizer.set_dataset_meta(self.model.dataset_meta, skeleton_style=skeleton_style)
        # Not all heads have heatmaps.
        probe = inference_topdown(self.model, np.zeros((32, 32, 3), np.uint8)) if heatmaps else []
        self.heatmaps = any('pred_fields' in sample for sample in probe)

    def __call__(self, frame: np.ndarray, poses: PoseResult) -> np.ndarray:
        """The drawn frame, BGR, with heatmaps below it; unchanged without persons."""
        if not len(poses):
            # The frames of a video have one size.
            return np.concatenate([frame, frame]) if self.heatmaps else frame
        if self.heatmaps:
            sample = merge_data_samples(inference_topdown(self.model, frame, poses.boxes))
        else:
            sample = PoseDataSample()
        sample.pred_instances = InstanceData(
            keypoints=poses.keypoints,
            keypoint_scores=poses.scores,
            keypoints_visible=poses.scores,
            bboxes=poses.boxes,
            bbox_scores=poses.box_scores,
        )
        self._visualizer.add_datasample(
            'frame',
            frame[..., ::-1].copy(),
            data_sample=sample,
            draw_gt=False,
            draw_heatmap=self.heatmaps,
            draw_bbox=self.style.draw_bbox,
            show_kpt_idx=self.style.show_kpt_idx,
            skeleton_style=self.skeleton_style,
            kpt_thr=self.style.kpt_thr,
        )
        return self._visualizer.get_image()[..., ::-1].copy()
