"""The regression head of residual log-likelihood estimation.

One linear layer on the pooled feature gives four numbers per joint: where it is, and how
far off that may be. Li et al., *Human Pose Regression with Residual Log-likelihood
Estimation*, ICCV 2021, arXiv 2107.11291; :mod:`rlepose_ext.models.losses.rle` tells
how the second pair is learnt without a label.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.models.heads import BaseHead
from torch import Tensor, nn

from rlepose_ext.checks import check_counts
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import flip_normalised, swap_sides
from rlepose_ext.models.losses.rle import out_of_range
from rlepose_ext.registry import KEYPOINT_CODECS, MODELS

# A joint is right, for the log, if it is this near its label, in crop sizes.
ACC_THRESHOLD = 0.05
MIN_FEATURE_NORM = 1e-6


def join_fc(coord: Tensor, sigma: Tensor) -> Tensor:
    """Interleave the rows of a split head's layers into those of the joint layer.

    Rows 2k, 2k+1 of both become rows 4k .. 4k+3: x, y, sigma x, sigma y of joint k.

    Args:
        coord: weight (2K, C) or bias (2K,) of ``fc_coord``.
        sigma: the same of ``fc_sigma``.

    Returns:
        Weight (4K, C) or bias (4K,) of ``fc``.
    """
    pairs = [rows.unflatten(0, (-1, 2)) for rows in (coord, sigma)]
    return torch.cat(pairs, dim=1).flatten(0, 1)


def split_fc(fc: Tensor) -> tuple[Tensor, Tensor]:
    """Take the joint layer's rows apart; the inverse of :func:`join_fc`."""
    coord, sigma = fc.unflatten(0, (-1, 4)).split(2, dim=1)
    return coord.flatten(0, 1), sigma.flatten(0, 1)


def rename_old_keys(state_dict: dict[str, Any], prefix: str = '') -> None:
    """Rename ``<prefix>loss.*`` to ``<prefix>loss_module.*``, in place and in order.

    Checkpoints from before MMPose 1.0 have the flow under the older name.
    """
    old = f'{prefix}loss.'
    for key in list(state_dict):
        value = state_dict.pop(key)
        if key.startswith(old):
            key = f'{prefix}loss_module.{key.removeprefix(old)}'
        state_dict[key] = value


def activate(outputs: Tensor) -> Tensor:
    """Turn the logits of sigma into sigma: the sigmoid of the last two columns.

    Args:
        outputs: (x, y, logit of sigma x, logit of sigma y) per joint, shape (..., 4).

    Returns:
        (x, y, sigma x, sigma y), coordinates and scales in crop sizes, same shape.
    """
    return torch.cat([outputs[..., :2], outputs[..., 2:].sigmoid()], dim=-1)


