"""One head for the whole HRNet-Lite family: joints as tokens, coordinates by classification.

SimCC (Li et al., ECCV 2022, arXiv 2107.03332) makes a coordinate a classification: the axis
of W pixels is cut into W * split bins, and each joint gets two vectors of logits over the
bins of x and of y. Its head flattens each joint's map and applies one linear layer per axis.

Between the map and that layer each joint is a *token* of h * w numbers, and any block that
works on a set of tokens can stand there. Here are all places, in order; each but the first
and the last may be empty, and then the head is MMPose's SimCCHead:

    M = Conv1x1(features)                      (B, K, h, w)   one map per joint
    M = CoordAttention(M)                      coord_attention
    T = flatten(M)                             (B, K, hw)     tokens
    T = W ScaleNorm(T)                         embed          (B, K, d)
    T = SemGCN(T)                              gcn_before     (B, K, hw)
    Q = SemGCN(tokens of another map)          query          (B, K, s)
    T = GAU(T)  or  GAU(T, Q)                  gau
        ... + SemGCN(T)                        gcn_parallel
    x = Wx T,  y = Wy T                        or SemGCNs     classifiers
    x = SemGCN(x),  y = SemGCN(y)              gcn_after      (B, K, W split), (B, K, H split)

The gated attention unit lets every joint look at every other with weights from the picture;
the graph network only at those it is connected to, with weights from training. A variant of
the family is a choice of places in a config; :mod:`rlepose_ext.models.layers` has the
blocks and their equations.
"""

from collections.abc import Sequence
from typing import Any

from mmpose.models.heads import SimCCHead
from torch import Tensor, nn

