"""Every top-down config of the zoo is exported, at reduced size and with random weights."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmpose.registry import MODELS

pytest.importorskip('onnxscript', reason='needs the extra [export]')

from _miniature import reduced, without_downloads

from rlepose_ext.export.onnx import LIMIT, export_onnx
from rlepose_ext.resources import resource

pytestmark = pytest.mark.slow

CONFIGS = sorted(resource('configs').glob('[a-z]*/*.py'))


def small(path):
    """The config as the tests train it."""
    DefaultScope._instance_dict.clear()
    config, _ = reduced(Config.fromfile(path))
    without_downloads(config)
    return config


def what_is_exported(config):
    """All that makes a difference to the graph: configs that differ in training share it."""
    head = {k: v for k, v in config.model.head.items() if 'loss' not in k}
    steps = [step for step in config.test_dataloader.dataset.pipeline]
    model = {**config.model, 'head': head, 'init_cfg': None}
    return json.dumps([model, steps], default=str, sort_keys=True)


def lively(model):
    """Random weights with which the picture reaches the output."""
    torch.manual_seed(0)
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.8, 1.2)
            torch.nn.init.uniform_(part.weight, 0.8, 1.2)
    for part in model.backbone.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight, mode='fan_in')
    return model


def distinct():
    found = {}
    for path in CONFIGS:
        config = small(path)
        if 'Bottomup' in config.model.type or 'Pyramid' in config.model.type:
            continue
        found.setdefault(what_is_exported(config), path)
    return list(found.values())


@pytest.mark.parametrize('path', distinct(), ids=lambda path: path.stem)
def test_exported_and_equal(path, tmp_path):
    config = small(path)
    init_default_scope('mmpose')
    model = lively(MODELS.build(config.model))
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'random.pth')
    done = export_onnx(config, tmp_path / 'random.pth', tmp_path / 'model.onnx')
    names = [each.what for each in done.differences]
    assert names == done.content['outputs']
    assert all(np.isfinite(each.largest) for each in done.differences)
    assert max(e.largest for e in done.differences if e.what != 'scores') <= LIMIT
