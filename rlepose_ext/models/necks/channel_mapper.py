"""Feature maps of a backbone to one number of channels."""

from mmpose.models.necks import ChannelMapper as StockChannelMapper
from torch import Tensor

from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS


@MODELS.register_module()
class ChannelMapper(StockChannelMapper):
    """MMPose's, which ends in a bare ``AssertionError`` where the maps do not fit.

    Arguments and state dict are the same.

    Raises:
        UserError: the backbone gives another number of maps, or of channels.
    """

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Map each of the maps (N, C_i, h_i, w_i) to ``out_channels``."""
        expected = [layer.conv.in_channels for layer in self.convs]
        found = [feature.shape[1] for feature in inputs]
        if found != expected:
            raise UserError(
                f'ChannelMapper: in_channels is {expected}, but the backbone gives maps of {found} '
                'channels. Set in_channels to them, or out_indices of the backbone to the maps '
                'that are wanted.'
            )
        return super().forward(inputs)
