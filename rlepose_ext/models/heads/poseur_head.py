"""Poseur: a pose is regressed roughly, then refined joint by joint where it looks at the picture.

Mao, Ge, Shen, Tian, Wang, Wang, van den Hengel, *Poseur: Direct Human Pose Regression with
Transformers*, ECCV 2022, arXiv 2201.07412. What the paper leaves open is as the authors' code does
it.

Regression from the pooled feature is fast and needs no maps, but pooling throws away where things
are: the network cannot look again at the elbow that it has just found. Poseur can, in three steps.

1. *A coarse pose.* :class:`.RLEHead` on the average of the coarsest map.
2. *A query for each joint.* It says where the joint may be (its coarse position, in sines of many
   wave lengths) and which joint it is (a learnt embedding).
3. *Six decoder layers.* In each, the joints look at each other (self-attention), then each at the
   picture around its present position (:mod:`rlepose_ext.models.layers.deformable_attention`), and
   moves:

       r_l  = sigmoid(logit(r_(l-1)) + step_l(h_l))             where layer l + 1 looks
       mu_l = r_l + correction_l(h_l)                           what layer l answers

   r_0 is the coarse position and h_l the query after layer l. A step stays in the crop, the
   correction need not: joints may lie outside.

Each layer answers a position and a sigma, and each has the loss of residual log-likelihood
estimation (:mod:`rlepose_ext.models.losses.rle`). The coarse pose has one flow, all layers share
another; the priors of both have their mean at (0.5, 0.5).

The decoder is trained to repair poses, and the coarse one is soon as good as it gets. So in
training it gets three more copies of it, in which a quarter of the joints is displaced
(:func:`noisy_copies`). Each copy is a group: its joints see each other and no others.

Coordinates and sigmas are normalised by the crop.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmpose.models.heads import BaseHead
from torch import Tensor, nn
from torch.nn import functional as F

from rlepose_ext.checks import check_choice, check_counts, check_rates
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import flip_normalised, swap_sides
from rlepose_ext.models.heads.rle_head import RLEHead, activate, add_sigma, pose_accuracy
from rlepose_ext.models.layers.deformable_attention import PostValueDeformableAttention
from rlepose_ext.models.losses.rle import out_of_range
from rlepose_ext.registry import KEYPOINT_CODECS, MODELS

LOSS = {
    'type': 'rlepose_ext.RLELoss',
    'use_target_weight': True,
    'q_distribution': 'official',
    'prior_mean': 0.5,
}
# Longest wave of an encoding: 10000 times 1 crop.
TEMPERATURE = 10000.0
# Positions are moved in logits, which are infinite at the borders of the crop.
MARGIN = 1e-5
NOISE_STD = 0.2**0.5
MAX_NOISE = 1.0
# Displaced joints stay this near the crop, in crop sizes.
MAX_OUTSIDE = 0.7
FUSIONS = ('default', 'type2')


def sine_encode(positions: Tensor, dim: int) -> Tensor:
    """Turn positions into sines and cosines of ``dim / 2`` wave lengths.

    Entries 2i and 2i + 1 are sine and cosine of ``2 pi p / 10000^(2i / dim)`` (Vaswani et al. 2017,
    section 3.5, with positions in turns of the circle as DETR has them).

    Args:
        positions: p, normalised; shape (...).
        dim: numbers of a position, even.

    Returns:
        (..., dim).
    """
    powers = torch.arange(0, dim, 2, dtype=positions.dtype, device=positions.device) / dim
    angles = 2 * torch.pi * positions[..., None] / TEMPERATURE**powers
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def encode_pixels(feature: Tensor) -> Tensor:
    """The encoding of each pixel's centre, rows in the first half of the channels, columns second.

    Args:
        feature: (N, C, H, W), of which only the shape, type and device are used.

    Returns:
        (C, H, W).
    """
    _, channels, height, width = feature.shape
    like = {'dtype': torch.float32, 'device': feature.device}
    rows = sine_encode((torch.arange(height, **like) + 0.5) / height, channels // 2)
    columns = sine_encode((torch.arange(width, **like) + 0.5) / width, channels // 2)
    rows, columns = rows[:, None].expand(-1, width, -1), columns.expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).permute(2, 0, 1).to(feature.dtype)


def logit(positions: Tensor) -> Tensor:
    """The inverse of the sigmoid; positions are clamped to 1e-5 and 1 - 1e-5."""
    positions = positions.clamp(MARGIN, 1 - MARGIN)
    return torch.log(positions / (1 - positions))


def noisy_copies(coords: Tensor, copies: int, share: float = 0.25) -> Tensor:
    """Copies of poses, in which some joints are displaced at random.

    Of all joints of all copies ``copies * floor(share * K)`` are displaced, 12 of 51 at 17 joints
    and three copies; the same ones in every pose of the batch, drawn anew in every call. The
    displacement is normal in x and y with variance 0.2, at most 1, and leads to -0.7 to 1.7 at
    most.

    Args:
        coords: (N, K, 2), normalised.
        copies: of each pose.
        share: of the joints.

    Returns:
        (N, copies * K, 2).
    """
    joints = copies * coords.shape[1]
    number = copies * int(share * coords.shape[1])
    chosen = torch.randperm(joints, device=coords.device)[:number]
    moved = torch.zeros(joints, dtype=torch.bool, device=coords.device).index_fill(0, chosen, True)
    repeated = coords.repeat(1, copies, 1)
    noise = (torch.randn_like(repeated) * NOISE_STD).clamp(-MAX_NOISE, MAX_NOISE)
    displaced = (repeated + noise).clamp(-MAX_OUTSIDE, 1 + MAX_OUTSIDE)
    return torch.where(moved[:, None], displaced, repeated)


def joint_certainty(sigma: Tensor) -> Tensor:
    """How much a joint counts in 'type2': ``0.7 prod over d of (1 - exp(-0.2 / sigma_d))``.

    Args:
        sigma: (..., 2).

    Returns:
        (..., 1), from 0 to 0.7.
    """
    return 0.7 * (1 - torch.exp(-0.2 / sigma)).prod(-1, keepdim=True)


class DecoderLayer(nn.Module):
    """Self-attention between joints, deformable attention to the maps, and two linear layers.

    With what reads the answer off the query, 1,416,838 parameters at 256 channels.

    Args:
        dim: C, channels.
        heads: of both attentions.
        levels: number of maps.
        points: samples of a head on each map.
        hidden: width between the linear layers.
        dropout: drop rate of attentions and linear layers.
    """

    def __init__(
        self, dim: int, heads: int, levels: int, points: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.cross_attention = PostValueDeformableAttention(dim, heads, levels, points)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.step, self.correction = _mlp(dim), _mlp(dim)
        # No activation between: a linear function in three factors, as the authors train it.
        self.sigma = nn.Sequential(nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, 2))
        for linear in (self.linear1, self.linear2, *self.sigma):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        # The decoder starts as the coarse pose, with sigma near a half.
        nn.init.xavier_uniform_(self.sigma[-1].weight, gain=0.01)
        for last in (self.step[-1], self.correction[-1]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self, query: Tensor, joint_embed: Tensor, reference: Tensor, maps: Sequence[Tensor]
    ) -> Tensor:
        """Update the queries.

        Args:
            query: (N, G K, C), G groups of K joints.
            joint_embed: (K, C).
            reference: (N, G K, 2), normalised.
            maps: (N, C, h, w) each.

        Returns:
            (N, G K, C).
        """
        joints = len(joint_embed)
        group = query.unflatten(1, (-1, joints)).flatten(0, 1)  # (N G, K, C)
        which = group + joint_embed
        seen, _ = self.self_attention(which, which, group, need_weights=False)
        group = self.norm1(group + self.dropout(seen))
        query = group.view(query.shape)
        which = (group + joint_embed).view(query.shape)
        query = self.norm2(query + self.dropout(self.cross_attention(which, reference, maps)))
        hidden = self.dropout(F.relu(self.linear1(query)))
        return self.norm3(query + self.dropout(self.linear2(hidden)))


@MODELS.register_module()
class PoseurHead(BaseHead):
    """Coordinates and sigmas from four feature maps by coarse regression and refinement.

    8,655,720 parameters with the default options and 17 joints, and two flows of 53,784, which are
    used in training only. The maps are those of ``ChannelMapper``, finest first.

    Args:
        in_channels: C, channels of each map; a multiple of 4 and of ``num_heads``.
        num_joints: K.
        num_levels: number of maps.
        num_layers: decoder layers.
        num_heads: of the attentions.
        num_points: samples of a head on each map.
        feedforward_channels: width between the linear layers of a decoder layer.
        dropout: drop rate in the decoder.
        noisy_groups: copies of the coarse pose with displaced joints, in training.
        loss: config of the losses of the coarse pose and of the decoder, each with a flow of its
            own. Default ``rlepose_ext.RLELoss`` with target weights, Q of RLE's authors and the
            flow's prior at 0.5.
        decoder: config of the codec, needed to predict.
        init_cfg: of MMEngine; layers have their initial values without it.

    Raises:
        UserError: a number that is none, or that does not fit the others; maps that do not fit.
    """

    def __init__(
        self,
        in_channels: int,
        num_joints: int,
        num_levels: int = 4,
        num_layers: int = 6,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
        noisy_groups: int = 3,
        loss: dict | None = None,
        decoder: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        counts = {
            'in_channels': in_channels,
            'num_joints': num_joints,
            'num_levels': num_levels,
            'num_layers': num_layers,
            'num_heads': num_heads,
            'num_points': num_points,
            'feedforward_channels': feedforward_channels,
        }
        check_counts('PoseurHead', **counts)
        check_counts('PoseurHead', least=0, noisy_groups=noisy_groups)
        check_rates('PoseurHead', dropout=dropout)
        if in_channels % 4 or in_channels % num_heads:
            raise UserError(
                f'PoseurHead: expected in_channels to be a multiple of 4 and of num_heads '
                f'({num_heads}), got {in_channels}.'
            )
        self.in_channels = in_channels
        self.num_joints = num_joints
        self.num_levels = num_levels
        self.noisy_groups = noisy_groups
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)
        # The first loss of a head is that of the sigmas which it predicts.
        self.loss_module = MODELS.build(loss or LOSS)
        self.coarse = RLEHead(in_channels, num_joints, norm_linear=True, loss=loss or LOSS)
        self.level_embed = nn.Parameter(torch.randn(num_levels, in_channels))
        self.joint_embed = nn.Parameter(torch.empty(num_joints, in_channels))
        self.query_proj = nn.Linear(2 * in_channels, in_channels)
        self.query_norm = nn.LayerNorm(in_channels)
        self.layers = nn.ModuleList(
            DecoderLayer(
                in_channels, num_heads, num_levels, num_points, feedforward_channels, dropout
            )
            for _ in range(num_layers)
        )
        nn.init.xavier_uniform_(self.joint_embed)
        nn.init.xavier_uniform_(self.query_proj.weight)
        nn.init.zeros_(self.query_proj.bias)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """The answer of the last layer.

        Args:
            feats: ``num_levels`` maps (N, C, h, w), finest first.

        Returns:
            (x, y, logit of sigma x, logit of sigma y) per joint, shape (N, K, 4).
        """
        return self.refine(feats, self.find_coarse(feats)[..., :2])[-1]

    def activate(self, outputs: Tensor) -> Tensor:
        """What the decoder and an exported model take: see :func:`.rle_head.activate`."""
        return activate(outputs)

    def find_coarse(self, feats: Sequence[Tensor]) -> Tensor:
        """The coarse pose, as :meth:`forward` gives the refined one."""
        self._check(feats)
        return self.coarse((feats[-1].mean((2, 3)),))

    def refine(self, feats: Sequence[Tensor], coords: Tensor) -> list[Tensor]:
        """Let the decoder move joints to where they are.

        Args:
            feats: as :meth:`forward` takes.
            coords: (N, G K, 2), G poses for each sample.

        Returns:
            The answer of each layer, (N, G K, 4) as of :meth:`forward`.
        """
        maps = [
            feature + (encode_pixels(feature) + embed[:, None, None])
            for feature, embed in zip(feats, self.level_embed, strict=True)
        ]
        # Positions stay float32 at least, whatever type the network has.
        reference = coords.to(torch.promote_types(coords.dtype, torch.float32))
        query = self.encode_joints(reference)
        answers = []
        for layer in self.layers:
            query = layer(query, self.joint_embed, reference, maps)
            reference = torch.sigmoid(logit(reference) + layer.step(query))
            coords = reference + layer.correction(query)
            answers.append(torch.cat([coords, layer.sigma(query).to(coords.dtype)], dim=-1))
        return answers

    def encode_joints(self, coords: Tensor) -> Tensor:
        """Queries of joints: their positions as they are, and clipped to the crop, x before y.

        Args:
            coords: (N, Q, 2).

        Returns:
            (N, Q, C).
        """
        both = torch.cat([coords, coords.clamp(0, 1)], dim=-1)
        waves = sine_encode(both, self.in_channels // 2).flatten(2)
        return self.query_norm(self.query_proj(waves.to(self.query_proj.weight.dtype)))

    def predict(self, feats: Any, batch_data_samples: list, test_cfg: dict | None = None) -> list:
        """Decode poses of the last layer, in input px, with scores 1 - mean sigma.

        Args:
            feats: as :meth:`forward` takes; with ``flip_test`` a list of two, from the
                crop and from the mirrored crop.
            batch_data_samples: metainfo ``flip_indices`` and ``input_size`` are read.
            test_cfg: ``flip_test``; ``shift_coords`` (default true): mirror pixels on pixels, not
                a pixel off; ``flip_fusion``: 'default', the mean of both views, or 'type2', which
                weighs a joint in each by the fifth power of its :func:`joint_certainty` and gives
                it their mean as score.

        Returns:
            One ``InstanceData`` per sample with ``keypoints``, ``keypoint_scores`` and
            ``sigma`` (1, K, 2), input px.
        """
        test_cfg = test_cfg or {}
        fusion = test_cfg.get('flip_fusion', 'default')
        check_choice('PoseurHead', 'flip_fusion', fusion, FUSIONS)
        flip_test = test_cfg.get('flip_test', False)
        feats, feats_flip = feats if flip_test else (feats, None)
        outputs = self.activate(self.forward(feats))
        scores = None
        if flip_test:
            metainfo = batch_data_samples[0].metainfo
            width = metainfo['input_size'][0] if test_cfg.get('shift_coords', True) else None
            mirrored = flip_normalised(self.activate(self.forward(feats_flip)), width)
            mirrored = swap_sides(mirrored, metainfo['flip_indices'])
            outputs, scores = fuse_views(outputs, mirrored, fusion)
        # Codecs work in numpy, which has no bfloat16.
        dtype = torch.promote_types(outputs.dtype, torch.float32)
        poses = self.decode(outputs[:, None].to(dtype))
        if scores is not None:
            for pose, values in zip(poses, scores.float().cpu().numpy(), strict=True):
                pose.keypoint_scores = values[None]
        return add_sigma(poses, outputs[..., 2:], self.decoder.input_size)

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, and the accuracy of the last layer for the log.

        The coarse pose learns by its own loss alone: the decoder gets it detached.

        Args:
            feats: as :meth:`forward` takes.
            batch_data_samples: ``gt_instance_labels`` with ``keypoint_labels`` (1, K, 2),
                normalised, and ``keypoint_weights`` (1, K), as stock codecs pack them.
            train_cfg: not used.

        Returns:
            ``loss_coarse`` and ``loss_0``, ``loss_1``, ... of the layers, each the mean over all
            joints, labelled or not; ``acc_pose``, the share of labelled joints within 0.05 crop
            sizes, averaged over joint types.
        """
        instances = [sample.gt_instance_labels for sample in batch_data_samples]
        labels = torch.cat([instance.keypoint_labels for instance in instances])
        weights = torch.cat([instance.keypoint_weights for instance in instances])

        coarse = self.find_coarse(feats)
        losses = {'loss_coarse': mean_loss(self.coarse.loss_module, coarse, labels, weights)}
        coords = coarse[..., :2].detach()
        groups = self.noisy_groups if self.training else 0
        if groups:
            coords = torch.cat([coords, noisy_copies(coords, groups)], dim=1)
        # The coarse loss has counted labels out of range; the others leave them out.
        ignored = out_of_range(labels)
        target = labels.masked_fill(ignored[..., None], 0).repeat(1, 1 + groups, 1)
        weight = weights.masked_fill(ignored, 0).repeat(1, 1 + groups)
        answers = self.refine(feats, coords)
        for layer, answer in enumerate(answers):
            losses[f'loss_{layer}'] = mean_loss(self.loss_module, answer, target, weight)
        final = answers[-1][:, : self.num_joints, :2]
        losses['acc_pose'] = pose_accuracy(final, labels, weights)
        return losses

    def _check(self, feats: Sequence[Tensor]) -> None:
        found = [tuple(feature.shape) for feature in feats]
        if len(found) != self.num_levels or any(
            len(shape) != 4 or shape[1] != self.in_channels for shape in found
        ):
            raise UserError(
                f'PoseurHead: expected {self.num_levels} maps (N, {self.in_channels}, h, w), got '
                f'{", ".join(map(str, found))}. out_indices of the backbone, in_channels and '
                'out_channels of the neck ChannelMapper, and num_levels and in_channels of the '
                'head must fit each other.'
            )


