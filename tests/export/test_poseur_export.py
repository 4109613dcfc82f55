"""Poseur as ONNX: sampling between pixels is part of the graph, sigma comes along."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from rlepose_ext.export.onnx import LIMIT, export_onnx
from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.onnx_pose import OnnxPose
from rlepose_ext.models.input_size import at_input_size
from rlepose_ext.resources import resource

pytestmark = pytest.mark.slow

CONFIG = 'configs/poseur/poseur_res50_8xb32-325e_coco-256x192.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """At 96x64 with ResNet-18: config and a checkpoint whose two layers move joints."""
    init_default_scope('mmpose')
    config = at_input_size(Config.fromfile(resource(CONFIG)), (64, 96))
    config.model.backbone.pop('init_cfg')
    config.model.backbone.depth = 18
    config.model.neck.in_channels = [64, 128, 256, 512]
    config.model.head.num_layers = 2
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    for layer in model.head.layers:
        for part in (layer.step, layer.correction, layer.sigma, layer.cross_attention):
            for parameter in part.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp('poseur') / 'random.pth'
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)
    return config, path


def test_equals_the_checkpoint(trained, tmp_path):
    pytest.importorskip('onnxscript', reason='needs the extra [export]')
    done = export_onnx(*trained, tmp_path / 'poseur.onnx')
    assert done.content['outputs'] == ['keypoints', 'scores', 'sigma']
    far = {each.what: each.largest for each in done.differences}
    assert far['keypoints'] <= LIMIT
    assert far['sigma'] <= LIMIT
    # another batch than the exporter has seen
    estimator = PoseEstimator(*trained, device='cpu', flip_test=False)
    crops = np.random.default_rng(0).integers(0, 255, (5, 96, 64, 3), np.uint8)
    expected = estimator.points(crops)
    for found, ours in zip(OnnxPose(done.path, 'cpu').points(crops), expected, strict=True):
        np.testing.assert_allclose(found, ours, atol=LIMIT)
