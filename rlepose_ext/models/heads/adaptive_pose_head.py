r"""AdaptivePose's head: a person is a centre and seven points on the body that adapt to the pose.

Xiao et al., *AdaptivePose: Human Parts as Adaptive Points*, AAAI 2022, arXiv 2112.13635, and the
authors' code. What the maps mean, how they are made of labels and read again, is
:mod:`rlepose_ext.codecs.adaptive_pose_label`.

A cell at the middle of a body sees little of its wrists. So it first says where the parts of the
body are, and then looks there. With C channels at 1/4 of the input's resolution, for each cell c:

1. A 3x3 convolution to 256 channels and ReLU gives the pose features. The *searcher*, another 3x3
   convolution, gives P = 7 points relative to the cell, :math:`a_i(c)`, one for each part: face,
   shoulders, left and right elbow with wrist, hips, left and right knee with ankle.
2. Each part has features of its own, 64 channels (1x1, batch norm, ReLU, then a modulated
   deformable 3x3 convolution, Zhu et al., arXiv 1811.11168). They are read at :math:`c + a_i(c)` by
   bilinear interpolation, and a 1x1 convolution says where the part's joints are from there,
   :math:`d_k(c)`. The joint's offset from the cell is :math:`a_i(c) + d_k(c)`.
3. Whether c is a centre is decided by the same seven points: 256 channels of c (another 3x3 and
   ReLU), and 64 of them (1x1) read at each point, go through 3x3 to 64, ReLU and 1x1 to one logit.

Only in training, a second head (3x3 to 256, ReLU, 1x1) draws the joints of all persons as K
heatmaps, so that the backbone learns what joints look like.

The loss is

.. math:: L = L_{centre} + L_{heatmap} + L_{offset} + 5 \, \frac{1}{M} \sum_m (1 - OKS_m),

with CornerNet's focal loss for both kinds of heatmaps, and at the M labelled centres the
mean of absolute errors of the offsets (:mod:`rlepose_ext.models.losses.joint_offset`) and one less
OKS. On CrowdPose errors of bones take the place of OKS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmcv.cnn import ConvModule
from mmcv.ops import soft_nms
from mmengine.structures import InstanceData
from mmpose.models.heads import BaseHead
from torch import Tensor, nn

from rlepose_ext.checks import check_counts
from rlepose_ext.codecs.adaptive_pose_label import AdaptivePoseLabel
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import heatmap_to_input, input_to_image
from rlepose_ext.models.heads.movenet_head import PRIOR, SMALLEST, pairs_at
from rlepose_ext.models.layers.deformable import (
    ModulatedDeformConv,
    at_least_float32,
    sample_at,
)
from rlepose_ext.registry import KEYPOINT_CODECS, MODELS

# COCO's joints by part: nose, eyes and ears, shoulders, left arm, right arm, hips, left leg, ...
COCO_PARTS = ((0, 1, 2, 3, 4), (5, 6), (7, 9), (8, 10), (11, 12), (13, 15), (14, 16))


class PartBranch(nn.Module):
    """Where the joints of one part are, read at the part's adaptive point.

    Args:
        in_channels: of the pose features.
        channels: of the part's own features.
        joints: n, how many joints the part has.
    """

    def __init__(self, in_channels: int, channels: int, joints: int) -> None:
        super().__init__()
        self.reduce = ConvModule(in_channels, channels, 1, norm_cfg={'type': 'BN'})
        self.deform = ModulatedDeformConv(channels)
        self.joints = nn.Conv2d(channels, 2 * joints, 1)
        nn.init.normal_(self.joints.weight, std=0.001)
        nn.init.zeros_(self.joints.bias)

    def forward(self, feature: Tensor, points: Tensor) -> Tensor:
        """From each cell to the joints.

        Args:
            feature: pose features (N, C, H, W).
            points: from each cell to the adaptive point, (N, 2, H, W), heatmap px.

        Returns:
            (N, n, 2, H, W), heatmap px.
        """
        sampled = sample_at(self.deform(self.reduce(feature)), points)
        found = self.joints(sampled).unflatten(1, (-1, 2))
        return found + points[:, None]


class Maps(NamedTuple):
    """What the head gives.

    Attributes:
        centre: logits (N, 1, H, W).
        offset: from each cell to the joints, (N, 2K, H, W), all x before all y, heatmap px.
        points: from each cell to the adaptive points, (N, P, 2, H, W), heatmap px.
    """

    centre: Tensor
    offset: Tensor
    points: Tensor


@MODELS.register_module()
class AdaptivePoseHead(BaseHead):
    """AdaptivePose for all persons of a picture: a head of bottom-up models.

    With COCO's 17 joints 1,087,662 parameters on 32 channels and 1,161,390 on 48, the joint
    heatmaps of the training not counted (78,353 and 115,217).

    Args:
        in_channels: C, channels of the feature map.
        out_channels: K, the number of joints.
        parts: for each part the indices of its joints, each joint once. Default: the seven of
            COCO's joints.
        feat_channels: of the pose features and of the centre's.
        part_channels: of a part's features, and of what the centre reads at each point.
        joint_maps: have the heatmaps of joints, which only training uses. Without them a
            checkpoint that has them loads all the same.
        heatmap_loss: of centres and joints; called with probabilities and targets (N, _, H, W).
            Default ``FocalHeatmapLoss``.
        offset_loss: of the offsets, called with (M, K, 2), targets and weights (M, K), heatmap px.
            Default ``rlepose_ext.JointOffsetLoss``.
        oks_loss: of the same, with the persons' areas (M,) besides. Default None, no such loss;
            COCO's configs have ``OKSLoss``.
        decoder: config of :class:`~rlepose_ext.codecs.adaptive_pose_label.AdaptivePoseLabel`.
        init_cfg: by default as torch draws convolutions; the searcher and the offsets of deformable
            convolutions 0.

    Raises:
        UserError: counts that are none, parts that do not have each joint once, another decoder.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        parts: Sequence[Sequence[int]] | None = None,
        feat_channels: int = 256,
        part_channels: int = 64,
        joint_maps: bool = True,
        heatmap_loss: dict | None = None,
        offset_loss: dict | None = None,
        oks_loss: dict | None = None,
        decoder: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check_counts(
            'AdaptivePoseHead',
            in_channels=in_channels,
            out_channels=out_channels,
            feat_channels=feat_channels,
            part_channels=part_channels,
        )
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.out_channels = out_channels
        parts = COCO_PARTS if parts is None else parts
        joints = [joint for part in parts for joint in part]
        if sorted(joints) != list(range(out_channels)):
            raise UserError(
                f'AdaptivePoseHead: expected parts that have each of {out_channels} joints once, '
                f'got {parts}.'
            )
        # where each joint stands among those of all parts
        self.order = [joints.index(joint) for joint in range(out_channels)]
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)
        if not isinstance(self.decoder, AdaptivePoseLabel | None):
            raise UserError(
                "AdaptivePoseHead: expected decoder=dict(type='rlepose_ext.AdaptivePoseLabel', "
                f'...), got {decoder}.'
            )
        self.heatmap_loss = MODELS.build(heatmap_loss or {'type': 'FocalHeatmapLoss'})
        self.offset_loss = MODELS.build(offset_loss or {'type': 'rlepose_ext.JointOffsetLoss'})
        self.oks_loss = None if oks_loss is None else MODELS.build(oks_loss)
        if hasattr(self.oks_loss, 'sigmas'):  # the data set's, and none of a checkpoint's business
            self.oks_loss.register_buffer('sigmas', self.oks_loss.sigmas, persistent=False)

        self.pose = _three_by_three(in_channels, feat_channels)
        self.searcher = nn.Conv2d(feat_channels, 2 * len(parts), 3, padding=1)
        nn.init.zeros_(self.searcher.weight)
        nn.init.zeros_(self.searcher.bias)
        self.parts = nn.ModuleList(
            PartBranch(feat_channels, part_channels, len(part)) for part in parts
        )
        self.centre = _three_by_three(in_channels, feat_channels)
        self.centre_reduce = nn.Conv2d(feat_channels, part_channels, 1)
        self.centre_out = nn.Sequential(
            _three_by_three(feat_channels + len(parts) * part_channels, part_channels),
            _heatmap(part_channels, 1),
        )
        self.joint_maps = None
        if joint_maps:
            self.joint_maps = nn.Sequential(
                _three_by_three(in_channels, feat_channels), _heatmap(feat_channels, out_channels)
            )
        self.register_load_state_dict_pre_hook(_leave_out_joint_maps)

    def forward(self, feats: Sequence[Tensor]) -> Maps:
        """Raw maps of the last feature map (N, C, H, W)."""
        x = feats[-1]
        pose, centre = self.pose(x), self.centre(x)
        points = at_least_float32(self.searcher(pose)).unflatten(1, (-1, 2))
        each = points.unbind(1)
        found = [part(pose, at) for part, at in zip(self.parts, each, strict=True)]
        offset = torch.cat(found, 1)[:, self.order]  # (N, K, 2, H, W)
        reduced = self.centre_reduce(centre)
        seen = torch.cat([centre, *(sample_at(reduced, at) for at in each)], 1)
        return Maps(self.centre_out(seen), offset.transpose(1, 2).flatten(1, 2), points)

    def activate(self, maps: Maps) -> tuple[Tensor, Tensor]:
        """What the decoder takes: ``centre`` as a probability, and ``offset``; float32."""
        return maps.centre.float().sigmoid(), maps.offset.float()

    def predict(
        self,
        feats: Sequence,
        batch_data_samples: list,
        test_cfg: dict | None = None,
    ) -> list[InstanceData]:
        """Persons of each picture.

        Args:
            feats: as :meth:`forward` takes; with ``flip_test`` two of them, the second of the
                mirrored pictures; with ``multiscale_test`` a list of such, scale 1 first.
            batch_data_samples: not used.
            test_cfg: ``flip_test``: the centre maps of both views are averaged, offsets are those
                of the first. ``multiscale_test``: the persons of all scales, whose scores fall
                where their boxes overlap those of better ones (:func:`suppress_softly`).

        Returns:
            For each picture ``keypoints`` (M, K, 2), ``keypoint_scores`` (M, K), which is the
            person's score for each joint, ``bboxes`` (M, 4) around the joints and ``bbox_scores``
            (M,), best first; input px of scale 1.
        """
        test_cfg = test_cfg or {}
        multiscale = test_cfg.get('multiscale_test', False)
        views = [
            self._view(view, test_cfg.get('flip_test', False))
            for view in (feats if multiscale else [feats])
        ]
        first = self._input_size(views[0][0])
        found = []
        for i in range(len(views[0][0])):
            poses, scores = [], []
            for centre, offset in views:
                keypoints, score = self.decoder.decode(centre[i], offset[i])
                poses.append(_at_first_scale(keypoints, self._input_size(centre), first))
                scores.append(score)
            found.append(_persons(np.concatenate(poses), np.concatenate(scores), multiscale))
        return found

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: labels as the codec gives them.
            train_cfg: not used.

        Returns:
            ``loss_centre``, ``loss_heatmap``, ``loss_offset``, and ``loss_oks`` if there is one.
        """
        maps = self.forward(feats)
        fields = [sample.gt_fields for sample in batch_data_samples]
        persons = [sample.gt_instance_labels for sample in batch_data_samples]
        centre = torch.stack([each.centre for each in fields])
        losses = {'loss_centre': self.heatmap_loss(_probability(maps.centre), centre)}
        if self.joint_maps is not None:
            heatmaps = torch.stack([each.heatmaps for each in fields])
            found = _probability(self.joint_maps(feats[-1]))
            losses['loss_heatmap'] = self.heatmap_loss(found, heatmaps)
        offset = torch.cat([each.offset for each in persons])
        weights = torch.cat([each.keypoint_weights for each in persons])
        counts = torch.tensor([len(each.centre_cell) for each in persons], device=offset.device)
        cells = torch.cat([each.centre_cell for each in persons])
        found = pairs_at(maps.offset.float(), torch.repeat_interleave(counts), cells)
        losses['loss_offset'] = self.offset_loss(found, offset, weights)
        if self.oks_loss is not None:
            area = torch.cat([each.area for each in persons])
            # the mean over nobody is not a number
            losses['loss_oks'] = (
                self.oks_loss(found, offset, weights, area) if len(found) else found.sum()
            )
        return losses

    def _view(self, feats: Sequence, flip: bool) -> tuple[Tensor, Tensor]:
        """Activated maps of one scale."""
        if not flip:
            return self.activate(self.forward(feats))
        (centre, offset), (mirrored, _) = (self.activate(self.forward(each)) for each in feats)
        return (centre + mirrored.flip(-1)) / 2, offset

    def _input_size(self, maps: Tensor) -> np.ndarray:
        """Width and height of the input, padded, that maps are of."""
        size = np.array(maps.shape[:-3:-1], np.float64)
        return heatmap_to_input(size, self.decoder.input_size, self.decoder.heatmap_size)


def suppress_softly(
    keypoints: np.ndarray, scores: np.ndarray, sigma: float = 0.5, least: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    r"""Lower the scores of persons whose boxes overlap those of better ones.

    The best person is taken; of the others each score is multiplied by
    :math:`\exp(-u^2 / \sigma)`, with u the IoU of the boxes around the joints; and so on (Bodla et
    al., *Soft-NMS*, arXiv 1704.04503, equation 3).

    Args:
        keypoints: (M, K, 2).
        scores: (M,).
        sigma: of the formula.
        least: persons below that score are dropped.

    Returns:
        Keypoints and scores of those that are left, best first.
    """
    boxes = torch.as_tensor(_boxes(keypoints))
    options = {'sigma': sigma, 'min_score': least, 'method': 'gaussian', 'offset': 1}
    lowered, kept = soft_nms(boxes, torch.as_tensor(scores), **options)
    return keypoints[kept.numpy()], lowered[:, 4].numpy()


def _three_by_three(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU(inplace=True))


def _heatmap(in_channels: int, out_channels: int) -> nn.Conv2d:
    last = nn.Conv2d(in_channels, out_channels, 1)
    nn.init.constant_(last.bias, PRIOR)
    return last


def _leave_out_joint_maps(module: AdaptivePoseHead, state_dict: dict, prefix: str, *_) -> None:
    """Hook of loading: a head without joint maps does not miss them."""
    if module.joint_maps is None:
        for name in [name for name in state_dict if name.startswith(f'{prefix}joint_maps.')]:
            del state_dict[name]


def _probability(logits: Tensor) -> Tensor:
    return logits.float().sigmoid().clamp(SMALLEST, 1 - SMALLEST)


def _at_first_scale(keypoints: np.ndarray, size: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Input px of another scale to input px of scale 1.

    A picture is centred in its input. Its shorter side fills it without padding, so that sides
    tell the scale, also where it was rounded up to a multiple of 32.

    Args:
        keypoints: (M, K, 2).
        size: width and height of the input.
        first: of the input at scale 1.
    """
    scale = size.min() / first.min()
    return input_to_image(keypoints, center=first / 2, scale=size / scale, input_size=size)


def _boxes(keypoints: np.ndarray) -> np.ndarray:
    """Around the joints (M, K, 2): x1, y1, x2, y2, (M, 4)."""
    return np.concatenate([keypoints.min(1), keypoints.max(1)], 1)


def _persons(keypoints: np.ndarray, scores: np.ndarray, suppress: bool) -> InstanceData:
    if suppress:
        keypoints, scores = suppress_softly(keypoints, scores)
    return InstanceData(
        keypoints=keypoints,
        keypoint_scores=np.repeat(scores[:, None], keypoints.shape[1], 1),
        bboxes=_boxes(keypoints),
        bbox_scores=scores,
    )