@MODELS.register_module()
class RLEHead(BaseHead):
    """Coordinates and their uncertainty by direct regression.

    Default layout and state dict are those of MMPose's class of this name: ``fc`` with
    rows (x, y, sigma x, sigma y) per joint, and ``loss_module.flow_model.*``. Checkpoints
    go both ways. 87,108 parameters at 1,280 channels and 17 joints, besides the flow,
    which is used in training only.

    Args:
        in_channels: channels of the pooled feature.
        num_joints: K.
        loss: config of the loss. Default ``rlepose_ext.RLELoss`` with target weights.
        decoder: config of the codec, needed to predict.
        init_cfg: by default the layers of the head are drawn from a normal of standard
            deviation 0.01, biases 0. The flow keeps its own, much smaller initialisation,
            which a rule for every ``Linear`` would overwrite.
        split: two layers ``fc_coord`` and ``fc_sigma``, which a quantiser can give
            different ranges. Same function up to rounding: see :func:`join_fc`. Checkpoints
            of the joint layer load.
        norm_linear: the paper's repository: coordinates from the direction of the feature
            alone, ``W x / |x| + b``; implies ``split``. There the labels are x / W - 0.5,
            so that an output of 0 is the middle of the crop. The loss sees differences of
            outputs and labels only, and a shift of both is no change: we train on stock
            labels x / W and let the bias start at 0.5, the middle again.

    Raises:
        UserError: in_channels or num_joints are no counts, or features are not pooled.
    """

    _version = 2

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_joints: int,
        loss: dict | None = None,
        decoder: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
        split: bool = False,
        norm_linear: bool = False,
    ) -> None:
        channels = in_channels[-1] if isinstance(in_channels, Sequence) else in_channels
        check_counts('RLEHead', in_channels=channels, num_joints=num_joints)
        self.split = split or norm_linear
        self.norm_linear = norm_linear
        super().__init__(self.default_init_cfg if init_cfg is None else init_cfg)
        self.in_channels = channels
        self.num_joints = num_joints
        self.loss_module = MODELS.build(
            loss or {'type': 'rlepose_ext.RLELoss', 'use_target_weight': True}
        )
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)
        if self.split:
            self.fc_coord = nn.Linear(self.in_channels, num_joints * 2)
            self.fc_sigma = nn.Linear(self.in_channels, num_joints * 2)
        else:
            self.fc = nn.Linear(self.in_channels, num_joints * 4)
        self.register_load_state_dict_pre_hook(_rename_before_loading)

    @property
    def default_init_cfg(self) -> list[dict]:
        """Rules by the layers' names: a rule by type would reach into the flow."""
        normal = {'type': 'Normal', 'std': 0.01, 'bias': 0.0}
        if not self.split:
            return [{**normal, 'override': {'name': 'fc'}}]
        coord = {**normal, 'name': 'fc_coord', 'bias': 0.5 if self.norm_linear else 0.0}
        return [{**normal, 'override': [coord, {'name': 'fc_sigma'}]}]

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Regress coordinates and sigma logits.

        Args:
            feats: the last one is used, pooled: shape (N, C) or (N, C, 1, 1).

        Returns:
            (x, y, logit of sigma x, logit of sigma y) per joint, shape (N, K, 4);
            coordinates normalised by the crop.
        """
        x = torch.flatten(feats[-1], 1)
        if x.shape[1] != self.in_channels:
            raise UserError(
                f'RLEHead: expected pooled features of {self.in_channels} channels, got '
                f"{tuple(feats[-1].shape)}. Set in_channels to the backbone's, and "
                "neck=dict(type='GlobalAveragePooling') in the model."
            )
        if torch.is_autocast_enabled(x.device.type):
            # bfloat16 has 8 bits for a coordinate, half a pixel of 192
            with torch.autocast(x.device.type, enabled=False):
                return self._regress(x.float())
        return self._regress(x)

    def _regress(self, x: Tensor) -> Tensor:
        if not self.split:
            return self.fc(x).unflatten(1, (self.num_joints, 4))
        direction = _normalised(x) if self.norm_linear else x
        pairs = (self.fc_coord(direction), self.fc_sigma(x))
        return torch.cat([pair.unflatten(1, (self.num_joints, 2)) for pair in pairs], dim=-1)

    def activate(self, outputs: Tensor) -> Tensor:
        """What the decoder and an exported model take: see :func:`activate`."""
        return activate(outputs)

    def predict(self, feats: Any, batch_data_samples: list, test_cfg: dict | None = None) -> list:
        """Decode poses in input px with scores 1 - mean sigma.

        Args:
            feats: as :meth:`forward` takes; with ``flip_test`` a list of two, from the
                crop and from the mirrored crop.
            batch_data_samples: metainfo ``flip_indices`` and ``input_size`` are read.
            test_cfg: ``flip_test``, and ``shift_coords`` (default true): mirror pixels on
                pixels, not a pixel off.

        Returns:
            One ``InstanceData`` per sample with ``keypoints``, ``keypoint_scores`` and
            ``sigma`` (1, K, 2), input px.
        """
        test_cfg = test_cfg or {}
        if test_cfg.get('flip_test', False):
            feats, feats_flip = feats
            metainfo = batch_data_samples[0].metainfo
            width = metainfo['input_size'][0] if test_cfg.get('shift_coords', True) else None
            mirrored = flip_normalised(self.activate(self.forward(feats_flip)), width)
            mirrored = swap_sides(mirrored, metainfo['flip_indices'])
            outputs = (self.activate(self.forward(feats)) + mirrored) * 0.5
        else:
            outputs = self.activate(self.forward(feats))
        # Codecs work in numpy, which has no bfloat16.
        dtype = torch.promote_types(outputs.dtype, torch.float32)
        poses = self.decode(outputs[:, None].to(dtype))
        return add_sigma(poses, outputs[..., 2:], self.decoder.input_size)

    def loss(
        self, feats: tuple[Tensor, ...], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch, and its accuracy for the log.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: ``gt_instance_labels`` with ``keypoint_labels`` (1, K, 2),
                normalised, and ``keypoint_weights`` (1, K), as stock codecs pack them.
            train_cfg: not used.

        Returns:
            ``loss_kpt``; ``acc_pose``, the share of labelled joints within 0.05 crop
            sizes, averaged over joint types.
        """
        outputs = self.forward(feats)
        instances = [sample.gt_instance_labels for sample in batch_data_samples]
        labels = torch.cat([instance.keypoint_labels for instance in instances])
        weights = torch.cat([instance.keypoint_weights for instance in instances])

        coords, sigma = outputs[..., :2], outputs[..., 2:]
        return {
            'loss_kpt': self.loss_module(coords, sigma, labels, weights[..., None]),
            'acc_pose': pose_accuracy(coords, labels, weights),
        }


