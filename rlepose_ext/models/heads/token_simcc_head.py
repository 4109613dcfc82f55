"""One head for the whole HRNet-Lite family: joints as tokens, coordinates by classification.

SimCC (Li et al., ECCV 2022, arXiv 2107.03332) makes a coordinate a classification: the axis
of W pixels is cut into W * split bins, and each joint gets two vectors of logits over the
bins of x and of y. Its head flattens each joint's map and applies one linear layer per axis.

Between the map and that layer each joint is a *token* of h * w numbers, and any block that
works on a set of tokens can stand there:

    M = Conv1x1(features)                      (B, K, h, w)   one map per joint
    T = flatten(M)                             (B, K, hw)     tokens
    T = block(T) for each of blocks            (B, K, d)
    x = classifier_x(T),  y = classifier_y(T)  (B, K, W split), (B, K, H split)
    x = block(x),  y = block(y)                for each of logit_blocks

Without blocks this is MMPose's SimCCHead. :mod:`rlepose_ext.models.heads.token_blocks` has the
blocks: gated attention (GAU), its cross-attention form (CrossGAU), semantic graph networks
(SemGCN), coordinate attention, projections, and blocks in parallel.

The gated attention unit lets every joint look at every other with weights from the picture;
the graph network only at those it is connected to, with weights from training. A variant
of the family is a list of blocks in a config; :mod:`rlepose_ext.models.layers` has their
equations.
"""

from collections.abc import Sequence
from typing import Any

from mmpose.models.heads import SimCCHead
from torch import Tensor, nn

from rlepose_ext.checks import check_choice, check_codec, check_counts, check_positive, check_sizes
from rlepose_ext.models.heads.token_blocks import (
    CrossGAU,
    Parallel,
    ScaleNormLinear,
    TokenCoordAttention,
    TokenGAU,
    TokenLinear,
    Tokens,
    TokenSemGCN,
    build_block,
    build_blocks,
    check_map,
)
from rlepose_ext.models.layers.skeleton import SKELETONS, Skeleton
from rlepose_ext.registry import MODELS

# For each block the names under which earlier state dicts have its parts.
OLD_PLACES = {
    TokenCoordAttention: {'coord_attention.': ''},
    TokenLinear: {'embed.': ''},
    ScaleNormLinear: {'embed.': ''},
    TokenSemGCN: {'gcn_before.': ''},
    TokenGAU: {'gau.': ''},
    CrossGAU: {'gau.': '', 'query.': 'query.'},
    Parallel: {'gau.': 'blocks.0.', 'gcn_parallel.': 'blocks.1.'},
}


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
        blocks: configs of the blocks over the tokens.
        classifier: config of the block that maps a token to the bins of an axis; one is built
            for x and one for y.
        logit_blocks: configs of blocks over the logits of an axis, likewise built twice.
        loss: default ``KLDiscretLoss`` with target weights.
        decoder: config of the codec, needed to predict.
        init_cfg: default: convolution to maps and linear classifiers as in ``SimCCHead``,
            the blocks as they initialise themselves.

    Raises:
        UserError: sizes that do not fit each other or the codec, a skeleton of another joint
            count, an unknown block or option.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Sequence[int],
        in_featuremap_size: Sequence[int],
        simcc_split_ratio: float = 2.0,
        skeleton: Skeleton = 'coco',
        blocks: Sequence[dict] = (),
        classifier: dict | None = None,
        logit_blocks: Sequence[dict] = (),
        loss: dict | None = None,
        decoder: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check_counts('TokenSimCCHead', in_channels=in_channels, out_channels=out_channels)
        check_positive('TokenSimCCHead', simcc_split_ratio=simcc_split_ratio)
        check_sizes('TokenSimCCHead', input_size, in_featuremap_size)
        if isinstance(skeleton, str):
            check_choice('TokenSimCCHead', 'skeleton', skeleton, SKELETONS)
        # Read by default_init_cfg, which SimCCHead's constructor asks for.
        self._linear_classifier = classifier is None or classifier.get('type') == 'Linear'
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
        check_codec(self, 'input_size', 'simcc_split_ratio')
        area = in_featuremap_size[0] * in_featuremap_size[1]
        tokens = Tokens(out_channels, area, area, self.in_featuremap_size, skeleton)
        self.blocks = build_blocks('blocks', blocks, tokens)
        if self.blocks:
            tokens = tokens._replace(dim=self.blocks[-1].out_dim)
        self.logit_blocks = nn.ModuleDict()
        for axis in 'xy':
            bins = getattr(self, f'mlp_head_{axis}').out_features
            tokens = tokens._replace(out_dim=bins)
            block = build_block('classifier', classifier or {'type': 'Linear'}, tokens)
            setattr(self, f'mlp_head_{axis}', block)
            logits = tokens._replace(dim=bins)
            self.logit_blocks[axis] = build_blocks('logit_blocks', logit_blocks, logits)
        self._register_load_state_dict_pre_hook(self._rename_places)

    @property
    def default_init_cfg(self) -> list[dict]:
        """SimCCHead's rules, by name: by type they would reach into the blocks."""
        conv = {'type': 'Normal', 'std': 0.001, 'override': {'name': 'final_layer'}}
        if not self._linear_classifier:
            return [conv]
        names = [{'name': 'mlp_head_x'}, {'name': 'mlp_head_y'}]
        return [conv, {'type': 'Normal', 'std': 0.01, 'bias': 0.0, 'override': names}]

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Classify both coordinates.

        Args:
            feats: the last one, shape (B, in_channels, h, w), is the head's own; a ``CrossGAU``
                may read one of those before.

        Returns:
            Logits over the bins of x, shape (B, K, W * split), and of y, (B, K, H * split).

        Raises:
            UserError: a feature map of another shape than the head was built for.
        """
        width, height = self.in_featuremap_size
        expected = (self.in_channels, height, width)
        check_map('TokenSimCCHead', feats[-1], expected, 'in_channels, in_featuremap_size')
        tokens = x = self.final_layer(feats[-1]).flatten(2)
        for block in self.blocks:
            x = block(x, (*feats[:-1], tokens))
        logits = {'x': self.mlp_head_x(x), 'y': self.mlp_head_y(x)}
        for axis, blocks in self.logit_blocks.items():
            for block in blocks:
                logits[axis] = block(logits[axis])
        return logits['x'], logits['y']

    def _rename_places(self, state_dict: dict, prefix: str, *_: Any) -> None:
        """Give weights that were saved when blocks had fixed places their present names."""
        places = {f'gcn_after.{axis}.': f'logit_blocks.{axis}.0.' for axis in 'xy'}
        for i, block in enumerate(self.blocks):
            places |= {old: f'blocks.{i}.{new}' for old, new in OLD_PLACES[type(block)].items()}
        for key in list(state_dict):
            name = key.removeprefix(prefix)
            old = next((place for place in places if name.startswith(place)), None)
            if key.startswith(prefix) and old is not None:
                state_dict[prefix + places[old] + name[len(old) :]] = state_dict.pop(key)
