"""Every config of the project's own systems trains and validates, at half of its input size.

Two iterations of two samples and one validation, by MMEngine's Runner in this process. What is
seen here: losses and metrics are numbers, every parameter that should learn gets a gradient,
and the sizes of a model follow from its codec.
"""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rlepose_ext.models.input_size import at_input_size

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FAMILIES = ('hrnet_lite', 'simcc_rle', 'skps')
PATHS = sorted(path for family in FAMILIES for path in (CONFIGS / family).glob('*.py'))
PATHS += [path for name in ('alexnet', 'scnet50') for path in CONFIGS.glob(f'rle/rle_{name}_*.py')]
# The others are in `make test-slow`.
QUICK = (
    'simcc-rle_mobilenetv2-075_1xb64-210e_coco-192x192',
    'gau_hrnetlite-narrow_1xb64-210e_coco-256x192',
)
METRICS = {'CocoMetric': 'coco/AP', 'NME': 'NME', 'rlepose_ext.WFLWSubsetNME': 'NME'}


class GradientsAreSeen(Hook):
    """Which trainable parameters ever got a gradient, and whether all were finite."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.seen = set()

    def before_train(self, runner):
        for name, parameter in runner.model.named_parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda grad, name=name: self.note(name, grad))

    def note(self, name, grad):
        assert torch.isfinite(grad).all(), name
        self.seen.add(name)


def without_downloads(node):
    if isinstance(node, dict):
        node.pop('init_cfg', None)
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            without_downloads(value)


def shrink(path, work_dir):
    """The config at half of its input size, for two iterations and one validation."""
    config = Config.fromfile(path)
    config = at_input_size(config, [side // 2 for side in config.codec.input_size])
    without_downloads(config.model)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = config[name]
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    config.train_dataloader.dataset.indices = 4
    config.train_cfg.update(max_epochs=1, val_interval=1)
    config.default_hooks.checkpoint = None  # some have hundreds of megabytes
    config.default_hooks.logger.interval = 1
    config.visualizer.update(name=path.stem, vis_backends=[])
    config.work_dir = str(work_dir)
    return config


def test_nothing_is_forgotten():
    names = [path.stem for path in PATHS]
    assert set(QUICK) <= set(names)
    assert {path.parent.name for path in PATHS} == {*FAMILIES, 'rle'}
    assert len(names) >= 29


@pytest.mark.parametrize(
    'path',
    [pytest.param(p, marks=() if p.stem in QUICK else pytest.mark.slow) for p in PATHS],
    ids=lambda path: path.stem,
)
def test_two_iterations_and_a_validation(path, miniature, tmp_path, monkeypatch):
    monkeypatch.setenv('RLEPOSE_DATA', str(miniature))
    # Both take seconds: asking compilers for their versions, formatting long metainfo for the log.
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr(Config, 'pretty_text', 'not formatted')
    config = shrink(path, tmp_path)
    runner = Runner.from_cfg(config)
    gradients = GradientsAreSeen()
    runner.register_hook(gradients)
    runner.train()

    assert runner.iter == 2
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    trainable = {name for name, p in runner.model.named_parameters() if p.requires_grad}
    assert trainable == gradients.seen
    evaluators = config.val_evaluator
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        value = runner.message_hub.get_scalar(f'val/{METRICS[evaluator.type]}').current()
        assert math.isfinite(value)
