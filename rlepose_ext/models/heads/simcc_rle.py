"""The SimCC + RLE hybrid: classify each coordinate, and regress from the same classifiers.

The idea is MMPose_Clean's. SimCC (Li et al., ECCV 2022, arXiv 2107.03332) classifies: two
vectors of logits l per joint, one over the bins of the width, one over those of the height.
It does not know that bin 200 is nearer to bin 201 than to bin 5 except through its smoothed
labels, and it gives no error bar. RLE (Li et al., ICCV 2021, arXiv 2107.11291) regresses a
point mu with an error bar sigma, but from a pooled feature, where position is hard to keep.

Join them: let the point be the mean of the classifier's distribution (the *soft-argmax*),

    p_i = exp(l_i) / sum_j exp(l_j)        mu = sum_i p_i * i / (W s)

with W s bins on the width W, s per pixel; the same for y. This has no parameters, can be
differentiated, and lies in the crop by construction. Only sigma needs a layer of its own, one
Linear on the pooled feature, for how sure to be is a matter of the whole crop. Then

    loss = w_simcc * KL(label || p) + w_rle * RLE(mu, sigma; g)

The second term tells the classifier which wrong bins are *far* wrong, and teaches sigma.

The terms pull apart in two places. Near the border of the crop a Gaussian label is cut off,
and its mean lies inside of its peak (by 2.2 px at the very edge, with sigma 6 and s 2). And an
uncertain classifier has two peaks, with a mean between them, where nothing is. Hence a small
w_rle, 0.01, and prediction from the peak of p.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from mmpose.codecs.utils import get_simcc_normalized
from mmpose.evaluation.functional import simcc_pck_accuracy
from mmpose.models.heads import SimCCHead
from mmpose.models.utils.tta import flip_vectors
from mmpose.utils.tensor_utils import to_numpy
from torch import Tensor, nn

from rlepose_ext.checks import check_codec, check_counts, check_factors, check_positive, check_sizes
from rlepose_ext.codecs import SimCCRLELabel
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import flip_normalised, normalise, swap_sides
from rlepose_ext.models.heads.rle_head import add_sigma
from rlepose_ext.registry import MODELS


def soft_argmax(pred_x: Tensor, pred_y: Tensor) -> Tensor:
    """The mean of the distributions whose logits are given, as a point.

    Args:
        pred_x: logits over the bins of the width, shape (..., W s).
        pred_y: logits over the bins of the height, shape (..., H s).

    Returns:
        Coordinates normalised by the crop, shape (..., 2), in float32 at least: bins are
        counted in hundreds, which half precision cannot tell apart.
    """
    means = []
    for pred in (pred_x, pred_y):
        dtype = torch.promote_types(pred.dtype, torch.float32)
        bins = torch.arange(pred.shape[-1], dtype=dtype, device=pred.device)
        means.append((pred.to(dtype).softmax(-1) * bins).sum(-1))
    return normalise(torch.stack(means, dim=-1), (pred_x.shape[-1], pred_y.shape[-1]))


def drop_bad_rows(labels: Sequence[Tensor], weights: Tensor) -> tuple[list[Tensor], Tensor]:
    """Zero the label vectors of joints that cannot enter the SimCC term.

    A weight of zero is not enough: zero times nan is nan, in every weight of the model.

    Args:
        labels: x and y vectors, (N, K, W s) and (N, K, H s).
        weights: (N, K).

    Returns:
        The vectors and the weights, both zero where the weight is not positive or a vector
        is not finite; as they are elsewhere.
    """
    good = weights > 0
    for vectors in labels:
        good = good & vectors.isfinite().all(-1)
    zero = weights.new_zeros(())
    return [torch.where(good[..., None], v, zero.to(v)) for v in labels], weights.where(good, zero)


BRANCHES = ('simcc', 'rle')
LABELS = (
    'keypoint_x_labels',
    'keypoint_y_labels',
    'keypoint_labels',
    'keypoint_weights',
    'coord_weights',
)


@MODELS.register_module()
class SimCCRLEHead(SimCCHead):
    """MMPose's ``SimCCHead`` with one more layer for sigma and one more loss.

    Layers and their keys are MMPose's (``final_layer``, ``mlp_head_x``, ``mlp_head_y``, or
    ``deconv_head``), so that its checkpoints give equal vectors here; ``fc_sigma`` is new.

    Args:
        in_channels: channels of the feature map, or a list, of which the last counts.
        out_channels: K.
        input_size: width and height of the crop.
        in_featuremap_size: width and height of the feature map.
        simcc_split_ratio: s, bins per pixel.
        loss: config of the SimCC term. Default ``KLDiscretLoss`` with target weights.
        rle_loss: config of the RLE term. Default ``rlepose_ext.RLELoss`` with target weights.
        simcc_weight: factor of the SimCC term.
        rle_weight: factor of the RLE term.
        legacy_fc_coord: have the layer ``fc_coord`` that MMPose_Clean's head allocates and
            never uses, frozen, so that its state dicts load whole.
        init_cfg: default as MMPose's, but by the layers' names: a rule for every ``Linear``
            would reach into the flow of the RLE term.
        simcc: further arguments of ``SimCCHead`` (``deconv_out_channels``, ``decoder``, ...).

    Raises:
        UserError: options that are no numbers of their kind, negative weights, another codec or
            one of another size, a feature map of another size.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        input_size: tuple[int, int],
        in_featuremap_size: tuple[int, int],
        simcc_split_ratio: float = 2.0,
        loss: dict | None = None,
        rle_loss: dict | None = None,
        simcc_weight: float = 1.0,
        rle_weight: float = 0.01,
        legacy_fc_coord: bool = False,
        init_cfg: dict | list[dict] | None = None,
        **simcc: Any,
    ) -> None:
        channels = in_channels[-1] if isinstance(in_channels, Sequence) else in_channels
        check_counts('SimCCRLEHead', in_channels=channels, out_channels=out_channels)
        check_positive('SimCCRLEHead', simcc_split_ratio=simcc_split_ratio)
        check_sizes('SimCCRLEHead', input_size, in_featuremap_size)
        check_factors('SimCCRLEHead', simcc_weight=simcc_weight, rle_weight=rle_weight)
        super().__init__(
            channels,
            out_channels,
            tuple(input_size),
            tuple(in_featuremap_size),
            simcc_split_ratio,
            loss=loss or {'type': 'KLDiscretLoss', 'use_target_weight': True},
            init_cfg=init_cfg,
            **simcc,
        )
        self.simcc_weight = simcc_weight
        self.rle_weight = rle_weight
        self.loss_rle = MODELS.build(
            rle_loss or {'type': 'rlepose_ext.RLELoss', 'use_target_weight': True}
        )
        self.fc_sigma = nn.Linear(channels, 2 * out_channels)
        if legacy_fc_coord:
            self.fc_coord = nn.Linear(channels, 2 * out_channels).requires_grad_(False)
        if init_cfg is None:
            self.init_cfg = self._init_by_name()
        check_codec(self, 'input_size', 'simcc_split_ratio')
        if self.decoder is not None and not isinstance(self.decoder, SimCCRLELabel):
            raise UserError(
                f'SimCCRLEHead: the decoder is a {type(self.decoder).__name__}, which reads one of '
                "the two branches. Expected decoder=dict(type='rlepose_ext.SimCCRLELabel', ...)."
            )

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Compute logits of bins and of sigma.

        Args:
            feats: the last one is used, shape (N, C, h, w).

        Returns:
            Logits over the bins, (N, K, W s) and (N, K, H s), and logits of sigma (N, K, 2).
        """
        feature = feats[-1]
        expected = (self.in_channels, *reversed(self.in_featuremap_size))
        if feature.ndim != 4 or tuple(feature.shape[1:]) != expected:
            raise UserError(
                f'SimCCRLEHead: expected a feature map (N, C, h, w) with C, h, w = {expected}, '
                f"got {tuple(feature.shape)}. in_channels is the backbone's, in_featuremap_size "
                'its (width, height) for this input_size; the model has no neck that pools.'
            )
        pred_x, pred_y = super().forward(feats)
        sigma = self.fc_sigma(feature.mean(dim=(2, 3))).unflatten(1, (self.out_channels, 2))
        return pred_x, pred_y, sigma

    def activate(self, outputs: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """What decoder and exported models take: the sigmoid of sigma.

        Bins stay logits: their peak is the same, and MMPose scores with it as it is.
        """
        pred_x, pred_y, sigma = outputs
        return pred_x, pred_y, sigma.sigmoid()

    def predict(
        self, feats: Any, batch_data_samples: list, test_cfg: dict | None = None
    ) -> list | tuple[list, list]:
        """Decode poses in input px.

        Args:
            feats: as :meth:`forward` takes; with ``flip_test`` a list of two, from the crop
                and from the mirrored crop.
            batch_data_samples: metainfo ``flip_indices`` and ``input_size`` are read.
            test_cfg:
                - ``branch``: 'simcc' (default), the greatest bins; 'rle', the soft-argmax
                  with scores 1 - mean sigma;
                - ``sigma_scores``: the greatest bins with scores 1 - mean sigma. Default
                  false: the smaller of the two peaks, as MMPose;
                - ``flip_test``: average the vectors as MMPose does, bin i of the mirrored
                  crop on bin W s - 1 - i (mirrored pixels lie s - 1 bins farther left); of
                  branch 'rle' the points. Sigma is averaged too;
                - ``shift_coords`` (default true), of branch 'rle': mirror pixels on pixels;
                - ``output_heatmaps``, of branch 'simcc': outer products of the vectors too.

        Returns:
            One ``InstanceData`` per sample with ``keypoints``, ``keypoint_scores`` and
            ``sigma`` (1, K, 2), input px; with ``output_heatmaps`` also one ``PixelData`` each.
        """
        test_cfg = test_cfg or {}
        branch = test_cfg.get('branch', 'simcc')
        if branch not in BRANCHES:
            raise UserError(
                f'SimCCRLEHead: test_cfg.branch is {branch!r}, expected one of {BRANCHES}.'
            )
        views = feats if test_cfg.get('flip_test', False) else [feats]
        # Codecs work in numpy, which has no bfloat16.
        outputs = [
            [part.to(torch.promote_types(part.dtype, torch.float32)) for part in view]
            for view in (self.activate(self.forward(each)) for each in views)
        ]
        x, y, sigma = outputs[0]
        coords = soft_argmax(x, y)
        if len(outputs) == 2:
            meta = batch_data_samples[0].metainfo
            flip_indices = meta['flip_indices']
            x_flip, y_flip, sigma_flip = outputs[1]
            width = meta['input_size'][0] if test_cfg.get('shift_coords', True) else None
            mirrored = flip_normalised(soft_argmax(x_flip, y_flip), width)
            coords = (coords + swap_sides(mirrored, flip_indices)) * 0.5
            sigma = (sigma + swap_sides(sigma_flip, flip_indices)) * 0.5
            x_flip, y_flip = flip_vectors(x_flip, y_flip, flip_indices=flip_indices)
            x, y = (x + x_flip) * 0.5, (y + y_flip) * 0.5

        if branch == 'rle':
            poses = self.decode(torch.cat([coords, sigma], dim=-1)[:, None])
            return add_sigma(poses, sigma, self.input_size)
        sigma_scores = test_cfg.get('sigma_scores', False)
        poses = self.decode((x, y, sigma) if sigma_scores else (x, y))
        add_sigma(poses, sigma, self.input_size)
        if test_cfg.get('output_heatmaps', False):
            return self._with_heatmaps(poses, x, y)
        return poses

    def loss(
        self, feats: tuple[Tensor, ...], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Compute both terms of a batch, and the accuracy of the SimCC branch for the log.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: ``gt_instance_labels`` as
                :class:`rlepose_ext.codecs.SimCCRLELabel` and ``PackPoseInputs`` make them.
            train_cfg: not used.

        Returns:
            ``loss_simcc`` and ``loss_rle``, their factors included; ``acc_pose``, the share of
            labelled joints whose greatest bins are within 0.05 crop sizes.
        """
        pred_x, pred_y, sigma = self.forward(feats)
        instances = [sample.gt_instance_labels for sample in batch_data_samples]
        missing = [name for name in LABELS if name not in instances[0]]
        if missing:
            raise UserError(
                f'SimCCRLEHead: the samples have no {", ".join(missing)}. Give GenerateTarget '
                "encoder=dict(type='rlepose_ext.SimCCRLELabel', ...)."
            )
        x_labels, y_labels, coords, weights, coord_weights = (
            torch.cat([instance[name] for instance in instances]) for name in LABELS
        )

        gt, simcc_weights = drop_bad_rows((x_labels, y_labels), weights)
        loss_simcc = self.loss_module((pred_x, pred_y), gt, simcc_weights)
        rle_weights = (weights * coord_weights)[..., None]
        loss_rle = self.loss_rle(soft_argmax(pred_x, pred_y), sigma, coords, rle_weights)

        _, accuracy, _ = simcc_pck_accuracy(
            output=to_numpy((pred_x.float(), pred_y.float())),
            target=to_numpy([vectors.float() for vectors in gt]),
            simcc_split_ratio=self.simcc_split_ratio,
            mask=to_numpy(simcc_weights) > 0,
        )
        return {
            'loss_simcc': self.simcc_weight * loss_simcc,
            'loss_rle': self.rle_weight * loss_rle,
            'acc_pose': torch.tensor(float(accuracy), device=coords.device),
        }

    def _init_by_name(self) -> list[dict]:
        """MMPose's numbers; a deconvolutional part is a head with rules of its own."""
        linear = [
            {'name': name}
            for name in ('mlp_head_x', 'mlp_head_y', 'fc_sigma', 'fc_coord')
            if hasattr(self, name)
        ]
        rules = [{'type': 'Normal', 'std': 0.01, 'bias': 0.0, 'override': linear}]
        if getattr(self, 'final_layer', None) is not None:
            rules.append({'type': 'Normal', 'std': 0.001, 'override': [{'name': 'final_layer'}]})
        return rules

    def _with_heatmaps(self, poses: list, pred_x: Tensor, pred_y: Tensor) -> tuple[list, list]:
        """Add the vectors, scaled for drawing as MMPose scales them, and their outer products."""
        x, y = (
            get_simcc_normalized(pred, sigma).detach()
            for pred, sigma in zip((pred_x, pred_y), self.decoder.sigma, strict=True)
        )
        for pose, pose_x, pose_y in zip(poses, to_numpy(x), to_numpy(y), strict=True):
            pose.keypoint_x_labels, pose.keypoint_y_labels = pose_x[None], pose_y[None]
        return poses, [PixelData(heatmaps=maps) for maps in y[..., None] * x[..., None, :]]
