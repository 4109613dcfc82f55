"""The neck of YOLOv5: a path aggregation network whose levels keep their own widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpose.models.necks.yolox_pafpn import YOLOXPAFPN
from torch import nn

from rlepose_ext.registry import MODELS


@MODELS.register_module()
class YOLOv5PAFPN(YOLOXPAFPN):
    """MMPose's ``YOLOXPAFPN`` without the 1x1 convolutions that bring all levels to one width.

    From the coarsest map down each is reduced, doubled in size, and joined with the next finer
    one; from the finest up each is halved in size and joined with the next coarser one (Liu et
    al., *Path Aggregation Network*, CVPR 2018). Each side of the input has to be a multiple of the
    coarsest stride.

    Args:
        in_channels: of each level, finest first. The outputs have the same.
        num_csp_blocks: bottlenecks of each layer.
        **kwargs: as of ``YOLOXPAFPN``.
    """

    def __init__(self, in_channels: Sequence[int], num_csp_blocks: int = 1, **kwargs: Any) -> None:
        super().__init__(list(in_channels), in_channels[0], num_csp_blocks=num_csp_blocks, **kwargs)
        self.out_channels = tuple(in_channels)
        self.out_convs = nn.ModuleList(nn.Identity() for _ in in_channels)
