"""Channel-wise attention between backbone and head."""

from collections.abc import Sequence
from functools import partial

from rlepose_ext.models.layers.selective_kernel import SelectiveKernel
from rlepose_ext.models.necks.attention_neck import AttentionNeck
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class SKNeck(AttentionNeck):
    """A selective kernel on the last map, or on every map.

    The unit is :class:`~rlepose_ext.models.layers.selective_kernel.SelectiveKernel`.

    Args:
        in_channels: as for :class:`~rlepose_ext.models.necks.attention_neck.AttentionNeck`.
        groups: groups of the units' convolutions.
        init_cfg: initialisation, default: torch's own.

    Raises:
        UserError: ``in_channels`` is empty or no multiple of ``groups``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        groups: int = 1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, partial(SelectiveKernel, groups=groups), init_cfg)
