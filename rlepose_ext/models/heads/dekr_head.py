r"""DEKR's test at several image sizes, which MMPose 1.3.2 leaves out.

Geng et al., *Bottom-Up Human Pose Estimation Via Disentangled Keypoint Regression*, CVPR 2021,
arXiv 2104.02300, section 4, and the authors' code. An image is shown at several scales, such as
1, 1/2 and 2 times the input size. Each scale :math:`s` proposes poses from its own map of centres
and its own offsets. Then, over the poses of all scales,

1. the centre scores of scale s are made comparable with those of scale 1,
   :math:`c' = 0.9 \, c \, \max c_1 / \max c_s`, slightly in favour of scale 1;
2. a joint's score is the mean over the scales of the keypoint heatmaps at its position;
3. poses are suppressed by better ones with close joints, as at one scale.

Coordinates here: *input px* are those of the image at scale 1. An image is centred in its padded
input at each scale, so that x input px lie at

.. math:: x_s = s \, (x - w_1 / 2) + w_s / 2

in the input of scale s, with w the padded widths (heights alike).

:mod:`rlepose_ext.models.estimators.image_pyramid` brings the images to the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.evaluation.functional import nearby_joints_nms
from mmpose.models.heads import DEKRHead as _DEKRHead
from torch import Tensor

from rlepose_ext.geometry.spaces import image_to_input, input_to_heatmap, input_to_image
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class DEKRHead(_DEKRHead):
    """MMPose's ``DEKRHead``, with ``test_cfg=dict(multiscale_test=True)``.

    Its state dict is MMPose's. Without ``multiscale_test`` nothing differs. Besides MMPose's
    options, ``test_cfg`` has ``multiscale_score_decrease``, the factor 0.9 of the module's text.

    The input size times each scale must be a multiple of 32 (``size_factor`` of
    ``BottomupResize``), or an image has another scale than it is said to have; ``use_udp`` is not
    supported.
    """

    def decode(
        self,
        heatmaps: Sequence[Tensor],
        displacements: Sequence[Tensor],
        test_cfg: dict[str, Any] | None = None,
        metainfo: dict[str, Any] | None = None,
    ) -> list[InstanceData]:
        """Poses from the maps of all scales.

        Args:
            heatmaps: for each scale, scale 1 first, K keypoints and the centre, (N, K + 1, h, w).
            displacements: for each scale, from a centre to the K keypoints, (N, 2 K, h, w),
                heatmap px.
            test_cfg: options of the test.
            metainfo: has ``input_size`` (w, h) of scale 1, padded, ``aug_scales`` of the others,
                and ``skeleton_links`` for the network that scores poses again.

        Returns:
            For each of N images ``keypoints`` (M, K, 2) in input px and ``keypoint_scores``
            (M, K).
        """
        test_cfg, metainfo = test_cfg or {}, metainfo or {}
        if not test_cfg.get('multiscale_test', False):
            return super().decode(heatmaps, displacements, test_cfg, metainfo)
        scales = (1.0, *metainfo['aug_scales'])
        decrease = test_cfg.get('multiscale_score_decrease', 0.9)
        predictions = []
        for i in range(len(heatmaps[0])):
            maps, fields = [each[i] for each in heatmaps], [each[i] for each in displacements]
            frames = [self._frame(each, s, metainfo) for each, s in zip(maps, scales, strict=True)]
            keypoints, centre_scores = self._propose(maps, fields, frames, decrease)
            keypoint_scores = self._score(maps, frames, keypoints)
            predictions.append(
                self._select(keypoints, centre_scores, keypoint_scores, test_cfg, metainfo)
            )
        return predictions

    def _frame(self, heatmaps: Tensor, scale: float, metainfo: dict[str, Any]) -> dict[str, Any]:
        """The box that the input of a scale shows, in input px: arguments of ``image_to_input``."""
        size = self.decoder.scale_factor * heatmaps.shape[:-3:-1]
        middle = 0.5 * np.asarray(metainfo['input_size'])
        return {'center': middle, 'scale': size / scale, 'input_size': size}

    def _propose(
        self,
        maps: Sequence[Tensor],
        fields: Sequence[Tensor],
        frames: Sequence[dict[str, Any]],
        decrease: float,
    ) -> tuple[Tensor, Tensor]:
        """Poses of all scales, (M, K, 2) input px, and the scores of their centres, (M,)."""
        poses, scores = [], []
        for heatmaps, displacements, frame in zip(maps, fields, frames, strict=True):
            keypoints, (centres, _) = self.decoder.decode(heatmaps, displacements)
            if len(centres) and len(scores) and len(scores[0]):
                centres = centres * (decrease * scores[0].max() / centres.max())
            poses.append(input_to_image(keypoints, **frame))
            scores.append(centres)
        return torch.cat(poses), torch.cat(scores)

    def _score(
        self, maps: Sequence[Tensor], frames: Sequence[dict[str, Any]], keypoints: Tensor
    ) -> Tensor:
        """Mean of the keypoint heatmaps of all scales at the keypoints, (M, K)."""
        scores = []
        for heatmaps, frame in zip(maps, frames, strict=True):
            points = image_to_input(keypoints, **frame)
            points = input_to_heatmap(points, frame['input_size'], heatmaps.shape[:-3:-1])
            scores.append(self.decoder.get_keypoint_scores(heatmaps[:-1], points))
        return torch.stack(scores).mean(0)

    def _select(
        self,
        keypoints: Tensor,
        centre_scores: Tensor,
        keypoint_scores: Tensor,
        test_cfg: dict[str, Any],
        metainfo: dict[str, Any],
    ) -> InstanceData:
        """Score poses again and drop doubles, as MMPose does at one scale."""
        skeleton = metainfo.get('skeleton_links')
        if self.rescore_net is not None and skeleton and len(keypoints):
            centre_scores = centre_scores * self.rescore_net(
                keypoints, keypoint_scores, skeleton
            ).nan_to_num(0.0)
        scores = (centre_scores[:, None] * keypoint_scores).cpu().numpy()
        poses, joint_scores = keypoints.cpu().numpy(), keypoint_scores.cpu().numpy()
        if len(poses) and test_cfg.get('nms_dist_thr', 0) > 0:
            kept = nearby_joints_nms(
                [{'keypoints': p, 'score': s} for p, s in zip(poses, joint_scores, strict=True)],
                test_cfg['nms_dist_thr'],
                test_cfg.get('nms_joints_thr'),
                score_per_joint=True,
                max_dets=test_cfg.get('max_num_people', 30),
            )
            poses, scores = poses[kept], scores[kept]
        return InstanceData(keypoints=poses, keypoint_scores=scores)
