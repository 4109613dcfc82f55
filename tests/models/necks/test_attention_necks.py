"""LSK and SK: the formulas written out, exact totals, and the necks that they are."""

import pytest
import torch
import torch.nn.functional as F
from mmpose.models.heads import HeatmapHead
from model_case import assert_learns
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import HRNetLite
from rlepose_ext.models.necks import LSKNeck, SKNeck
from rlepose_ext.models.necks.attention import LargeSelectiveKernel, SelectiveKernel
from rlepose_ext.registry import MODELS

NECKS = pytest.mark.parametrize('neck', [LSKNeck, SKNeck])


def maps():
    return torch.rand(2, 8, 8, 6), torch.rand(2, 16, 4, 3), torch.rand(2, 4, 8, 6)


@NECKS
def test_last_map_only(neck):
    model = MODELS.build({'type': f'rlepose_ext.{neck.__name__}', 'in_channels': 4})
    assert type(model) is neck
    feats = maps()
    out = model.eval()(feats)
    assert isinstance(out, tuple)
    assert all(a is b for a, b in zip(out[:2], feats[:2], strict=True))
    assert torch.equal(out[2], model.units[0](feats[2]))
    assert out[2].shape == feats[2].shape


@NECKS
def test_every_map(neck):
    model = neck([8, 16, 4]).eval()
    feats = maps()
    for got, unit, feat in zip(model(feats), model.units, feats, strict=True):
        assert torch.equal(got, unit(feat))


@pytest.mark.parametrize(('neck', 'total'), [(LSKNeck, 4_230), (SKNeck, 21_760)])
def test_on_hrnet_lite_with_a_heatmap_head(neck, total):
    backbone, model = HRNetLite(width=32, taps=['stem']), neck(32)
    assert sum(p.numel() for p in model.parameters()) == total
    head = HeatmapHead(32, 17, deconv_out_channels=None)
    heatmaps = head(model(backbone(torch.rand(2, 3, 64, 48))))
    assert heatmaps.shape == (2, 17, 16, 12)
    assert_learns(model, heatmaps.square().sum())


@NECKS
def test_memory_layout(neck):
    model = neck(4).double().eval()
    feats = (maps()[-1].double(),)
    nhwc = tuple(feat.contiguous(memory_format=torch.channels_last) for feat in feats)
    torch.testing.assert_close(model(nhwc)[0], model(feats)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(('build', 'named'), [
    (lambda: LSKNeck(17), 'positive and even, got 17'),
    (lambda: SKNeck(32, groups=5), 'channels=32, groups=5'),
    (lambda: SKNeck([]), 'in_channels is an empty list'),
    (lambda: LSKNeck(8)(maps()), 'the last map has 4 channels, expected 8'),
    (lambda: SKNeck([8, 4])(maps()), 'the maps have 8, 16, 4 channels, expected 8, 4'),
])  # fmt: skip
def test_bad_widths_are_named(build, named):
    with pytest.raises(UserError, match=named):
        build()


@pytest.mark.parametrize(('channels', 'total'), [(2, 360), (32, 4_230)])
def test_parameters_of_lsk(channels, total):
    unit = LargeSelectiveKernel(channels)
    assert sum(p.numel() for p in unit.parameters()) == total
    c = channels
    by_hand = 26 * c + 50 * c + 2 * (c * c // 2 + c // 2) + (2 * 2 * 49 + 2) + (c // 2 * c + c)
    assert by_hand == total


def depthwise(x, conv, dilation):
    """A depthwise convolution as a sum over shifted copies of the zero-padded map."""
    size = conv.weight.shape[-1]
    pad = dilation * (size // 2)
    padded = F.pad(x, [pad] * 4)
    out = conv.bias[None, :, None, None].expand_as(x).clone()
    for i in range(size):
        for j in range(size):
            rows = slice(i * dilation, i * dilation + x.shape[2])
            columns = slice(j * dilation, j * dilation + x.shape[3])
            out += conv.weight[:, 0, i, j][None, :, None, None] * padded[:, :, rows, columns]
    return out


def mix(conv, x):
    """A 1x1 convolution as a matrix product."""
    return torch.einsum('oc,nchw->nohw', conv.weight[:, :, 0, 0], x) + conv.bias[:, None, None]


def test_lsk_written_out():
    unit = LargeSelectiveKernel(6).double()
    for parameter in unit.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 6, 9, 7, dtype=torch.float64)
    u1 = depthwise(x, unit.near, 1)
    u2 = depthwise(u1, unit.far, 3)
    v1, v2 = mix(unit.reduce_near, u1), mix(unit.reduce_far, u2)
    v = torch.cat([v1, v2], 1)
    summary = torch.stack([v.mean(1), v.max(1).values], 1)
    a = torch.sigmoid(F.conv2d(summary, unit.gate.weight, unit.gate.bias, padding=3))
    expected = x * mix(unit.expand, a[:, :1] * v1 + a[:, 1:] * v2)
    torch.testing.assert_close(unit(x), expected)


def test_a_pixel_sees_23_px():
    unit = LargeSelectiveKernel(2)
    x = torch.zeros(1, 2, 41, 41)
    x[..., 20, 20] = 1
    seen = (unit.far(unit.near(x)) - unit.far(unit.near(x * 0))).abs().sum(1)[0] > 0
    assert seen.any(0).sum() == seen.any(1).sum() == 5 + 3 * 6


@pytest.mark.parametrize(
    ('channels', 'groups', 'hidden', 'total'),
    [(32, 1, 32, 21_760), (32, 32, 32, 3_904), (1024, 32, 64, 792_704)],
)
def test_parameters_of_sk(channels, groups, hidden, total):
    unit = SelectiveKernel(channels, groups)
    assert unit.squeeze.out_features == hidden
    assert sum(p.numel() for p in unit.parameters()) == total
    c, d = channels, hidden
    convolutions = 2 * (9 * c * c // groups + 2 * c)
    assert convolutions + (c * d + 2 * d) + 2 * (d * c + c) == total


def test_sk_written_out():
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
