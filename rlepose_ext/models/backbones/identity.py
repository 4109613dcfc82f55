"""No backbone: the image itself is the feature map."""

from mmengine.model import BaseModule
from torch import Tensor

from rlepose_ext.registry import MODELS


@MODELS.register_module()
class IdentityBackbone(BaseModule):
    """Hands the image on, for heads that read its pixels themselves.

    Args:
        in_channels: channels of the image.
        init_cfg: there is nothing to initialise; every backbone has it.
    """

    def __init__(self, in_channels: int = 3, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.out_channels, self.out_strides = (in_channels,), (1,)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """The image (N, in_channels, H, W)."""
        return (x,)
