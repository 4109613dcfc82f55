"""The zoo is exported: every kind of model as ONNX, of every config codec and crops.

A kind is a backbone with a neck and a head, their blocks, a codec and a pipeline. Configs of one
kind differ in widths, sizes, data or training, which make no difference to what is exported. Models
are as deep as they must be to have all of their operators: exporting takes the time that it takes
for each of them.
"""

import json

import numpy as np
import pytest
import torch
from _miniature import reduced, without_downloads
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmpose.registry import KEYPOINT_CODECS, MODELS

from rlepose_ext.export.decode import decoder_of
from rlepose_ext.export.onnx import LIMIT, crop_of, export_onnx
from rlepose_ext.inference.loading import crop_pipeline
from rlepose_ext.models.backbones import hrnet_lite
from rlepose_ext.resources import resource

pytestmark = pytest.mark.slow

CONFIGS = sorted(resource('configs').glob('[a-z]*/*.py'))
ONE_STAGE = ('dekr', 'yoloxpose', 'movenet_multipose')
TOP_DOWN = [path for path in CONFIGS if not path.stem.startswith(ONE_STAGE)]


def loaded(path):
    """The config, and the registries as MMPose has them."""
    DefaultScope._instance_dict.clear()
    config = Config.fromfile(path)
    init_default_scope('mmpose')
    return config


def small(path):
    """The config at the size of the tests, with no more layers than it needs."""
    config, _ = reduced(loaded(path))
    without_downloads(config)
    extra = config.model.backbone.get('extra') or {}
    for name in ('stage1', 'stage2', 'stage3', 'stage4'):
        if name in extra:
            blocks = extra[name]['num_blocks']
            extra[name].update(num_modules=1, num_blocks=(1,) * len(blocks))
    if 'stages_spec' in extra:
        ones = (1,) * extra['num_stages']
        extra['stages_spec'].update(num_modules=ones, num_blocks=ones)
    return config


def kind(config):
    """What makes a difference to the operators of the graph."""
    model, codec = config.model, dict(config.model.head.get('decoder') or {})
    backbone, neck = model.backbone, model.get('neck') or {}
    options = ('depth', 'share_gau', 'taps', 'act')
    steps = crop_pipeline(config).transforms
    return json.dumps(
        [
            [model.type, backbone.type, neck.get('type'), model.head.type],
            [backbone.get(name) for name in options],
            backbone.get('in_channels', 3),
            _types([model.head.get(name) for name in ('blocks', 'logit_blocks', 'classifier')]),
            [model.head.get(name) for name in ('split', 'deconv_type')],
            [codec.get(name) for name in ('type', 'heatmap_type', 'unbiased')],
            model.get('test_cfg', {}).get('branch'),
            [type(step).__name__ for step in steps],
        ],
        default=str,
        sort_keys=True,
    )


def _types(nest):
    if isinstance(nest, dict):
        return {k: v for k, v in nest.items() if isinstance(v, (str, bool)) or v is None}
    return [_types(each) for each in nest] if isinstance(nest, (list, tuple)) else nest


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
            torch.nn.init.kaiming_normal_(part.weight, mode='fan_in', nonlinearity='linear')
    return model


def kinds():
    """By kind, the first config of it."""
    found = {}
    for path in TOP_DOWN:
        found.setdefault(kind(small(path)), path)
    return found.values()


@pytest.fixture
def shallow(monkeypatch):
    """HRNetLite, whose depth is no option, with one block on a branch and one module in a stage."""
    stage = hrnet_lite._stage

    def one(*args, **kwargs):
        made = stage(*args, **kwargs)
        return {**made, 'num_blocks': (1,) * made['num_branches'], 'num_modules': 1}

    monkeypatch.setattr(hrnet_lite, '_stage', one)


def test_every_kind_as_onnx(tmp_path, shallow):
    """All that fail are named at the end."""
    pytest.importorskip('onnxscript', reason='needs the extra [export]')
    failures = {}
    for path in kinds():
        config = small(path)
        model = lively(MODELS.build(config.model))
        torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'random.pth')
        try:
            done = export_onnx(config, tmp_path / 'random.pth', tmp_path / 'model.onnx')
        except Exception as error:
            failures[path.stem] = str(error)
            continue
        far = {each.what: each.largest for each in done.differences}
        if list(far) != done.content['outputs'] or not far['keypoints'] <= LIMIT:
            failures[path.stem] = far
    assert failures == {}


@pytest.mark.parametrize('path', TOP_DOWN, ids=lambda path: path.stem)
def test_codec_and_crops_of_every_config(path):
    config = loaded(path)
    decoder_of(KEYPOINT_CODECS.build(config.model.head.decoder), config.model.get('test_cfg'))
    crop, channels = crop_of(crop_pipeline(config).transforms)
    assert channels == np.size(config.model.data_preprocessor.mean)
    assert crop['type'] in ('padded', 'stretch')
