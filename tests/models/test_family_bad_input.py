"""What a config of the HRNet-Lite family can get wrong ends in one clear error at build time."""

import pytest

from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import HRNetLiteGAU
from rlepose_ext.models.heads import HeatmapGAUHead, TokenSimCCHead

SIMCC = dict(type='SimCCLabel', input_size=(64, 64), sigma=4.0, simcc_split_ratio=2.0)
MSRA = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=2)
REGRESSION = dict(type='RegressionLabel', input_size=(64, 64))
TOKENS = dict(
    in_channels=8, out_channels=17, input_size=(64, 64), in_featuremap_size=(16, 16), decoder=SIMCC
)
MAPS = dict(in_channels=8, out_channels=17, heatmap_size=(16, 16), decoder=MSRA)


def query(**options):
    return dict(gau=dict(expansion=2), query=dict(source=0, in_channels=4, hidden_dim=8) | options)


def refuses(build, base, options):
    with pytest.raises(UserError) as error:
        build(**base | options)
    return str(error.value)


def test_the_bases_are_sound():
    TokenSimCCHead(**TOKENS)
    TokenSimCCHead(**TOKENS, **query())
    HeatmapGAUHead(**MAPS)
    HRNetLiteGAU(input_size=(64, 64), gau=dict(expansion=2))


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(gau=dict(expansion='2')), 'expansion'),
        (dict(gau=dict(expansion=None)), 'expansion'),
        (dict(gau=dict(expansion=float('nan'))), 'nan'),
        (dict(gau=dict(expansion=float('inf'))), 'inf'),
        (dict(gau=dict(expansion=True)), 'True'),
        (dict(gau=dict(expansion_dim='512')), 'expansion_dim'),
        (dict(gau=dict(expansion_dim=0)), 'expansion_dim'),
        (dict(gau=dict(expansion=2, dropout=2)), 'dropout'),
        (dict(gau=True), 'dict of options'),
        (dict(classifiers=dict(hidden_dim='big')), 'hidden_dim'),
        (dict(query={}), 'need gau'),
        (dict(gcn_parallel={}), 'need gau'),
        (query(downscale=0), 'downscale'),
        (query(downscale=-1), 'downscale'),
        (query(in_channels='4'), 'in_channels'),
        (query(in_channels=0), 'in_channels'),
        (query(source=True), 'source'),
        (query(source=-1), 'source'),
        (dict(decoder=MSRA), 'MSRAHeatmap'),
        (dict(decoder=REGRESSION), 'RegressionLabel'),
        (dict(input_size=64), 'input_size'),
        (dict(input_size=None), 'input_size'),
        (dict(input_size=(64.0, 64.0)), 'input_size'),
        (dict(input_size='ab'), 'input_size'),
        (dict(in_featuremap_size=16), 'in_featuremap_size'),
        (dict(in_featuremap_size=(12, 16)), 'does not fit'),
        (dict(in_channels='8'), 'in_channels'),
        (dict(in_channels=[8]), 'in_channels'),
        (dict(out_channels=0), 'out_channels'),
        (dict(simcc_split_ratio=-1), 'simcc_split_ratio'),
        (dict(simcc_split_ratio='2'), 'simcc_split_ratio'),
        (dict(embed=dict(dim=True)), 'dim'),
        (dict(skeleton='nonsense'), 'skeleton'),
        (dict(coord_attention=dict(reduction=0)), 'reduction'),
    ],
)
def test_token_head(options, named):
    assert named in refuses(TokenSimCCHead, TOKENS, options)


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(out_channels=0), 'out_channels'),
        (dict(out_channels='17'), 'out_channels'),
        (dict(in_channels=[8]), 'in_channels'),
        (dict(heatmap_size=(16, 16, 3)), 'heatmap_size'),
        (dict(heatmap_size=(0, 0)), 'heatmap_size'),
        (dict(heatmap_size=16), 'heatmap_size'),
        (dict(heatmap_size=None), 'heatmap_size'),
        (dict(heatmap_size=(8, 8)), '(16, 16)'),
        (dict(decoder=SIMCC), 'SimCCLabel'),
        (dict(gau=True), 'dict of options'),
        (dict(gau=dict(act_fn='GELU')), 'act_fn'),
        (dict(gau=dict(expansion_dim='256')), 'expansion_dim'),
        (dict(gau=dict(s=0)), 's to be'),
        (dict(gau=dict(nope=1)), 'nope'),
    ],
)
def test_heatmap_head(options, named):
    assert named in refuses(HeatmapGAUHead, MAPS, options)


@pytest.mark.parametrize('size', [64, None, (60, 64), ('a', 'b'), (64,)])
def test_backbone(size):
    message = refuses(HRNetLiteGAU, dict(gau=dict(expansion=2)), dict(input_size=size))
    assert 'input_size' in message
