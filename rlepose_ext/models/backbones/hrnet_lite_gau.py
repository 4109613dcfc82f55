"""HRNetLite with gated attention between its second and third stage ("supergau").

The unit that the heads of this family run over joint maps is put earlier too, on each of the
three maps that enter stage 3. There are no joints yet: a token is a *channel*, its h * w
numbers are the flattened map, and channels look at each other. At 192 x 256:

    branch 0    32 tokens of 48 x 64 = 3072    the unit of the head, same weights
    branch 1    64 tokens of 24 x 32 =  768    3,637,504 parameters
    branch 2   128 tokens of 12 x 16 =  192      246,016 parameters

Tokens are as long as a map is large, so the weights belong to one input size, as those of
the head do. Branch 0 has maps of the size of the head's, hence it shares the head's unit, so that
its 57,016,576 parameters exist once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rlepose_ext.checks import check_arguments, check_size
from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones.hrnet_lite import HRNetLite
from rlepose_ext.models.layers.gated_attention import GatedAttentionUnit
from rlepose_ext.registry import MODELS

STRIDES = (4, 8, 16)


@MODELS.register_module()
class HRNetLiteGAU(HRNetLite):
    """HRNetLite with a gated attention unit on each map that enters stage 3.

    The unit of branch 0 comes from outside: :class:`SharedGAUPoseEstimator` gives it the
    head's. It stays the head's: the backbone does not list its parameters, and a checkpoint
    has them once, under ``head.blocks``.

    Args:
        input_size: width and height of the crop, input px; multiples of 16.
        gau: options of the units of branches 1 and 2: arguments of :class:`GatedAttentionUnit`
            after ``dim``.
        **options: arguments of :class:`HRNetLite`.

    Raises:
        UserError: an input size that is not a multiple of 16, an unknown option.
    """

    def __init__(self, input_size: Sequence[int], gau: dict, **options: Any) -> None:
        super().__init__(**options)
        check_size('HRNetLiteGAU', input_size=input_size)
        if any(side % STRIDES[-1] for side in input_size):
            raise UserError(
                f'HRNetLiteGAU: expected input_size as (width, height), multiples of '
                f'{STRIDES[-1]}, got {tuple(input_size)}.'
            )
        width, height = input_size
        self.map_shapes = tuple((height // stride, width // stride) for stride in STRIDES)
        dims = [h * w for h, w in self.map_shapes]
        check_arguments('HRNetLiteGAU: gau', GatedAttentionUnit, dims[0], **gau)
        self.gaus = nn.ModuleList(GatedAttentionUnit(dim, **gau) for dim in dims[1:])
        # In a list, for torch not to see a second owner of the same parameters.
        self._shared: list[GatedAttentionUnit] = []

    def share_gau(self, unit: GatedAttentionUnit) -> None:
        """Use ``unit``, which belongs to another module, on branch 0.

        Raises:
            UserError: its tokens are not as long as the maps of branch 0, or it needs a query.
        """
        height, width = self.map_shapes[0]
        if not isinstance(unit, GatedAttentionUnit) or unit.external_query:
            raise UserError(
                'HRNetLiteGAU: expected a GatedAttentionUnit without external query to share, '
                f'got {type(unit).__name__}. Give the head a GAU block, not a CrossGAU.'
            )
        if unit.dim != height * width:
            raise UserError(
                f'HRNetLiteGAU: maps of branch 0 are {width} x {height}, tokens of {width * height}'
                f'; the unit to share takes tokens of {unit.dim}. Give backbone and head the same '
                'input size, and put no block that changes the tokens before the GAU.'
            )
        self._shared = [unit]

    def refine_stage3_inputs(self, maps: list[Tensor]) -> list[Tensor]:
        """Let the channels of each map attend to each other; shapes are kept.

        Raises:
            UserError: no unit for branch 0 yet, or maps of another size.
        """
        if not self._shared:
            raise UserError(
                'HRNetLiteGAU: branch 0 has no unit. Build the model with '
                "type='rlepose_ext.SharedGAUPoseEstimator', which shares the head's."
            )
        shapes = tuple(tuple(m.shape[2:]) for m in maps)
        if shapes != self.map_shapes:
            (h, w), (map_h, map_w) = self.map_shapes[0], shapes[0]
            raise UserError(
                f'HRNetLiteGAU: expected an input of {w * STRIDES[0]} x {h * STRIDES[0]}, got one '
                f'of {map_w * STRIDES[0]} x {map_h * STRIDES[0]}. The units belong to one input '
                'size: set input_size of the backbone to codec.input_size.'
            )
        units = [*self._shared, *self.gaus]
        return [unit(m.flatten(2)).view_as(m) for unit, m in zip(units, maps, strict=True)]