def pose_accuracy(coords: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """MMPose's PCK at :data:`ACC_THRESHOLD` crop sizes, over labels that enter the loss."""
    _, accuracy, _ = keypoint_pck_accuracy(
        # numpy has no bfloat16
        pred=coords.detach().float().cpu().numpy(),
        gt=labels.detach().float().cpu().numpy(),
        mask=((weights > 0) & ~out_of_range(labels)).cpu().numpy(),
        thr=ACC_THRESHOLD,
        norm_factor=np.ones((len(coords), 2), dtype=np.float32),
    )
    return torch.tensor(float(accuracy), device=labels.device)


def _rename_before_loading(module: nn.Module, state_dict: dict, prefix: str, *_: Any) -> None:
    rename_old_keys(state_dict, prefix)
    if module.split and not module.norm_linear:
        for kind in ('weight', 'bias'):
            if f'{prefix}fc.{kind}' in state_dict:
                coord, sigma = split_fc(state_dict.pop(f'{prefix}fc.{kind}'))
                state_dict[f'{prefix}fc_coord.{kind}'] = coord
                state_dict[f'{prefix}fc_sigma.{kind}'] = sigma


def _normalised(x: Tensor) -> Tensor:
    """``x / |x|`` by rows; the norm in float32 at least, a square overflows float16."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=dtype)
    return (x / norm.clamp(min=MIN_FEATURE_NORM)).to(x.dtype)


def add_sigma(
    poses: Sequence[InstanceData], sigma: Tensor, input_size: Sequence[float]
) -> Sequence[InstanceData]:
    """Give each pose the field ``sigma``, (1, K, 2) in input px.

    MMPose's estimator takes ``keypoints`` on to image px and leaves other fields as they are;
    :class:`rlepose_ext.inference.PoseEstimator` takes sigma along.

    Args:
        poses: N decoded poses, changed in place.
        sigma: (N, K, 2) in crop sizes.
        input_size: width and height of the crop.

    Returns:
        ``poses``.
    """
    pixels = (sigma.detach().float() * sigma.new_tensor(list(input_size)).float()).cpu().numpy()
    for pose, values in zip(poses, pixels, strict=True):
        pose.set_field(values[None], 'sigma')
    return poses