def mean_loss(loss: nn.Module, answer: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """RLE's loss divided by the number of joints, which RLE itself sums.

    Args:
        loss: :class:`rlepose_ext.models.losses.RLELoss`.
        answer: (N, Q, 4) as of :meth:`PoseurHead.forward`.
        target: (N, Q, 2).
        weight: (N, Q), or (N, Q, 2).
    """
    return loss(answer[..., :2], answer[..., 2:], target, weight) / answer.shape[1]


def fuse_views(
    outputs: Tensor, mirrored: Tensor, fusion: str = 'default'
) -> tuple[Tensor, Tensor | None]:
    """The poses of a crop and of the mirrored crop as one.

    Args:
        outputs: (x, y, sigma x, sigma y) per joint, shape (N, K, 4).
        mirrored: the same of the mirrored crop, mirrored back.
        fusion: 'default' or 'type2', see :meth:`PoseurHead.predict`.

    Returns:
        (N, K, 4), and the scores (N, K) of 'type2'.
    """
    if fusion == 'default':
        return (outputs + mirrored) * 0.5, None
    ours, theirs = joint_certainty(outputs[..., 2:]), joint_certainty(mirrored[..., 2:])
    a, b = ours**5 + 1e-10, theirs**5 + 1e-10
    return (a * outputs + b * mirrored) / (a + b), ((ours + theirs) * 0.5).squeeze(-1)


def _mlp(dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 2)
    )
