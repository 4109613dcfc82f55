"""The HRNet-Lite family: its recipe, and variants at another input size and skeleton."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from rlepose_ext.errors import UserError
from rlepose_ext.models.input_size import at_input_size

FAMILY = Path(__file__).resolve().parents[2] / 'configs' / 'hrnet_lite'
PATHS = {path.name.rsplit('_', 2)[0]: path for path in sorted(FAMILY.glob('*.py'))}
# Leeds Sports Pose, in its joint order
LSP_EDGES = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 12), (12, 9), (9, 10)]
LSP_EDGES += [(10, 11), (12, 13), (2, 8), (3, 9)]


def load(variant, size=None, joints=None, edges=None):
    config = Config.fromfile(PATHS[variant])
    config.model.backbone.pop('init_cfg', None)  # no download
    return config if size is None else at_input_size(config, size, joints, edges)


VARIED = (
    'heatmap_hrnetlite-gau',
    'simcc_hrnetlite-rtmcc',
    'simcc_hrnetlite-sk',
    'gau_hrnetlite-ca',
    'gau_hrnetlite-supergau',
    'gcn_hrnetlite-classifiers',
    'gcn_hrnetlite-cross-stage3',
    'gcn_hrnetlite-cross-head',
    'gcn_hrnetlite-parallel',
)


# All run at the small size in test_matrix.py.
QUICK = ('gau_hrnetlite-supergau', 'gcn_hrnetlite-classifiers', 'heatmap_hrnetlite-gau')


@pytest.mark.parametrize(
    'variant', [pytest.param(v, marks=() if v in QUICK else pytest.mark.slow) for v in VARIED]
)
def test_at_64x64_with_14_joints(variant):
    config = load(variant, (64, 64), 14, LSP_EDGES)
    model = MODELS.build(config.model).eval()
    with torch.no_grad():
        outputs = model.head(model.extract_feat(torch.randn(1, 3, 64, 64)))
    if torch.is_tensor(outputs):
        assert outputs.shape == (1, 14, 16, 16)
    else:
        bins = 64 * config.codec.simcc_split_ratio
        assert [output.shape for output in outputs] == [(1, 14, bins)] * 2


def test_another_size_leaves_the_config_as_it_was():
    config = load('gau_hrnetlite-supergau')
    before = config.pretty_text
    small = at_input_size(config, (96, 128), 14, LSP_EDGES)
    assert config.pretty_text == before
    sizes = re.findall(r'input_size=\(\s*(\d+),\s*(\d+)', small.pretty_text)
    assert len(sizes) > 5
    assert set(sizes) == {('96', '128')}
    head = small.model.head
    assert head.in_featuremap_size == (24, 32)
    assert (head.out_channels, head.skeleton) == (14, LSP_EDGES)
    assert small.model.backbone.input_size == small.codec.input_size == (96, 128)
    heatmap = at_input_size(load('heatmap_hrnetlite-gau'), (64, 64), 14, LSP_EDGES)
    assert heatmap.model.head.heatmap_size == heatmap.codec.heatmap_size == (16, 16)
    assert heatmap.train_pipeline[-2].encoder.heatmap_size == (16, 16)
    assert 'skeleton' not in heatmap.model.head


def test_the_size_that_it_has_is_no_change():
    config = load('gcn_hrnetlite-cross-stage3')
    assert at_input_size(config, (192, 256)).pretty_text == config.pretty_text


def test_bad_sizes_are_named():
    config = load('gau_hrnetlite-supergau')
    with pytest.raises(UserError, match=r'in_featuremap_size \(48, 64\) .* no whole number'):
        at_input_size(config, (65, 64))
    with pytest.raises(UserError, match=r'expected a config with codec\.input_size'):
        at_input_size(Config({'model': {}}), (64, 64))
    with pytest.raises(UserError, match='expected size to be'):
        at_input_size(config, 64)
    with pytest.raises(UserError, match=r'multiples of 16, got \(72, 64\)'):
        MODELS.build(at_input_size(config, (72, 64)).model)
    graph = load('gcn_hrnetlite-classifiers')
    with pytest.raises(UserError, match="'coco' has 17 joints, the head has 14"):
        MODELS.build(at_input_size(graph, (64, 64), 14).model)
    # changed in one place only
    config.model.head.in_featuremap_size = (16, 16)
    with pytest.raises(UserError, match=r'\(16, 16\) does not fit input_size \(192, 256\)'):
        MODELS.build(config.model)
