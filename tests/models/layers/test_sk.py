"""Selective kernel: the formula written out, parameters, gradients, bad widths."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.necks.attention import SelectiveKernel, select_per_channel


@pytest.mark.parametrize(
    ('channels', 'groups', 'hidden', 'total'),
    [(32, 1, 32, 21_760), (32, 32, 32, 3_904), (1024, 32, 64, 792_704)],
)
def test_parameters(channels, groups, hidden, total):
    unit = SelectiveKernel(channels, groups)
    assert unit.squeeze.out_features == hidden
    assert sum(p.numel() for p in unit.parameters()) == total
    c, d = channels, hidden
    convolutions = 2 * (9 * c * c // groups + 2 * c)
    assert convolutions + (c * d + 2 * d) + 2 * (d * c + c) == total


def test_formula_written_out():
    unit = SelectiveKernel(6, groups=3).double().eval()
    for module in unit.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64)

    def normalise(bn, value, dims):
        shape = [1, -1] + [1] * dims
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        mean, bias = bn.running_mean.reshape(shape), bn.bias.reshape(shape)
        return (value - mean) * scale.reshape(shape) + bias

    u = []
    for (conv, bn, _), dilation in zip(unit.branches, (1, 2), strict=True):
        # A dilated 3x3 kernel is a 5x5 kernel with holes.
        weight = torch.zeros(6, 2, 5, 5, dtype=torch.float64)
        taps = slice(2 - dilation, 3 + dilation, dilation)
        weight[:, :, taps, taps] = conv.weight
        u.append(normalise(bn, F.conv2d(x, weight, padding=2, groups=3), 2).relu())
    s = (u[0] + u[1]).sum(dim=(2, 3)) / 35
    z = normalise(unit.norm, s @ unit.squeeze.weight.T, 0).relu()
    a, b = (torch.exp(z @ layer.weight.T + layer.bias) for layer in unit.select)
    weight = (a / (a + b))[:, :, None, None]
    torch.testing.assert_close(unit(x), weight * u[0] + (1 - weight) * u[1])


def test_selection_is_a_softmax_per_channel():
    maps = [torch.full((1, 2, 1, 1), 4.0), torch.full((1, 2, 1, 1), 8.0)]
    logits = [torch.tensor([[0.0, 100.0]]), torch.tensor([[torch.log(torch.tensor(3.0)), 0.0]])]
    torch.testing.assert_close(
        select_per_channel(maps, logits).flatten(), torch.tensor([0.25 * 4 + 0.75 * 8, 4.0])
    )


def test_every_branch_gets_a_gradient():
    unit = SelectiveKernel(4)
    unit(torch.randn(8, 4, 6, 5)).square().sum().backward()
    for name, parameter in unit.named_parameters():
        assert parameter.grad.any(), name


def test_one_image():
    unit = SelectiveKernel(4)
    with pytest.raises(UserError, match='batch size of at least 2'):
        unit(torch.rand(1, 4, 3, 3))
    assert unit.eval()(torch.rand(1, 4, 3, 3)).shape == (1, 4, 3, 3)


def test_synchronised_batch_norm_decides_itself_about_one_image():
    unit = nn.SyncBatchNorm.convert_sync_batchnorm(SelectiveKernel(4))
    # of one process only; several have several images
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        unit(torch.rand(1, 4, 3, 3))
    assert unit(torch.rand(2, 4, 3, 3)).isfinite().all()


@pytest.mark.parametrize(('channels', 'groups'), [(0, 1), (32, 0), (32, 5), ('32', 1), (8, 16)])
def test_bad_widths_are_named(channels, groups):
    with pytest.raises(UserError, match=f'got channels={channels!r}, groups={groups}'):
        SelectiveKernel(channels, groups)
