r"""PoseFix's head and losses.

Three transposed convolutions and a 1 x 1 convolution, as of the simple baselines, give logits
z of K maps. A softmax over the pixels of each makes it a probability, whose mean is the joint:

.. math:: h_p = \frac{e^{z_p}}{\sum_q e^{z_q}}, \qquad J = \sum_p h_p \, p

With the target t of :mod:`rlepose_ext.codecs.posefix_label` and the true joint J*, in heatmap px,
the loss of a joint is (Moon et al., CVPR 2019, arXiv 1812.03595, equations 2 and 3)

.. math:: L = -\sum_p t_p \log h_p + |J_x - J^*_x| + |J_y - J^*_y|

The first term alone would be content with a broad map around the joint; the second one alone with
any map that has the right mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.models.heads import HeatmapHead
from torch import Tensor, nn

from rlepose_ext.checks import check_counts
from rlepose_ext.codecs.posefix_label import PoseFixLabel
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import denormalise
from rlepose_ext.models.heads.integral import integral
from rlepose_ext.models.heads.skps_head import ACC_THRESHOLD, SKPSHead
from rlepose_ext.registry import MODELS

# Of the original's batch norm.
EPSILON, MOMENTUM = 1e-9, 0.01


def cross_entropy(logits: Tensor, heatmaps: Tensor, weights: Tensor) -> Tensor:
    """Mean over all joints, of those with weight 0 too, of the cross entropy over pixels.

    Args:
        logits: (N, K, h, w), before the softmax.
        heatmaps: targets of that shape; each sums to 1.
        weights: (N, K).
    """
    logarithm = logits.flatten(2).float().log_softmax(-1)
    return -(weights * (heatmaps.flatten(2) * logarithm).sum(-1)).mean()


def coordinate_loss(coords: Tensor, labels: Tensor, weights: Tensor, size: Sequence[int]) -> Tensor:
    """Mean absolute error over all joints and both axes, heatmap px.

    Args:
        coords: (N, K, 2), normalised.
        labels: likewise.
        weights: (N, K).
        size: width and height of the heatmap.
    """
    return (denormalise(coords - labels, size).abs() * weights[..., None]).mean()


def widths(maps: Tensor, size: Sequence[int]) -> Tensor:
    """How sure the maps are: the root mean square of their standard deviations in x and y.

    Args:
        maps: (N, K, h, w); each sums to 1.
        size: width and height of the crop, input px.

    Returns:
        (N, K), input px.
    """
    variance = torch.zeros_like(maps[:, :, 0, 0])
    for side, along in zip(size, (maps.sum(2), maps.sum(3)), strict=True):
        places = torch.arange(along.shape[-1], device=maps.device) * (side / along.shape[-1])
        mean = (along * places).sum(-1, keepdim=True)
        variance += (along * (places - mean).square()).sum(-1)
    return (variance / 2).sqrt()


@MODELS.register_module()
class PoseFixHead(HeatmapHead):
    """MMPose's ``HeatmapHead`` with PoseFix's losses and decoding.

    10,491,665 parameters with 2048 channels and 17 joints. State dicts are ``HeatmapHead``'s.

    Args:
        in_channels: channels of the last feature map.
        out_channels: K, the number of joints.
        decoder: config of :class:`~rlepose_ext.codecs.posefix_label.PoseFixLabel`.
        init_cfg: by default transposed convolutions are drawn from a truncated normal of
            standard deviation 0.01.
        **options: layers of ``HeatmapHead``: ``deconv_out_channels``, ...

    Raises:
        UserError: counts that are none, or another decoder.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        decoder: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
        **options: Any,
    ) -> None:
        check_counts('PoseFixHead', in_channels=in_channels, out_channels=out_channels)
        super().__init__(in_channels, out_channels, decoder=decoder, init_cfg=init_cfg, **options)
        if self.decoder is not None and not isinstance(self.decoder, PoseFixLabel):
            raise UserError(
                "PoseFixHead: expected decoder=dict(type='rlepose_ext.PoseFixLabel', ...), got "
                f'{decoder}.'
            )
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eps, part.momentum = EPSILON, MOMENTUM

    @property
    def default_init_cfg(self) -> list[dict]:
        """The original's, which MMPose's head asks for."""
        return [
            {'type': 'TruncNormal', 'layer': ['Conv2d', 'ConvTranspose2d'], 'std': 0.01},
            {'type': 'Constant', 'layer': 'BatchNorm2d', 'val': 1},
        ]

    def activate(self, outputs: Tensor) -> Tensor:
        """What the decoder takes: each map of logits (N, K, h, w) as a probability."""
        return outputs.flatten(2).float().softmax(-1).view_as(outputs)

    # The flip test of two decoded views, which any head with maps and a decoder can have.
    predict = SKPSHead.predict

    def decode(self, batch_outputs: Tensor) -> list[InstanceData]:
        """Poses in input px, and ``keypoint_widths`` (1, K), see :func:`widths`."""
        poses = super().decode(batch_outputs)
        found = widths(batch_outputs, self.decoder.input_size).cpu().numpy()
        for pose, each in zip(poses, found, strict=True):
            pose.keypoint_widths = each[None]
        return poses

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Losses of a batch, and its accuracy for the log.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: labels as the codec gives them.
            train_cfg: ``compute_acc=False`` leaves out the accuracy.

        Returns:
            ``loss_heatmap``, ``loss_coords``, and ``acc_pose``: the share of labelled joints
            within 0.05 crop sizes, over joint types.

        Raises:
            UserError: maps of another size than the codec's.
        """
        logits = self.forward(feats)
        heatmaps = torch.stack([sample.gt_fields.heatmaps for sample in batch_data_samples])
        if logits.shape != heatmaps.shape:
            raise UserError(
                f'PoseFixHead: maps are {tuple(logits.shape[1:])}, targets '
                f"{tuple(heatmaps.shape[1:])}, both (joints, height, width). The codec's "
                'heatmap_size is a quarter of its input_size behind ResNet and three '
                'transposed convolutions.'
            )
        persons = [sample.gt_instance_labels for sample in batch_data_samples]
        labels = torch.cat([each.keypoint_labels for each in persons])
        weights = torch.cat([each.keypoint_weights for each in persons])
        coords, _, _ = integral(logits, beta=1.0)
        losses = {
            'loss_heatmap': cross_entropy(logits, heatmaps, weights),
            'loss_coords': coordinate_loss(coords, labels, weights, logits.shape[:1:-1]),
        }
        if (train_cfg or {}).get('compute_acc', True):
            found, truth, mask = (
                each.detach().float().cpu().numpy() for each in (coords, labels, weights)
            )
            norm = np.ones((len(found), 2), np.float32)
            _, accuracy, _ = keypoint_pck_accuracy(found, truth, mask > 0, ACC_THRESHOLD, norm)
            losses['acc_pose'] = torch.tensor(float(accuracy), device=logits.device)
        return losses
