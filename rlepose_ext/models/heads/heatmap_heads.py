"""Heatmap heads: MMPose's ``HeatmapHead`` with a sigmoid, and with gated attention between joints.

**A sigmoid.** ``HeatmapHead`` is three transposed convolutions with batch norm and ReLU, each
doubling the resolution, and a 1 x 1 convolution to one map per joint (Xiao et al., *Simple
Baselines for Human Pose Estimation and Tracking*, ECCV 2018, arXiv 1804.06208, section 2). There
the maps are unbounded; here

    heatmaps = sigmoid(z),   z = Conv1x1(Deconv^3(features))

so that a peak's height is a number in (0, 1), which a threshold of confidence can be held against.
The squared error of a sigmoid has the gradient 2 (h - t) h (1 - h) with respect to z: it vanishes
on both flat ends, and a head that starts at h = 1/2 first learns that maps are mostly empty.

**Gated attention.** The 1 x 1 convolution sees one pixel of the features at a time; no joint
knows where another one is. Here each map is flattened to a
token of h * w numbers, one gated attention unit (Hua et al., 2022, arXiv 2202.10447) runs
over the K tokens, and its output is folded to maps again:

    M = Conv1x1(features)                        (B, K, h, w)
    Y = c * flatten(M) + GAU(ScaleNorm(flatten(M)))
    heatmaps = fold(Y)                           (B, K, h, w)

The unit is MMPose's ``RTMCCBlock``, which RTMPose has in front of its classifiers, with its
residual c (one learnt factor per pixel, 1 at first) and the attention ``relu(Q K^T /
sqrt(s))^2``. A wrong-side peak can so be suppressed by the maps of the neighbours.
"""

from collections.abc import Sequence
from typing import Any

from mmpose.models.heads import HeatmapHead
from mmpose.models.utils.rtmcc_block import RTMCCBlock
from torch import Tensor

from rlepose_ext.checks import (
    check_arguments,
    check_choice,
    check_codec,
    check_counts,
    check_rates,
    check_size,
)
from rlepose_ext.models.heads.token_blocks import check_map
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class SigmoidHeatmapHead(HeatmapHead):
    """MMPose's ``HeatmapHead`` with activated maps; arguments, loss and log names are MMPose's.

    The loss, prediction and export all take :meth:`forward`, the one place with the sigmoid. So
    the loss must be one that takes heatmaps, such as ``KeypointMSELoss``, and not one with a
    sigmoid of its own.

    State dicts of ``HeatmapHead`` load, both ways: the sigmoid has no weights.
    """

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Heatmaps in (0, 1), shape (B, K, h, w), from the last of the feature maps."""
        return super().forward(feats).sigmoid()

    def activate(self, outputs: Tensor) -> Tensor:
        """What the decoder and an exported model take: the maps as :meth:`forward` gives them."""
        return outputs


@MODELS.register_module()
class HeatmapGAUHead(HeatmapHead):
    """MMPose's ``HeatmapHead`` with a gated attention unit behind it.

    ``hw (2 e + s) + e hw`` weights in matrices, 2 s scales, 2 s offsets, hw residual factors
    and one of the ScaleNorm: 2,756,097 at 48 x 64, e = 256, s = 128. Loss, log names,
    decoding and flip test are MMPose's.

    Args:
        in_channels: channels of the last feature map.
        out_channels: number of joints K.
        heatmap_size: width and height of the heatmaps, heatmap px.
        gau: ``expansion_dim`` e (default 256), and ``s`` (128), ``dropout_rate``,
            ``drop_path``, ``act_fn`` (``'SiLU'`` or ``'ReLU'``), ``use_rel_bias`` (here false)
            of ``RTMCCBlock``.
        **options: further arguments of ``HeatmapHead``: ``deconv_out_channels=None`` for a
            backbone of stride 4, ``loss``, ``decoder``, ...

    Raises:
        UserError: an unknown option, or heatmaps of another size than the codec's.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heatmap_size: Sequence[int],
        gau: dict | None = None,
        **options: Any,
    ) -> None:
        check_counts('HeatmapGAUHead', in_channels=in_channels, out_channels=out_channels)
        check_size('HeatmapGAUHead', heatmap_size=heatmap_size)
        super().__init__(in_channels, out_channels, **options)
        self.heatmap_size = tuple(heatmap_size)
        check_codec(self, 'heatmap_size')
        gau = {} if gau is None else gau
        gau = {'expansion_dim': 256, 's': 128, 'act_fn': 'SiLU', 'use_rel_bias': False, **gau}
        check_counts('HeatmapGAUHead: gau', expansion_dim=gau['expansion_dim'], s=gau['s'])
        rates = {key: gau[key] for key in ('dropout_rate', 'drop_path') if key in gau}
        check_rates('HeatmapGAUHead: gau', **rates)
        check_choice('HeatmapGAUHead: gau', 'act_fn', gau['act_fn'], ('ReLU', 'SiLU'))
        area = self.heatmap_size[0] * self.heatmap_size[1]
        # RTMCCBlock takes a factor and rounds down; half a unit more, or it may be one less.
        gau['expansion_factor'] = (gau.pop('expansion_dim') + 0.5) / area
        check_arguments('HeatmapGAUHead: gau', RTMCCBlock, out_channels, area, area, **gau)
        self.gau = RTMCCBlock(out_channels, area, area, **gau)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Heatmaps, shape (B, K, h, w), from the last of the feature maps.

        Raises:
            UserError: heatmaps of another size than the head was built for.
        """
        maps = super().forward(feats)
        width, height = self.heatmap_size
        check_map('HeatmapGAUHead', maps, (self.out_channels, height, width), 'heatmap_size')
        return self.gau(maps.flatten(2)).view_as(maps)
