"""Spatial attention between backbone and head."""

from collections.abc import Sequence

from rlepose_ext.models.layers.large_selective_kernel import LargeSelectiveKernel
from rlepose_ext.models.necks.attention_neck import AttentionNeck
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class LSKNeck(AttentionNeck):
    """A large selective kernel on the last map, or on every map.

    The unit is :class:`~rlepose_ext.models.layers.large_selective_kernel.LargeSelectiveKernel`.

    Args:
        in_channels: as for :class:`~rlepose_ext.models.necks.attention_neck.AttentionNeck`.
        init_cfg: initialisation, default: torch's own.

    Raises:
        UserError: ``in_channels`` is empty or has an odd number.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, LargeSelectiveKernel, init_cfg)
