"""The head of SKPS: one heatmap and two offset maps per joint from one convolution.

The heatmap says which pixel, the offsets say where within it; see
:mod:`rlepose_ext.codecs.skps_heatmap` for the maps and
:mod:`rlepose_ext.models.losses.adaptive_wing` for the losses. Names of arguments and of the
state dict are those of ``projects/skps`` of MMPose, whose checkpoints load.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import PixelData
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.models.heads import BaseHead
from torch import Tensor, nn

from rlepose_ext.checks import check_counts
from rlepose_ext.codecs.skps_heatmap import read_peaks
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import flip_points, swap_sides
from rlepose_ext.registry import KEYPOINT_CODECS, MODELS

# A joint is right, for the log, if it is this near its label, in sizes of the map.
ACC_THRESHOLD = 0.05


@MODELS.register_module()
class SKPSHead(BaseHead):
    """Heatmaps and offset maps by convolutions of stride 1.

    ``conv_layers`` (convolution, batch norm, ReLU, each time) and ``final_layer``, whose
    channels are K heatmaps, K offsets in x, K offsets in y. With 270 channels in between
    153,384 parameters at 98 joints, 97,287 at 29.

    Args:
        in_channels: channels of the feature map.
        out_channels: K, the number of joints; the last layer has 3K channels.
        conv_out_channels: channels of each layer in between; none by default.
        conv_kernel_sizes: their kernel sizes, odd.
        final_layer: arguments of the last convolution, by default ``kernel_size=1``.
        heatmap_loss: config of the loss of the heatmaps; called with weights (N, K).
            Default ``rlepose_ext.AdaptiveWingLoss`` with target weights.
        offside_loss: config of the loss of the offsets; called twice, for x and y, with
            the labelled heatmaps (N, K, H, W) as weights. Default as before.
        decoder: config of the codec, needed to predict.
        init_cfg: by default convolutions are drawn from a normal of standard deviation
            0.001, batch norms are 1.

    Raises:
        UserError: layers do not fit each other, the feature, the labels or the codec.
    """

    _version = 2

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        conv_out_channels: Sequence[int] | None = None,
        conv_kernel_sizes: Sequence[int] | None = None,
        final_layer: dict | None = None,
        heatmap_loss: dict | None = None,
        offside_loss: dict | None = None,
        decoder: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        channels = in_channels[-1] if isinstance(in_channels, Sequence) else in_channels
        check_counts('SKPSHead', in_channels=channels, out_channels=out_channels)
        super().__init__(self.default_init_cfg if init_cfg is None else init_cfg)
        self.in_channels = channels
        self.out_channels = out_channels
        loss = {'type': 'rlepose_ext.AdaptiveWingLoss', 'use_target_weight': True}
        self.heatmap_loss = MODELS.build(heatmap_loss or loss)
        self.offside_loss = MODELS.build(offside_loss or loss)
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)
        self._check_decoder()
        self._check_sigma()

        widths, kernels = list(conv_out_channels or ()), list(conv_kernel_sizes or ())
        for width, kernel in zip(widths, kernels, strict=False):
            check_counts('SKPSHead', conv_out_channels=width, conv_kernel_sizes=kernel)
        if len(widths) != len(kernels) or not all(kernel % 2 for kernel in kernels):
            raise UserError(
                f'SKPSHead: conv_out_channels {widths} and conv_kernel_sizes {kernels} must have '
                'the same length, and kernel sizes must be odd, so that maps keep their size.'
            )
        layers: list[nn.Module] = []
        for width, kernel in zip(widths, kernels, strict=True):
            layers += [
                nn.Conv2d(channels, width, kernel, padding=kernel // 2),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.conv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(
            channels, 3 * out_channels, **{'kernel_size': 1, **(final_layer or {})}
        )
        self._check_final_layer()

    @property
    def default_init_cfg(self) -> list[dict]:
        """That of MMPose's heatmap heads."""
        return [
            {'type': 'Normal', 'layer': 'Conv2d', 'std': 0.001},
            {'type': 'Constant', 'layer': 'BatchNorm2d', 'val': 1},
        ]

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Compute the maps.

        Args:
            feats: the last one is used, shape (N, C, H, W).

        Returns:
            ``heatmap`` (N, K, H, W) and ``offset`` (N, 2K, H, W), x before y, heatmap px.
        """
        x = feats[-1]
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise UserError(
                f'SKPSHead: expected a feature map of {self.in_channels} channels, got '
                f"{tuple(x.shape)}. Set in_channels to the backbone's; an HRNet's four maps "
                "become one with neck=dict(type='FeatureMapProcessor', concat=True)."
            )
        maps = self.final_layer(self.conv_layers(x))
        return maps[:, : self.out_channels], maps[:, self.out_channels :]

    def activate(self, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """What the decoder and an exported model take: the maps as they are.

        Both are trained against labels of their own range, without a sigmoid.
        """
        return outputs

    def predict(self, feats: Any, batch_data_samples: list, test_cfg: dict | None = None) -> Any:
        """Decode poses in input px; the score is the heatmap's maximum.

        The flip test decodes both views by themselves, mirrors the second one's points in
        input px, x -> W - 1 - x, which is what mirroring the crop did, and averages points
        and scores. Averaging maps would not do: unless W is the map's width, a mirrored map
        is off the other one by a part of a pixel.

        Args:
            feats: as :meth:`forward` takes; with ``flip_test`` a list of two, from the
                crop and from the mirrored crop.
            batch_data_samples: metainfo ``flip_indices`` is read by the flip test.
            test_cfg: ``flip_test``, and ``output_heatmaps``.

        Returns:
            One ``InstanceData`` per sample with ``keypoints`` (1, K, 2) and
            ``keypoint_scores`` (1, K). With ``output_heatmaps`` a tuple of these and one
            ``PixelData`` per sample with ``heatmaps``, of the crop that is not mirrored.
        """
        test_cfg = test_cfg or {}
        flip_test = test_cfg.get('flip_test', False)
        feats, feats_flip = feats if flip_test else (feats, None)
        outputs = self.activate(self.forward(feats))
        poses = self.decode(outputs)
        if flip_test:
            pairs = batch_data_samples[0].metainfo['flip_indices']
            width = self.decoder.input_size[0]
            mirrored = self.decode(self.activate(self.forward(feats_flip)))
            for pose, other in zip(poses, mirrored, strict=True):
                points = swap_sides(flip_points(other.keypoints, width), pairs)
                pose.keypoints = (pose.keypoints + points) * 0.5
                # scores, and what else a head says of each joint
                for name in set(pose.keys()) - {'keypoints'}:
                    value = swap_sides(other[name][..., None], pairs)[..., 0]
                    setattr(pose, name, (pose[name] + value) * 0.5)
        if test_cfg.get('output_heatmaps', False):
            heatmaps = outputs if isinstance(outputs, Tensor) else outputs[0]
            return poses, [PixelData(heatmaps=maps) for maps in heatmaps.detach()]
        return poses

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, and its accuracy for the log.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: ``gt_fields`` with ``heatmaps`` (K, H, W) and
                ``displacements`` (2K, H, W), ``gt_instance_labels`` with
                ``keypoint_weights`` (1, K), as the codec and MMPose pack them.
            train_cfg: ``compute_acc=False`` leaves out the accuracy.

        Returns:
            ``loss_heatmap``, ``loss_offset``; ``acc_pose``, the share of labelled joints
            within 0.05 map sizes, averaged over joint types.
        """
        heatmap, offset = self.forward(feats)
        labels = [sample.gt_fields for sample in batch_data_samples]
        heatmap_label = torch.stack([label.heatmaps for label in labels])
        offset_label = torch.stack([label.displacements for label in labels])
        weights = torch.cat(
            [sample.gt_instance_labels.keypoint_weights for sample in batch_data_samples]
        )

        # A joint's heatmap is 0 where its weight is, unless a transform changed one of them.
        offset_weights = heatmap_label * (weights > 0)[..., None, None]
        along_x, along_y = (
            self.offside_loss(pred, label, offset_weights)
            for pred, label in zip(
                offset.split(self.out_channels, dim=1),
                offset_label.split(self.out_channels, dim=1),
                strict=True,
            )
        )
        losses = {
            'loss_heatmap': self.heatmap_loss(heatmap, heatmap_label, weights),
            'loss_offset': 0.5 * (along_x + along_y),
        }
        if (train_cfg or {}).get('compute_acc', True):
            pred, label = (heatmap, offset), (heatmap_label, offset_label)
            losses['acc_pose'] = _accuracy(pred, label, weights)
        return losses

    def _check_decoder(self) -> None:
        """A codec of heatmaps alone trains, and fails at the first validation."""
        fields = getattr(self.decoder, 'field_mapping_table', {})
        if self.decoder is not None and 'displacements' not in fields:
            raise UserError(
                f'SKPSHead: the decoder is a {type(self.decoder).__name__}, which takes no offset '
                "maps. Expected decoder=dict(type='rlepose_ext.SKPSHeatmap', ...)."
            )

    def _check_final_layer(self) -> None:
        """The last convolution must give maps of the size of its input."""
        conv = self.final_layer
        padding = (0, 0) if conv.padding == 'valid' else conv.padding
        axes = zip(conv.kernel_size, conv.stride, padding, conv.dilation, strict=False)
        if padding != 'same' and any(s != 1 or 2 * p != d * (k - 1) for k, s, p, d in axes):
            raise UserError(
                f'SKPSHead: final_layer has kernel_size {conv.kernel_size}, stride {conv.stride}, '
                f'padding {conv.padding}; expected maps of the size of its input: an odd '
                'kernel_size, stride 1 and padding=kernel_size // 2.'
            )

    def _check_sigma(self) -> None:
        """The largest weighted offset label must stay below alpha, see the loss."""
        alpha = getattr(self.offside_loss, 'alpha', math.inf)
        largest = getattr(self.decoder, 'sigma', 0.0) * math.exp(-0.5)
        if largest >= alpha:
            raise UserError(
                f'SKPSHead: sigma {self.decoder.sigma} of the codec makes weighted offset labels '
                f'up to {largest:.2f} px, the adaptive wing loss needs less than alpha = {alpha}. '
                f'Set sigma below {alpha * math.exp(0.5):.2f}, or a larger alpha in offside_loss.'
            )


def _accuracy(pred: tuple[Tensor, Tensor], label: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
    """MMPose's PCK at :data:`ACC_THRESHOLD` map sizes, between the points the maps lead to."""
    height, width = label[0].shape[2:]
    _, accuracy, _ = keypoint_pck_accuracy(
        pred=read_peaks(*pred)[0],
        gt=read_peaks(*label)[0],
        mask=(weights > 0).cpu().numpy(),
        thr=ACC_THRESHOLD,
        norm_factor=np.tile(np.float32([width, height]), (len(weights), 1)),
    )
    return torch.tensor(float(accuracy), device=weights.device)
