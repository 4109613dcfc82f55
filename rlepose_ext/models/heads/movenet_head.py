"""MoveNet's heads: maps of centres, guesses, joints and offsets, for one person or for many.

Each map has its own small head on the feature map at 1/4: a depthwise 3x3 convolution, 1x1 to 96
channels with ReLU, 1x1 to the map's channels. What the maps mean, and how they are read, is
:mod:`rlepose_ext.codecs.movenet_label`.

The loss has a term for each kind of map: of the heatmaps and of the centre over all cells, of the
regression at the cells of the centres, of the offsets at the cells of the joints, of the boxes at
the cells of the centres (CenterNet, arXiv 1904.07850, equations 1 to 4; fire717/movenet.pytorch).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.evaluation.functional import keypoint_pck_accuracy, nms
from mmpose.models.heads import BaseHead
from torch import Tensor, nn

from rlepose_ext.checks import check_counts
from rlepose_ext.codecs.movenet_label import MoveNetLabel, decode_single
from rlepose_ext.errors import UserError
from rlepose_ext.models.heads.skps_head import SKPSHead
from rlepose_ext.registry import KEYPOINT_CODECS, MODELS

# Bias of the last convolution of what becomes a probability: sigmoid(-2.19) = 0.1. Nearly all cells
# are empty, and a network that says 1/2 everywhere first learns that (RetinaNet, CenterNet).
PRIOR = -2.19
# Losses with logarithms see probabilities no nearer to 0 or 1, as CenterNet.
SMALLEST = 1e-4


@MODELS.register_module()
class MoveNetHead(BaseHead):
    """MoveNet for one person, who fills the picture: a head of top-down models.

    18,806 parameters with 24 channels and 17 joints.

    Args:
        in_channels: channels of the feature map.
        out_channels: K, the number of joints.
        feat_channels: channels in between.
        heatmap_loss: of heatmaps and centres; called with probabilities (N, K, H, W), targets and
            weights of that shape. Default: mean squared error times the number of cells, that is,
            summed over the map, as fire717 has it. ``dict(type='FocalHeatmapLoss',
            use_target_weight=True)`` is CenterNet's, for targets of ``shape='gaussian'``.
        peak_weight: cells weigh 1 + ``peak_weight`` * target; fire717 has 8. Use 0 for
            ``FocalHeatmapLoss``.
        regression_loss: of guesses, heatmap px; called with (M, K, 2), targets, weights. Default
            ``L1Loss``.
        offset_loss: of offsets, likewise.
        decoder: config of :class:`~rlepose_ext.codecs.movenet_label.MoveNetLabel`.
        init_cfg: by default as torch draws convolutions, the last ones near 0.

    Raises:
        UserError: counts that are none, or another decoder.
    """

    persons = 'one'

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        feat_channels: int = 96,
        heatmap_loss: dict | None = None,
        peak_weight: float = 8.0,
        regression_loss: dict | None = None,
        offset_loss: dict | None = None,
        decoder: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        name = type(self).__name__
        check_counts(
            name, in_channels=in_channels, out_channels=out_channels, feat_channels=feat_channels
        )
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.peak_weight = peak_weight
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)
        if self.decoder is not None and (
            not isinstance(self.decoder, MoveNetLabel) or self.decoder.persons != self.persons
        ):
            raise UserError(
                f"{name}: expected decoder=dict(type='rlepose_ext.MoveNetLabel', "
                f"persons='{self.persons}', ...), got {decoder}."
            )
        width, height = (1, 1) if self.decoder is None else self.decoder.heatmap_size
        mse = {'type': 'KeypointMSELoss', 'use_target_weight': True, 'loss_weight': width * height}
        l1 = {'type': 'L1Loss', 'use_target_weight': True}
        self.heatmap_loss = MODELS.build(heatmap_loss or mse)
        self.regression_loss = MODELS.build(regression_loss or l1)
        self.offset_loss = MODELS.build(offset_loss or l1)
        for part, channels in self.parts(out_channels).items():
            self.add_module(part, _map_head(in_channels, feat_channels, channels))
            last = getattr(self, part)[-1]
            nn.init.normal_(last.weight, std=0.001)
            nn.init.constant_(last.bias, PRIOR if part in ('heatmap', 'centre') else 0)

    @staticmethod
    def parts(joints: int) -> dict[str, int]:
        """The maps in the order of :meth:`forward`, and their channels for K joints."""
        return {'heatmap': joints, 'centre': 1, 'regression': 2 * joints, 'offset': 2 * joints}

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Raw maps of the last feature map (N, C, H, W).

        Returns:
            Logits ``heatmap`` (N, K, H, W) and ``centre`` (N, 1, H, W); ``regression`` and
            ``offset`` (N, 2K, H, W), x before y, heatmap px.
        """
        x = feats[-1]
        return tuple(getattr(self, part)(x) for part in self.parts(self.out_channels))

    def activate(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What the decoder and an exported model take: the two logits become probabilities."""
        heatmap, centre, *rest = outputs
        return (heatmap.sigmoid(), centre.sigmoid(), *rest)

    # The flip test of two decoded views, which any head with maps and a decoder can have.
    predict = SKPSHead.predict

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Losses of a batch, and its accuracy for the log.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: labels as the codec gives them.
            train_cfg: ``compute_acc=False`` leaves out the accuracy.

        Returns:
            ``loss_heatmap``, ``loss_centre``, ``loss_regression``, ``loss_offset``, and
            ``acc_pose``: the share of labelled joints within 0.05 map sizes, over joint types.
        """
        outputs = dict(zip(self.parts(self.out_channels), self.forward(feats), strict=True))
        labels = _Labels(batch_data_samples)
        # A joint without a label may be anywhere: its map teaches nothing.
        weights = labels.keypoint_weights[..., None, None]
        losses = self._map_losses(outputs, labels, weights)
        losses |= self._point_losses(outputs, labels)
        if (train_cfg or {}).get('compute_acc', True):
            maps = self.activate(tuple(each.detach() for each in outputs.values()))
            losses['acc_pose'] = _accuracy(maps, labels)
        return losses

    def _map_losses(
        self, outputs: dict[str, Tensor], labels: _Labels, weights: Tensor | float
    ) -> dict[str, Tensor]:
        losses = {}
        for part, target, weight in (
            ('heatmap', labels.heatmaps, weights),
            ('centre', labels.centre, 1.0),
        ):
            weight = (1 + self.peak_weight * target) * weight
            if labels.mask is not None:
                weight = weight * labels.mask
            found = outputs[part].float().sigmoid().clamp(SMALLEST, 1 - SMALLEST)
            losses[f'loss_{part}'] = self.heatmap_loss(found, target, weight)
        return losses

    def _point_losses(self, outputs: dict[str, Tensor], labels: _Labels) -> dict[str, Tensor]:
        guess = pairs_at(outputs['regression'], labels.person_image, labels.centre_cell)
        k = torch.arange(self.out_channels, device=guess.device)
        n, _, height, width = outputs['offset'].shape
        offset = outputs['offset'].view(n, 2, -1, height, width)
        x, y = labels.joint_cell.unbind(-1)
        offset = offset[labels.person_image[:, None], :, k, y, x]
        weights = labels.keypoint_weights[..., None].expand_as(guess)
        return {
            'loss_regression': _or_zero(self.regression_loss, guess, labels.regression, weights),
            'loss_offset': _or_zero(self.offset_loss, offset, labels.offset, weights),
        }


@MODELS.register_module()
class MoveNetMultiPoseHead(MoveNetHead):
    """MoveNet for all persons of a picture: a head of bottom-up models.

    24,426 parameters with 24 channels and 17 joints. Sides of pictures may be any multiples of 32.

    Args:
        box_loss: of the sizes and of the middles of boxes, heatmap px; called with (M, 2),
            targets, weights. Default ``L1Loss``.
        box_weight: factor of the sizes' loss; CenterNet has 0.1.
        **kwargs: as of :class:`MoveNetHead`.
    """

    persons = 'many'

    def __init__(
        self, *args: Any, box_loss: dict | None = None, box_weight: float = 0.1, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.box_loss = MODELS.build(box_loss or {'type': 'L1Loss', 'use_target_weight': True})
        self.box_weight = box_weight

    @staticmethod
    def parts(joints: int) -> dict[str, int]:
        """The maps of :class:`MoveNetHead`, then ``box_size`` and ``box_offset``."""
        return {**MoveNetHead.parts(joints), 'box_size': 2, 'box_offset': 2}

    def predict(
        self, feats: Sequence[Tensor], batch_data_samples: list, test_cfg: dict | None = None
    ) -> list[InstanceData]:
        """Persons of each picture in input px.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: not used.
            test_cfg: ``score_thr``: lowest person score, not included, default 0;
                ``nms_thr``: of two boxes that overlap by more than this IoU the worse is dropped,
                default 1, none.

        Returns:
            For each picture ``keypoints`` (M, K, 2), ``keypoint_scores`` (M, K), ``bboxes``
            (M, 4) x1, y1, x2, y2 and ``bbox_scores`` (M,), best first.

        Raises:
            UserError: ``flip_test``, which this head has not.
        """
        test_cfg = test_cfg or {}
        if test_cfg.get('flip_test', False):
            raise UserError(
                'MoveNetMultiPoseHead: expected test_cfg without flip_test: the persons of two '
                'views would have to be matched. Set flip_test=False.'
            )
        found = self.decoder.decode_persons(*self.activate(self.forward(feats)))
        threshold, overlap = test_cfg.get('score_thr', 0.0), test_cfg.get('nms_thr', 1.0)
        poses = []
        for keypoints, joint_scores, boxes, scores in found:
            good = np.flatnonzero((scores > threshold) & (boxes[:, 2:] > boxes[:, :2]).all(1))
            kept = good[nms(np.column_stack([boxes[good], scores[good]]), overlap)]
            poses.append(
                InstanceData(
                    keypoints=keypoints[kept],
                    keypoint_scores=joint_scores[kept],
                    bboxes=boxes[kept],
                    bbox_scores=scores[kept],
                )
            )
        return poses

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Returns:
            Those of :meth:`MoveNetHead.loss` without ``acc_pose``, ``loss_box_size`` and
            ``loss_box_offset``.
        """
        outputs = dict(zip(self.parts(self.out_channels), self.forward(feats), strict=True))
        labels = _Labels(batch_data_samples)
        losses = self._map_losses(outputs, labels, 1.0) | self._point_losses(outputs, labels)
        for part, factor in (('box_size', self.box_weight), ('box_offset', 1.0)):
            found = pairs_at(outputs[part], labels.person_image, labels.centre_cell)[:, 0]
            target = getattr(labels, part)
            value = _or_zero(self.box_loss, found, target, torch.ones_like(target))
            losses[f'loss_{part}'] = factor * value
        return losses


class _Labels:
    """The labels of a batch: maps stacked, persons of all pictures in a row."""

    def __init__(self, samples: list) -> None:
        fields = [sample.gt_fields for sample in samples]
        self.heatmaps = torch.stack([each.heatmaps for each in fields])
        self.centre = torch.stack([each.centre for each in fields])
        self.mask = None
        if all('heatmap_mask' in each for each in fields):
            self.mask = torch.stack([each.heatmap_mask for each in fields]).float()  # (N, 1, H, W)
        persons = [sample.gt_instance_labels for sample in samples]
        for name in MoveNetLabel.label_mapping_table:
            setattr(self, name, torch.cat([each[name] for each in persons]))
        counts = [len(each.keypoint_weights) for each in persons]
        device = self.heatmaps.device
        self.person_image = torch.repeat_interleave(torch.tensor(counts, device=device))


def _map_head(in_channels: int, feat_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, feat_channels, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(feat_channels, out_channels, 1),
    )


def pairs_at(maps: Tensor, images: Tensor, cells: Tensor) -> Tensor:
    """Pairs of (N, 2K, H, W) at cells (M, 2) of the pictures (M,): (M, K, 2)."""
    values = maps[images, :, cells[:, 1], cells[:, 0]]
    return values.view(len(values), 2, maps.shape[1] // 2).transpose(1, 2)


def _or_zero(loss: nn.Module, found: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """The loss, or 0 with a gradient where a batch has no person: the mean of nothing is none."""
    if not len(found):
        return found.sum() * 0
    return loss(found, target, weights)


def _accuracy(maps: tuple[Tensor, ...], labels: _Labels) -> Tensor:
    points, _ = decode_single(*(each.float().cpu().numpy() for each in maps))
    height, width = maps[0].shape[2:]
    truth = (labels.joint_cell + labels.offset).cpu().numpy()
    mask = (labels.keypoint_weights > 0).cpu().numpy()
    norm = np.tile(np.float32([width, height]), (len(points), 1))
    _, accuracy, _ = keypoint_pck_accuracy(points, truth, mask, 0.05, norm)
    return torch.tensor(float(accuracy), device=maps[0].device)
