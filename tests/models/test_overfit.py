"""Every block learns: eight drawn persons by heart, at 64x64 px and in at most 300 steps.

One system per block; ``benchmarks/overfit.py`` has them all, at full width. Here HRNet-Lite is
narrower where its head can make up for it: a heatmap is a linear mixture of the last map's
channels, so 17 heatmaps need more than 17 of them.
"""

import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS
from torch import nn

NARROW = 8
SLIM_SCNET = {'stem_channels': 16, 'base_channels': 16}

# what learns -> system, and changes that make it cheap
BLOCKS = {
    'RLE and its flow': ('rle_mobilenetv2-050', {}),
    'self-calibrated convolution': ('rle_scnet50', {'slim': True}),
    'SKPS': ('td-hm_mobilenetv2-050_skps', {}),
    'SimCC + RLE': ('simcc-rle_mobilenetv2-075', {}),
    'HRNet-Lite, heatmaps': ('heatmap_hrnetlite', {}),
    'heatmaps with a gated attention unit': ('heatmap_hrnetlite-gau', {}),
    'gated attention unit': ('gau_hrnetlite-softmaxplus', {'width': NARROW}),
    'coordinate attention': ('gau_hrnetlite-ca', {'width': NARROW}),
    'gated attention at three places': ('gau_hrnetlite-supergau', {'width': NARROW}),
    'SemGCN': ('gcn_hrnetlite-before', {'width': NARROW}),
    'cross-attention, SemGCN classifiers': ('gcn_hrnetlite-cross-stage3', {'width': NARROW}),
    'large selective kernel': ('simcc_hrnetlite-lsk', {'width': NARROW}),
    'selective kernel': ('simcc_hrnetlite-sk', {'width': NARROW}),
}


@pytest.fixture(scope='module')
def harness(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root / 'benchmarks')
        yield importlib.import_module('overfit')


@pytest.fixture(scope='module')
def people(harness):
    return harness.draw_people()


@pytest.fixture(autouse=True)
def _quiet():
    MMLogger.get_current_instance().setLevel('WARNING')


def load(harness, name, width=None, slim=False):
    config = harness.load_for_overfit(harness.systems()[name])
    model = config.model
    if slim:
        model.backbone.update(SLIM_SCNET)
        model.head.in_channels //= 64 // SLIM_SCNET['base_channels']
    if width:
        model.backbone.width = model.head.in_channels = width
        if 'neck' in model:
            model.neck.in_channels = width
        for block in model.head.get('blocks', []):
            if 'in_channels' in block.get('query', {}):
                block.query.in_channels //= 32 // width
    return config


def learn(harness, people, name, **changes):
    result = harness.overfit(load(harness, name, **changes), people, rates=harness.rates_of(name))
    assert result.steps is not None, result.curve
    assert result.error < 0.02


def test_alexnet_learns(harness, people):
    learn(harness, people, 'rle_alexnet')


@pytest.mark.slow
@pytest.mark.parametrize('block', BLOCKS)
def test_block_learns(harness, people, block):
    name, changes = BLOCKS[block]
    learn(harness, people, name, **changes)


def test_without_learning_there_is_no_success(harness, people):
    config = load(harness, 'rle_alexnet')
    result = harness.overfit(config, people, steps=20, rates=harness.Rates(0.0))
    assert result.steps is None
    assert result.error > 0.1
    assert [step for step, _ in result.curve] == [10, 20]


def test_every_system_is_there_once(harness, root):
    systems = harness.systems(harness.SAME)
    assert set(harness.SAME).isdisjoint(systems)
    assert set(harness.SAME) <= set(harness.systems())
    assert {name for name, _ in BLOCKS.values()} <= set(systems)
    leaves = {path.name for path in (root / 'configs' / 'hrnet_lite').glob('*.py')}
    assert leaves <= {path.name for path in systems.values()}


def test_the_recorded_run_has_every_system_below_the_target(harness):
    rows = json.loads(harness.RESULT.read_text())['rows']
    assert [row['name'] for row in rows] == list(harness.systems(harness.SAME))
    for row in rows:
        assert row['steps_to_limit'] <= harness.STEPS, row['name']
        assert row['error'] <= harness.TARGET, row['name']  # rounded


