"""Heatmaps through a gated attention unit: parity with HeatmapHead, the block by hand, counts."""

import numpy as np
import pytest
import torch
from mmpose.codecs import MSRAHeatmap
from mmpose.models.heads import HeatmapHead
from model_case import assert_learns, labelled
from torch.nn import functional as F

from rlepose_ext.errors import UserError
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.heads import HeatmapGAUHead

C, K, SIZE, MAP = 6, 5, (24, 32), (6, 8)
CODEC = {'type': 'MSRAHeatmap', 'input_size': SIZE, 'heatmap_size': MAP, 'sigma': 1}
GAU = {'expansion_dim': 11, 's': 7}


def make(**options):
    return HeatmapGAUHead(
        C, K, **{'heatmap_size': MAP, 'gau': GAU, 'deconv_out_channels': None, **options}
    )


def features(batch=2):
    return (torch.randn(batch, C, MAP[1], MAP[0]),)


def samples(batch=2):
    points = np.random.default_rng(0).uniform(0, SIZE, (batch, 1, K, 2))
    return labelled(MSRAHeatmap(SIZE, MAP, 1), points, None, [0, 1, 2, 4, 3])


def test_parameters():
    head = make()
    e, s, area = 11, 7, 48
    unit = area * (2 * e + s) + e * area + 4 * s + area + 1
    assert count_parameters(head) == C * K + K + unit
    full = HeatmapGAUHead(32, 17, (48, 64), deconv_out_channels=None)
    assert count_parameters(full) == 561 + 2_756_097


@pytest.mark.parametrize('area_side', [3, 7, 19])
@pytest.mark.parametrize('hidden', [1, 49, 256])
def test_hidden_width_is_exact(area_side, hidden):
    head = make(heatmap_size=(area_side, 7), gau={'expansion_dim': hidden, 's': 2})
    assert head.gau.e == hidden == head.gau.o.in_features


def test_with_a_silent_unit_it_is_stocks_head():
    ours = make(decoder=CODEC).eval()
    theirs = HeatmapHead(C, K, deconv_out_channels=None, decoder=CODEC).eval()
    theirs.load_state_dict({k: v for k, v in ours.state_dict().items() if 'gau' not in k})
    torch.nn.init.zeros_(ours.gau.o.weight)
    feats, data = features(), samples()
    assert torch.equal(ours(feats), theirs(feats))
    a, b = ours.loss(feats, data), theirs.loss(feats, data)
    assert set(a) == set(b)
    assert all(torch.equal(a[key], b[key]) for key in a)
    test_cfg = {'flip_test': True, 'flip_mode': 'heatmap', 'shift_heatmap': True}
    with torch.no_grad():
        a = ours.predict([feats, feats], data, test_cfg)
        b = theirs.predict([feats, feats], data, test_cfg)
    assert all((x.keypoints == y.keypoints).all() for x, y in zip(a, b, strict=True))


def test_equation():
    head = make().eval()
    feats = features()
    unit = head.gau
    tokens = head.final_layer(feats[0]).flatten(2)
    scale = tokens.norm(dim=-1, keepdim=True) * 48**-0.5
    u, v, z = F.silu(tokens / scale * unit.ln.g @ unit.uv.weight.T).split([11, 11, 7], dim=-1)
    q, k = (z * unit.gamma[i] + unit.beta[i] for i in (0, 1))
    attention = torch.relu(q @ k.transpose(1, 2) / 7**0.5) ** 2
    expected = unit.res_scale.scale * tokens + (u * (attention @ v)) @ unit.o.weight.T
    assert torch.allclose(head(feats), expected.view(2, K, MAP[1], MAP[0]), atol=1e-5)


def test_a_gradient_for_every_parameter():
    head = make()
    assert_learns(head, head.loss(features(), samples())['loss_kpt'])


def test_bad_input_is_named():
    with pytest.raises(UserError, match=r'heatmap_size is \(6, 6\)'):
        make(heatmap_size=(6, 6), decoder=CODEC)
    with pytest.raises(UserError, match='a SimCCLabel'):
        make(decoder={'type': 'SimCCLabel', 'input_size': SIZE})
    for gau, said in (({'heads': 4}, "'heads'"), ({'drop_path': 1.0}, 'drop_path')):
        with pytest.raises(UserError, match=f'gau: .*{said}'):
            make(gau=gau)
    with pytest.raises(UserError, match=r'\(5, 8, 6\), got \(5, 6, 8\)'):
        make()((features()[0].transpose(2, 3),))
