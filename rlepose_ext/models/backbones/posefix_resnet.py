"""ResNet that starts from weights for images and is also given maps."""

from __future__ import annotations

from typing import Any

from mmpose.models.backbones import ResNet
from torch import Tensor, nn

from rlepose_ext.registry import MODELS


@MODELS.register_module()
class PoseFixResNet(ResNet):
    """MMPose's ``ResNet`` for an image with the maps of a pose.

    23,561,344 parameters with 50 layers and 20 channels. A checkpoint whose first convolution has
    three input channels loads: its kernels, in RGB order as ImageNet's are, take the image in
    BGR, and the kernels of the maps are drawn anew (He et al., *Delving Deep into Rectifiers*,
    ICCV 2015, by the fan-in of all channels).

    Args:
        depth: as of ``ResNet``.
        in_channels: 3 and the number of joints.
        **options: further arguments of ``ResNet``.
    """

    def __init__(self, depth: int, in_channels: int = 20, **options: Any) -> None:
        super().__init__(depth, in_channels=in_channels, **options)
        self._register_load_state_dict_pre_hook(self._widen)

    def _widen(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        key = f'{prefix}conv1.weight'
        kernels = state_dict.get(key)
        ours = self.conv1.weight
        if kernels is not None and kernels.shape[1] == 3 < ours.shape[1]:
            wide = ours.detach().clone()
            nn.init.kaiming_normal_(wide, mode='fan_in', nonlinearity='relu')
            wide[:, :3] = kernels.flip(1)
            state_dict[key] = wide
