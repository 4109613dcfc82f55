"""The HRNet-Lite family: exact totals, and every variant at another input size and skeleton."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import DATASETS, KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample

from rlepose_ext.errors import UserError
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.input_size import at_input_size

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FAMILY = CONFIGS / 'hrnet_lite'
LITE = 7_685_632
TOTALS = {
    'heatmap_hrnetlite': 7_686_193,
    'heatmap_hrnetlite-hardswish': 7_686_193,
    'heatmap_hrnetlite-gau': 7_686_193 + 2_756_097,
    'simcc_hrnetlite': 10_439_601,
    'simcc_hrnetlite-hardswish': 10_439_601,
    'simcc_hrnetlite-lsk': 10_443_831,
    'simcc_hrnetlite-sk': 10_461_361,
    'simcc_hrnetlite-rtmcc': LITE + 1_443_123,
    'gau_hrnetlite-softmax': 67_456_177,
    'gau_hrnetlite-softmaxplus': 67_456_177,
    'gau_hrnetlite-ca': 67_456_230,
    'gau_hrnetlite-narrow': 14_503_090,
    'gau_hrnetlite-supergau': 71_339_697,
    'gcn_hrnetlite-before': 163_057_275,
    'gcn_hrnetlite-after': 83_868_613,
    'gcn_hrnetlite-classifiers': 20_220_742,
    'gcn_hrnetlite-cross-stem': 25_603_809,
    'gcn_hrnetlite-cross-stage3': 22_655_777,
    'gcn_hrnetlite-cross-head': 25_602_704,
    'gcn_hrnetlite-parallel': 9_393_788,
    'gcn_hrnetlite-gaugcn5': 14_551_877,
    'gcn_hrnetlite-gaugcn6': 16_986_913,
    'gcn_hrnet-w32-classifiers': 41_070_662,
}
PATHS = {path.name.rsplit('_', 2)[0]: path for path in sorted(FAMILY.glob('*.py'))}
each_variant = pytest.mark.parametrize('variant', PATHS)
# Leeds Sports Pose, in its joint order
LSP_EDGES = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 12), (12, 9), (9, 10)]
LSP_EDGES += [(10, 11), (12, 13), (2, 8), (3, 9)]
LSP_FLIPS = [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13]


@pytest.fixture(autouse=True)
def _mmpose_scope():
    init_default_scope('mmpose')


def load(variant, size=None, joints=None, edges=None):
    config = Config.fromfile(PATHS[variant])
    config.model.backbone.pop('init_cfg', None)  # no download
    return config if size is None else at_input_size(config, size, joints, edges)


def batch(config, persons=2):
    """Images and targets as the config's own codec encodes them."""
    codec = KEYPOINT_CODECS.build(config.codec)
    width, height = config.codec.input_size
    joints = config.model.head.out_channels
    rng = np.random.default_rng(0)
    found = []
    for _ in range(persons):
        points = rng.uniform(0.1, 0.9, (1, joints, 2)) * (width, height)
        encoded = codec.encode(points.astype(np.float32), np.ones((1, joints), np.float32))
        sample = PoseDataSample(
            metainfo={
                'flip_indices': LSP_FLIPS,
                'input_size': (width, height),
                'input_center': np.array([width / 2, height / 2]),
                'input_scale': np.array([width, height], dtype=float),
            }
        )
        labels = {k: torch.as_tensor(v) for k, v in encoded.items() if k != 'heatmaps'}
        sample.gt_instance_labels = InstanceData(**labels)
        sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)), bbox_scores=np.ones(1))
        if 'heatmaps' in encoded:
            sample.gt_fields = PixelData(heatmaps=torch.as_tensor(encoded['heatmaps']))
        found.append(sample)
    return torch.randn(persons, 3, height, width), found


def test_every_variant_has_a_total_and_a_config():
    assert set(PATHS) == set(TOTALS)
    assert all(path.name.endswith('_coco-256x192.py') for path in PATHS.values())


@each_variant
def test_total(variant):
    with torch.device('meta'):  # no memory, nothing drawn
        model = MODELS.build(load(variant).model)
    assert count_parameters(model) == TOTALS[variant]
    assert sum(p.numel() for p in model.parameters()) == TOTALS[variant]


