"""COCO's metric of the poses that a refiner was given, beside that of what it makes of them."""

from __future__ import annotations

from collections.abc import Sequence

from mmpose.evaluation.metrics import CocoMetric

from rlepose_ext.registry import METRICS


@METRICS.register_module()
class InputPoseCocoMetric(CocoMetric):
    """``CocoMetric`` of the input poses of ``PoseFixDataset``: AP before the correction.

    Arguments are those of ``CocoMetric``. Everything else is the same as after the correction,
    non-maximum suppression included, so that a difference is that of the joints.
    """

    default_prefix = 'input'

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        """Take each sample's ``gt_instances.keypoints``, in a test the input pose."""
        before = []
        for sample in data_samples:
            given = sample['gt_instances']
            poses = {**sample['pred_instances'], 'keypoints': given['keypoints']}
            before.append({**sample, 'pred_instances': poses})
        super().process(data_batch, before)
