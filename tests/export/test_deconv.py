"""Transposed convolutions as convolutions: equal. test_int8.py rounds them."""

import pytest
import torch
from torch import nn

from rlepose_ext.export.deconv import with_convolutions


def head(norm, activation, bias):
    torch.manual_seed(0)
    layers = []
    for into, out in ((6, 5), (5, 4)):
        layers.append(nn.ConvTranspose2d(into, out, 4, 2, 1, bias=bias))
        if norm:
            layers.append(nn.BatchNorm2d(out))
            for value in layers[-1].state_dict().values():
                if value.is_floating_point():
                    value.uniform_(0.5, 2)
        if activation:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers, nn.Conv2d(4, 2, 1)).eval()


@pytest.mark.parametrize('norm', [True, False], ids=['norm', ''])
@pytest.mark.parametrize('activation', [True, False], ids=['relu', ''])
@pytest.mark.parametrize('bias', [True, False], ids=['bias', ''])
@torch.no_grad()
def test_outputs_are_equal(norm, activation, bias):
    layers, x = head(norm, activation, bias), torch.randn(2, 6, 4, 3)
    expected = layers(x)
    with_convolutions(layers)
    assert not any(isinstance(part, nn.ConvTranspose2d) for part in layers.modules())
    torch.testing.assert_close(layers(x), expected)


@pytest.mark.parametrize(
    'layer',
    [
        nn.ConvTranspose2d(4, 4, 2, 2),
        nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
        nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=2),
        nn.ConvTranspose2d(4, 4, 4, 2, 1, dilation=2),
    ],
    ids=['kernel 2', 'kernel 3', 'groups', 'dilation'],
)
def test_others_stay(layer):
    layers = nn.Sequential(layer, nn.BatchNorm2d(4))
    with_convolutions(layers)
    assert layers[0] is layer
    assert isinstance(layers[1], nn.BatchNorm2d)
