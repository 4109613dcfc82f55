"""PoseFix as a model of MMPose: an image and a pose in, the pose corrected out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.structures import PoseDataSample
from torch import Tensor

from rlepose_ext.checks import check_positive
from rlepose_ext.codecs.posefix_label import input_maps
from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class PoseFixPreprocessor(PoseDataPreprocessor):
    """``PoseDataPreprocessor`` that joins the maps of the input poses to the images.

    Args:
        sigma: standard deviation of the maps, input px, see
            :func:`~rlepose_ext.codecs.posefix_label.input_maps`.
        **options: of ``PoseDataPreprocessor``, for the images.
    """

    def __init__(self, sigma: float, **options: Any) -> None:
        super().__init__(**options)
        check_positive('PoseFixPreprocessor', sigma=sigma)
        self.sigma = sigma

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise the images, draw the poses.

        Args:
            data: N samples; ``gt_instance_labels`` have ``input_keypoints`` and
                ``input_weights`` of :class:`~rlepose_ext.codecs.posefix_label.PoseFixLabel`.
            training: as in ``PoseDataPreprocessor``.

        Returns:
            ``inputs`` (N, 3 + K, h, w), and ``data_samples``.

        Raises:
            UserError: the pipeline has not packed an input pose.
        """
        data = super().forward(data, training)
        images, labels = data['inputs'], [s.gt_instance_labels for s in data['data_samples']]
        if not all('input_keypoints' in label for label in labels):
            raise UserError(
                'PoseFixPreprocessor: expected samples with an input pose, got some without. '
                "dict(type='GenerateTarget', encoder=codec) with rlepose_ext.PoseFixLabel belongs "
                'into the pipelines of training and test.'
            )
        keypoints = torch.cat([label.input_keypoints for label in labels]).to(images)
        weights = torch.cat([label.input_weights for label in labels]).to(images)
        maps = input_maps(keypoints, weights, images.shape[:1:-1], self.sigma)
        return {**data, 'inputs': torch.cat([images, maps], dim=1)}


@MODELS.register_module()
class PoseFixEstimator(TopdownPoseEstimator):
    """MMPose's ``TopdownPoseEstimator`` for images with the maps of a pose.

    Joints keep the scores of the input pose: PoseFix says where they are, not how sure it is.
    """

    def predict(self, inputs: Tensor, data_samples: list[PoseDataSample]) -> list[PoseDataSample]:
        """Correct the poses.

        In the flip test the maps are mirrored like the image, and each joint's map becomes that
        of its partner. With ``keep_within`` of ``test_cfg`` a joint is moved only where the network
        is sure that it lies elsewhere: farther away than so many times the width of its map.

        Args:
            inputs: (N, 3 + K, h, w) of :class:`PoseFixPreprocessor`.
            data_samples: of the N crops.

        Returns:
            ``data_samples`` with ``pred_instances``, image px.
        """
        feats = self.extract_feat(inputs)
        if self.test_cfg.get('flip_test', False):
            pairs = data_samples[0].metainfo['flip_indices']
            mirrored = inputs.flip(-1)
            images, maps = mirrored[:, : -len(pairs)], mirrored[:, -len(pairs) :]
            feats = [feats, self.extract_feat(torch.cat([images, maps[:, list(pairs)]], dim=1))]
        poses = self.head.predict(feats, data_samples, test_cfg=self.test_cfg)
        poses, fields = poses if isinstance(poses, tuple) else (poses, None)
        within = self.test_cfg.get('keep_within', 0)
        for pose, sample in zip(poses, data_samples, strict=True):
            given, weights = (
                sample.gt_instance_labels[name].cpu().numpy()
                for name in ('input_keypoints', 'input_weights')
            )
            moved = np.linalg.norm(pose.keypoints - given, axis=-1)
            kept = (moved < within * pose.pop('keypoint_widths')) & (weights > 0)
            pose.keypoints = np.where(kept[..., None], given, pose.keypoints)
            pose.keypoint_scores = sample.gt_instances.keypoints_visible
        return self.add_pred_to_datasample(poses, fields, data_samples)