def test_plain_heatmaps_could_not_reach_the_target(harness, people):
    """Why the harness takes unbiased heatmaps: a perfect network would fail without them."""
    init_default_scope('mmpose')
    config = load(harness, 'heatmap_hrnetlite')
    steps = [s for s in harness.plain_pipeline(config) if s['type'] != 'GenerateTarget']
    samples = [Compose(steps)(dict(person))['data_samples'].gt_instances for person in people]
    poses = [sample.transformed_keypoints for sample in samples]
    joints = np.concatenate(poses)
    labelled = np.stack([sample.keypoints_visible[0] for sample in samples]) > 0

    def rounding(**changes):
        codec = KEYPOINT_CODECS.build({**config.codec, **changes})
        found = np.stack([codec.decode(codec.encode(pose)['heatmaps'])[0][0] for pose in poses])
        return np.linalg.norm(found - joints, axis=-1)[labelled].mean() / harness.SIZE

    assert config.codec.unbiased
    assert rounding() < 0.005
    assert rounding(unbiased=False) > harness.TARGET


def test_statistics_of_the_crops_make_evaluation_equal_to_training(harness):
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
    head = nn.Sequential(nn.BatchNorm2d(8), nn.Flatten(1))
    model = nn.ModuleList([backbone, head])
    model.extract_feat, model.head = backbone, head
    inputs = torch.rand(8, 3, 6, 6)
    model.train()
    wanted = head(backbone(inputs))
    model.eval()
    assert (head(backbone(inputs)) - wanted).abs().max() > 0.1
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with harness.statistics_of(model, inputs):
        assert not model.training
        torch.testing.assert_close(head(backbone(inputs)), wanted, rtol=1e-4, atol=1e-5)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_how_often_it_is_checked_does_not_change_what_is_found(harness, people, monkeypatch):
    config = load(harness, 'gau_hrnetlite-softmaxplus', width=NARROW)
    results = []
    for every in (2, 6):
        monkeypatch.setattr(harness, 'CHECK_EVERY', every)
        results.append(harness.overfit(config, people, steps=6))
    often, seldom = results
    assert len(often.curve) == 3
    assert often.error == pytest.approx(seldom.error, rel=1e-3)
    assert often.error_running == pytest.approx(seldom.error_running, rel=1e-3)


def test_classifiers_learn_at_their_own_rate(harness):
    model = nn.ModuleDict({'backbone': nn.Linear(2, 2), 'head': nn.Module()})
    model['head'].mlp_head_x = nn.Linear(3, 3)
    plain, classifiers = harness.parameter_groups(model, harness.Rates(0.1, classifiers=5.0))
    assert (plain['lr'], classifiers['lr']) == (0.1, 0.5)
    assert [p.shape[0] for p in plain['params']] == [2, 2]
    assert [p.shape[0] for p in classifiers['params']] == [3, 3]


def test_rate_rises_and_falls(harness):
    rates = [harness.factor(step, 300) for step in range(301)]
    assert rates[0] == 1 / 20
    assert rates[20] == 1
    assert rates[160] == pytest.approx(0.5)
    assert rates[300] == pytest.approx(0)


def test_error_is_a_share_of_the_crop(harness):
    truth = SimpleNamespace(
        keypoints_visible=np.array([[1.0, 1.0, 0.0]]), transformed_keypoints=np.zeros((1, 3, 2))
    )
    found = SimpleNamespace(keypoints=np.array([[[3.0, 4.0], [0.0, 0.0], [99.0, 99.0]]]))
    head = SimpleNamespace(predict=lambda feats, samples, test_cfg: ([found], None))
    model = SimpleNamespace(
        eval=lambda: None, test_cfg=None, head=head, extract_feat=lambda inputs: inputs
    )
    batch = {'inputs': torch.zeros(1, 3, 64, 64)}
    batch['data_samples'] = [SimpleNamespace(gt_instances=truth)]
    assert harness.mean_error(model, batch) == pytest.approx(2.5 / 64)