def test_w32_total_is_the_notebooks_less_what_never_runs():
    # two linear classifiers of 3072, three projections and a coordinate attention, all unused
    unused = 3073 * (384 + 512) + 6_146 + 393_344 + 396_288 + 53
    assert TOTALS['gcn_hrnet-w32-classifiers'] + unused == 44_619_901
    head = TOTALS['gcn_hrnetlite-classifiers'] - LITE
    assert TOTALS['gcn_hrnet-w32-classifiers'] == 28_535_552 + head


@each_variant
def test_at_64x64_with_14_joints(variant):
    config = load(variant, (64, 64), 14, LSP_EDGES)
    model = MODELS.build(config.model)
    model.init_weights()
    inputs, samples = batch(config)
    losses = model.loss(inputs, samples)
    assert set(losses) == {'loss_kpt', 'acc_pose'}
    losses['loss_kpt'].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    model.eval()
    with torch.no_grad():
        predicted = model.predict(inputs, samples)
    assert len(predicted) == 2
    for sample in predicted:
        assert sample.pred_instances.keypoints.shape == (1, 14, 2)
        assert np.isfinite(sample.pred_instances.keypoint_scores).all()
    assert count_parameters(model) < TOTALS[variant]


@each_variant
def test_header_says_what_the_number_is(variant):
    text = PATHS[variant].read_text()
    comment = ' '.join(line.lstrip('# ') for line in text.splitlines() if line.startswith('#'))
    quoted = re.findall(r'AP (\d\d\.\d)', comment)
    if 'Quoted: ' in comment:
        assert quoted
        assert 'ground-truth boxes' in comment
        assert 'notebook' in comment
    else:
        assert 'notebook' in comment or 'same with' in comment


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
    for size in (64, None, (64,), (0, 0), (-64, -64), (64.0, 64.0), ('a', 'b')):
        with pytest.raises(UserError, match=rf'expected size to be .* got {re.escape(repr(size))}'):
            at_input_size(config, size)
    with pytest.raises(UserError, match=r"expected num_joints .* got '14'"):
        at_input_size(config, (64, 64), '14')
    with pytest.raises(UserError, match=r'multiples of 16, got \(72, 64\)'):
        MODELS.build(at_input_size(config, (72, 64)).model)
    graph = load('gcn_hrnetlite-classifiers')
    with pytest.raises(UserError, match="'coco' has 17 joints, the head has 14"):
        MODELS.build(at_input_size(graph, (64, 64), 14).model)


def test_a_size_changed_in_one_place_only_is_named():
    config = load('gau_hrnetlite-narrow')
    config.model.head.in_featuremap_size = (16, 16)
    with pytest.raises(UserError, match=r'\(16, 16\) does not fit input_size \(192, 256\)'):
        MODELS.build(config.model)
    config.model.head.input_size = (64, 64)
    with pytest.raises(UserError, match='that of the decoder is'):
        MODELS.build(config.model)


def test_recipe():
    for variant in PATHS:
        config = load(variant)
        codec, optimizer = config.codec, config.optim_wrapper.optimizer
        assert config.train_cfg.max_epochs == 210
        assert config.param_scheduler[1].milestones == [170, 200]
        name = PATHS[variant].name
        gpus, samples = (int(n) for n in re.search(r'_(\d+)xb(\d+)-210e', name).groups())
        assert config.train_dataloader.batch_size == samples
        assert config.auto_scale_lr.base_batch_size == gpus * samples
        assert optimizer.type == 'Adam'
        if codec.type == 'SimCCLabel':
            assert (codec.sigma, codec.simcc_split_ratio, optimizer.lr) == (4, 2, 1e-3)
            assert config.model.head.loss.type == 'KLDiscretLoss'
        assert DATASETS.get(config.train_dataloader.dataset.type) is not None


def test_documents_agree():
    readme = (FAMILY / 'README.md').read_text()
    metafile = yaml.safe_load((FAMILY / 'metafile.yml').read_text())
    listed = {Path(model['Config']).name: model for model in metafile['Models']}
    assert set(listed) == {path.name for path in PATHS.values()}
    collections = {collection['Name'] for collection in metafile['Collections']}
    for variant, path in PATHS.items():
        model = listed[path.name]
        assert model['Name'] == path.stem
        assert model['Config'] == f'configs/hrnet_lite/{path.name}'
        assert model['In Collection'] in collections
        assert model['Metadata']['Parameters'] == TOTALS[variant]
        quoted = re.search(r'Quoted: AP (\d\d\.\d)', path.read_text())
        assert bool(quoted) == ('Results' in model) == ('Quoted From' in model['Metadata'])
        assert f'({path.name})' in readme
