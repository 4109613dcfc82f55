"""AlexNet, the oldest of the backbones.

Krizhevsky, Sutskever, Hinton, *ImageNet Classification with Deep Convolutional Neural
Networks*, NIPS 2012; in the narrower form of Krizhevsky, *One weird trick for parallelizing
convolutional neural networks*, arXiv 1404.5997, which torchvision and MMPose have.

    layer                          out    256x192 becomes
    11x11 conv, stride 4, pad 2     64    63 x 47
    3x3 max pool, stride 2                31 x 23
    5x5 conv, pad 2                192    31 x 23
    3x3 max pool, stride 2                15 x 11
    3x3 conv, pad 1                384    15 x 11
    3x3 conv, pad 1                256    15 x 11
    3x3 conv, pad 1                256    15 x 11
    3x3 max pool, stride 2                 7 x  5

Each convolution has a bias and ReLU behind it, and none is normalised: batch normalisation
came three years later. Convolutions and pools without enough padding lose a margin, so the
output is not at 1/32 of the input (which would be 8 x 6), and heatmaps made from it do not
lie on the input's grid. A regression head, which averages over the map, does not care.

The three fully connected layers, 58.6 of the 61.1 million parameters of the classifier, are
not here: a pose head takes their place.
"""

from mmengine.model import BaseModule
from torch import Tensor, nn

from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS

HE_INIT = {'type': 'Kaiming', 'layer': ['Conv2d'], 'mode': 'fan_in'}
SMALLEST_INPUT = 63  # px; less leaves nothing for the last pool


@MODELS.register_module()
class AlexNet(BaseModule):
    """The convolutions of AlexNet, 256 channels out, 2,469,696 parameters.

    Layers are called ``features.N`` as in torchvision and MMPose, with the same numbers and
    shapes. Weights of either load: an MMPose checkpoint as it is, and ImageNet's with
    ``init_cfg=dict(type='Pretrained', checkpoint='torchvision://alexnet')``. MMEngine then
    warns of six unexpected keys, ``classifier.*``: those are the fully connected layers.

    Args:
        init_cfg: where the weights come from. Default: drawn with variance 2 / fan-in, which
            keeps the scale of the signal through layers with ReLU (He et al., ICCV 2015). With
            torch's own values, MMPose's choice, it shrinks by 2.4 per layer and the network
            learns slowly at first: nothing here normalises.
    """

    out_channels = (256,)

    def __init__(self, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg=init_cfg or dict(HE_INIT))
        self.features = nn.Sequential(
            *_conv(3, 64, kernel_size=11, stride=4, padding=2),
            nn.MaxPool2d(kernel_size=3, stride=2),
            *_conv(64, 192, kernel_size=5, padding=2),
            nn.MaxPool2d(kernel_size=3, stride=2),
            *_conv(192, 384, kernel_size=3, padding=1),
            *_conv(384, 256, kernel_size=3, padding=1),
            *_conv(256, 256, kernel_size=3, padding=1),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Run the network.

        Args:
            x: images, shape (N, 3, H, W), at least 63 px in height and width.

        Returns:
            One map, shape (N, 256, h, w); (7, 5) for (256, 192).

        Raises:
            UserError: the images are too small.
        """
        if min(x.shape[-2:]) < SMALLEST_INPUT:
            raise UserError(
                f'AlexNet needs images of at least {SMALLEST_INPUT} px in height and width, got '
                f'{x.shape[-2]} x {x.shape[-1]}'
            )
        return (self.features(x),)


def _conv(in_channels: int, out_channels: int, **kwargs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(in_channels, out_channels, **kwargs), nn.ReLU(inplace=True)
