"""LSK and SK as necks: which maps they change, in which layout, with which head behind."""

import pytest
import torch
from mmpose.models.heads import HeatmapHead

from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import HRNetLite
from rlepose_ext.models.necks import LSKNeck, SKNeck
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
    heatmaps.square().sum().backward()
    for part in (backbone, model, head):
        assert all(p.grad.isfinite().all() for p in part.parameters())
    assert all(p.grad.any() for p in model.parameters())


@NECKS
def test_memory_layout(neck):
    model = neck(4).double().eval()
    feats = (maps()[-1].double(),)
    nhwc = tuple(feat.contiguous(memory_format=torch.channels_last) for feat in feats)
    torch.testing.assert_close(model(nhwc)[0], model(feats)[0], rtol=1e-12, atol=1e-12)


def test_groups_reach_the_unit():
    assert SKNeck(32, groups=32).units[0].branches[1][0].groups == 32


@NECKS
def test_bad_widths_are_named(neck):
    name = neck.__name__
    with pytest.raises(UserError, match=f'{name}: the last map has 4 channels, expected 8;'):
        neck(8)(maps())
    with pytest.raises(UserError, match=f'{name}: the maps have 8, 16, 4 channels, expected 8, 4'):
        neck([8, 4])(maps())
    with pytest.raises(UserError, match='in_channels is an empty list'):
        neck([])
    with pytest.raises(UserError, match=r'got (channels=)?0'):
        neck(0)
