"""Every block learns: eight drawn persons by heart, at 64x64 px and in at most 300 steps.

One system per block; ``benchmarks/overfit.py`` has them all, at full width. Here HRNet-Lite is
narrower where its head can make up for it: a heatmap is a linear mixture of the last map's
channels, so 17 heatmaps need more than 17 of them.
"""

import importlib
import json

import pytest
from mmengine.logging import MMLogger

NARROW = 8
SLIM_SCNET = {'stem_channels': 16, 'base_channels': 16}

# what learns -> system, and changes that make it cheap
BLOCKS = {
    'AlexNet': ('rle_alexnet', {}),
    'RLE and its flow': ('rle_mobilenetv2-050', {}),
    'Poseur': ('poseur_res50', {'decoder': 64}),
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
    'keypoint tokens': ('tokenpose_t', {}),
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


def load(harness, name, width=None, slim=False, decoder=None):
    config = harness.load_for_overfit(harness.systems()[name])
    model = config.model
    if slim:
        model.backbone.update(SLIM_SCNET)
        model.head.in_channels //= 64 // SLIM_SCNET['base_channels']
    if decoder:
        model.neck.out_channels = model.head.in_channels = decoder
        model.head.feedforward_channels = 2 * decoder
    if width:
        model.backbone.width = model.head.in_channels = width
        if 'neck' in model:
            model.neck.in_channels = width
        for block in model.head.get('blocks', []):
            if 'in_channels' in block.get('query', {}):
                block.query.in_channels //= 32 // width
    return config


@pytest.mark.slow
@pytest.mark.parametrize('block', BLOCKS)
def test_block_learns(harness, people, block):
    name, changes = BLOCKS[block]
    result = harness.overfit(load(harness, name, **changes), people, rates=harness.rates_of(name))
    assert result.steps is not None, result.curve
    assert result.error < 0.02


@pytest.mark.slow
def test_without_learning_there_is_no_success(harness, people):
    config = load(harness, 'rle_alexnet')
    result = harness.overfit(config, people, steps=20, rates=harness.Rates(0.0))
    assert result.steps is None
    assert result.error > 0.1
    assert [step for step, _ in result.curve] == [10, 20]


def test_every_system_is_there_once(harness, root):
    systems = harness.systems(harness.LEFT_OUT)
    assert set(harness.SAME).isdisjoint(systems)
    assert set(harness.SAME) <= set(harness.systems())
    assert {name for name, _ in BLOCKS.values()} <= set(systems)
    leaves = {path.name for path in (root / 'configs' / 'hrnet_lite').glob('*.py')}
    assert leaves <= {path.name for path in systems.values()}


def test_the_recorded_run_has_every_system_below_the_target(harness):
    rows = json.loads(harness.RESULT.read_text())['rows']
    assert [row['name'] for row in rows] == list(harness.systems(harness.LEFT_OUT))
    for row in rows:
        assert row['steps_to_limit'] <= harness.STEPS, row['name']
        assert row['error'] <= harness.TARGET, row['name']  # rounded
