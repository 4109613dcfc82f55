"""The zoo is exported: most parts of the top-down configs in ONNX, of each config codec and crops.

A part is a backbone, a neck, a head, a block of a head, a codec or a pipeline, with the options
that change its operators. Widths, sizes and data do not, nor how often a layer is repeated. The
exporter takes ten seconds a model, so the :data:`COUNT` configs that have most parts together are
exported.
"""

import json
from itertools import islice

import numpy as np
import pytest
import torch
from _miniature import reduced, without_downloads
from export_matrix import lively
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
COUNT = 12
# Models that find everybody (test_people.py); PoseFix, which needs a pose beside the crop; models
# that are trained for 8 bit, which have no ranges before (test_int8.py).
OTHERS = (
    *('adaptivepose', 'dekr', 'yolopose', 'yoloxpose', 'movenet_multipose', 'posefix'),
    *('rle-ptq', 'rle-lsq', 'rle-qat', 'simcc-lsq', 'simcc-qat'),
)
TOP_DOWN = [path for path in CONFIGS if not path.stem.startswith(OTHERS)]


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


def parts(config):
    """What makes a difference to the operators of the graph, as texts."""
    model, head = config.model, config.model.head
    codec, backbone = dict(head.get('decoder') or {}), model.backbone
    blocks = [*head.get('blocks', ()), *head.get('logit_blocks', ()), head.get('classifier')]
    options = ('share_gau', 'taps', 'act', 'concat')
    found = [
        ['estimator', model.type],
        ['backbone', backbone.type, backbone.get('depth', 0) > 34],
        *(['backbone', backbone.type, name, backbone.get(name)] for name in options),
        ['channels', backbone.get('in_channels', 3)],
        ['neck', model.get('neck')],
        ['head', head.type, head.get('split'), model.get('test_cfg', {}).get('branch')],
        *(['block', _kinds(block)] for block in blocks),
        ['codec', head.type, *(codec.get(name) for name in ('type', 'heatmap_type', 'unbiased'))],
        ['crop', [type(step).__name__ for step in crop_pipeline(config).transforms]],
    ]
    return {json.dumps(each, default=str, sort_keys=True) for each in found}


def _kinds(block):
    """The options of a block that are names or switches."""
    return {k: v for k, v in (block or {}).items() if isinstance(v, (str, bool))}


def chosen():
    """Configs that have all parts between them, those with most new ones first."""
    waiting = {path: parts(small(path)) for path in TOP_DOWN}
    while any(waiting.values()):
        path = max(waiting, key=lambda each: len(waiting[each]))
        yield path
        covered = waiting[path]
        waiting = {each: rest - covered for each, rest in waiting.items()}


@pytest.fixture
def shallow(monkeypatch):
    """HRNetLite, whose depth is no option, with one block on a branch and one module in a stage."""
    stage = hrnet_lite._stage

    def one(*args, **kwargs):
        made = stage(*args, **kwargs)
        return {**made, 'num_blocks': (1,) * made['num_branches'], 'num_modules': 1}

    monkeypatch.setattr(hrnet_lite, '_stage', one)


def test_every_part_as_onnx(tmp_path, shallow):
    """All that fail are named at the end."""
    pytest.importorskip('onnxscript', reason='needs the extra [export]')
    failures = {}
    for path in islice(chosen(), COUNT):
        config = small(path)
        model = MODELS.build(config.model)
        lively(model)
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