from rlepose_ext.checks import check_choice, check_counts, check_positive
from rlepose_ext.errors import UserError
from rlepose_ext.models.heads.graph_query import GraphQuery, check_map
from rlepose_ext.models.heads.joint_count import check_joint_count
from rlepose_ext.models.heads.simcc_checks import check_codec, check_sizes
from rlepose_ext.models.layers.build import (
    SKELETONS,
    build_embed,
    build_gau,
    build_gcn,
    check_options,
    skeleton_graph,
)
from rlepose_ext.models.layers.coord_attention import CoordAttention
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class TokenSimCCHead(SimCCHead):
    """SimCC over joint tokens; the module's docstring has the order of the blocks.

    Without any block it is MMPose's ``SimCCHead`` without deconvolutions: same state dict,
    same outputs, 2,753,969 parameters for 32 channels at 192 x 256 and 17 joints. Loss,
    log names, decoding and flip test are MMPose's in any case.

    Args:
        in_channels: channels of the last feature map.
        out_channels: number of joints K.
        input_size: width and height of the crop, input px.
        in_featuremap_size: width and height of the last feature map, heatmap px.
        simcc_split_ratio: bins per input px.
        skeleton: for the graph networks: ``'coco'``, or edges as pairs of joint indices.
        coord_attention: ``dict(reduction=16)``.
        embed: ``dict(dim, norm=None | 'scale', bias=False)``.
        gcn_before: ``dict(hidden_dim | hidden_ratio, num_blocks=2)``; gives tokens of h * w
            numbers again, whatever ``embed`` has made of them.
        gau: ``dict(expansion | expansion_dim, key_dim=128, attention='softmax', ...)``.
        query: see :class:`GraphQuery`; needs ``gau``.
        gcn_parallel: as ``gcn_before``, added to what ``gau`` gives; needs ``gau``.
        classifiers: as ``gcn_before``: graph networks in place of the two linear layers.
        gcn_after: as ``gcn_before``, over the logits of each axis.
        loss: default ``KLDiscretLoss`` with target weights.
        decoder: config of the codec, needed to predict.
        init_cfg: default: convolution to maps and linear classifiers as in ``SimCCHead``,
            the blocks as they initialise themselves.

    Raises:
        UserError: sizes that do not fit each other or the codec, a skeleton of another joint
            count, an unknown name or option, a block that lacks the one it needs.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Sequence[int],
        in_featuremap_size: Sequence[int],
        simcc_split_ratio: float = 2.0,
        skeleton: str | Sequence[Sequence[int]] = 'coco',
        coord_attention: dict | None = None,
        embed: dict | None = None,
        gcn_before: dict | None = None,
        gau: dict | None = None,
        query: dict | None = None,
        gcn_parallel: dict | None = None,
        classifiers: dict | None = None,
        gcn_after: dict | None = None,
        loss: dict | None = None,
        decoder: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check_counts('TokenSimCCHead', in_channels=in_channels, out_channels=out_channels)
        check_positive('TokenSimCCHead', simcc_split_ratio=simcc_split_ratio)
        check_sizes('TokenSimCCHead', input_size, in_featuremap_size)
        if isinstance(skeleton, str):
            check_choice('TokenSimCCHead', 'skeleton', skeleton, SKELETONS)
        self._linear_classifiers = classifiers is None
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            input_size=tuple(input_size),
            in_featuremap_size=tuple(in_featuremap_size),
            simcc_split_ratio=simcc_split_ratio,
            deconv_out_channels=None,
            loss=loss or {'type': 'KLDiscretLoss', 'use_target_weight': True},
            decoder=decoder,
            init_cfg=init_cfg,
        )
        check_codec(self)
        joints, area = out_channels, in_featuremap_size[0] * in_featuremap_size[1]
        bins = self.mlp_head_x.out_features, self.mlp_head_y.out_features
        if gau is None and (query is not None or gcn_parallel is not None):
            raise UserError('TokenSimCCHead: query and gcn_parallel need gau=dict(...).')
        with_graph = (gcn_before, query, gcn_parallel, classifiers, gcn_after)
        needed = any(options is not None for options in with_graph)
        graph = skeleton_graph(skeleton, joints) if needed else None

        dim = area
        self.coord_attention = self.embed = self.gcn_before = self.gau = None
        self.query = self.gcn_parallel = self.gcn_after = None
        if coord_attention is not None:
            check_options('coord_attention', coord_attention, ('reduction',))
            self.coord_attention = CoordAttention(joints, **coord_attention)
        if embed is not None:
            self.embed = build_embed('embed', embed, dim)
            dim = embed['dim']
        if gcn_before is not None:
            self.gcn_before = build_gcn('gcn_before', gcn_before, dim, area, graph)
            dim = area
        if gau is not None:
            self.gau = build_gau('gau', gau, dim, external_query=query is not None)
        if query is not None:
            key_dim = gau.get('key_dim', 128)
            self.query = GraphQuery(query, joints, self.in_featuremap_size, key_dim, graph)
        if gcn_parallel is not None:
            self.gcn_parallel = build_gcn('gcn_parallel', gcn_parallel, dim, dim, graph)
        if classifiers is not None:
            self.mlp_head_x, self.mlp_head_y = (
                build_gcn('classifiers', classifiers, dim, n, graph) for n in bins
            )
        elif dim != area:
            self.mlp_head_x, self.mlp_head_y = (nn.Linear(dim, n) for n in bins)
        if gcn_after is not None:
            self.gcn_after = nn.ModuleDict(
                {
                    axis: build_gcn('gcn_after', gcn_after, n, n, graph)
                    for axis, n in zip('xy', bins, strict=True)
                }
            )

    @property
    def default_init_cfg(self) -> list[dict]:
        """SimCCHead's rules, by name: by type they would reach into the blocks."""
        conv = {'type': 'Normal', 'std': 0.001, 'override': {'name': 'final_layer'}}
        if not self._linear_classifiers:
            return [conv]
        names = [{'name': 'mlp_head_x'}, {'name': 'mlp_head_y'}]
        return [conv, {'type': 'Normal', 'std': 0.01, 'bias': 0.0, 'override': names}]

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Classify both coordinates.

        Args:
            feats: the last one, shape (B, in_channels, h, w), is the head's own; ``query``
                may read one of those before.

        Returns:
            Logits over the bins of x, shape (B, K, W * split), and of y, (B, K, H * split).

        Raises:
            UserError: a feature map of another shape than the head was built for.
        """
        width, height = self.in_featuremap_size
        expected = (self.in_channels, height, width)
        check_map('TokenSimCCHead', feats[-1], expected, 'in_channels, in_featuremap_size')
        maps = self.final_layer(feats[-1])
        if self.coord_attention is not None:
            maps = self.coord_attention(maps)
        tokens = x = maps.flatten(2)
        if self.embed is not None:
            x = self.embed(x)
        if self.gcn_before is not None:
            x = self.gcn_before(x)
        if self.gau is not None:
            query = None if self.query is None else self.query(feats, tokens)
            beside = 0 if self.gcn_parallel is None else self.gcn_parallel(x)
            x = self.gau(x, query) + beside
        logits_x, logits_y = self.mlp_head_x(x), self.mlp_head_y(x)
        if self.gcn_after is not None:
            logits_x, logits_y = self.gcn_after['x'](logits_x), self.gcn_after['y'](logits_y)
        return logits_x, logits_y

    def predict(
        self, feats: Any, batch_data_samples: list, test_cfg: dict | None = None
    ) -> list | tuple:
        """As MMPose's head, after a check of the joint count.

        Raises:
            UserError: with ``flip_test``, flip pairs of another number of joints.
        """
        test_cfg = test_cfg or {}
        if test_cfg.get('flip_test', False):
            flips = batch_data_samples[0].metainfo['flip_indices']
            check_joint_count(self, 'out_channels', 'flip_indices of the metainfo', len(flips))
        return super().predict(feats, batch_data_samples, test_cfg)

    def loss(
        self, feats: tuple[Tensor, ...], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """``loss_kpt`` and ``acc_pose`` as MMPose's head computes them.

        Raises:
            UserError: labels of another number of joints.
        """
        labels = batch_data_samples[0].gt_instance_labels.keypoint_x_labels
        check_joint_count(self, 'out_channels', 'keypoint_x_labels', labels.shape[1])
        return super().loss(feats, batch_data_samples, train_cfg or {})
