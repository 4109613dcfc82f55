"""Whole models on the stand-in: training steps and predictions of drawn inputs."""

from pathlib import Path

import mmdet
import mmpose
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from torchvision.ops import box_iou

# An untrained model is sure of nothing, so every score counts.
ONE_STAGE, TWO_STAGE = {'model.test_cfg.score_thr': 0.0}, {'model.test_cfg.rcnn.score_thr': 0.0}
# YOLOX takes raw pixels, too large for untrained layers, and its random resizing asks the
# runner for the iteration.
YOLOX = {
    **ONE_STAGE,
    'model.data_preprocessor.mean': [127.5] * 3,
    'model.data_preprocessor.std': [64.0] * 3,
    'model.data_preprocessor.batch_augments': None,
}
SOFT = {**TWO_STAGE, 'model.test_cfg.rcnn.nms.type': 'soft_nms'}
R50 = 'r50_fpn_1x_coco.py'
# Config, what to change in it, and the highest overlap that its NMS leaves within a class.
FAST = [
    ('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', ONE_STAGE, 0.65),
    ('yolox/yolox_s_8xb8-300e_coco.py', YOLOX, 0.65),
]
SLOW = [
    (f'faster_rcnn/faster-rcnn_{R50}', TWO_STAGE, 0.5),
    (f'faster_rcnn/faster-rcnn_{R50}', SOFT, 1.0),
    ('dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py', TWO_STAGE, 0.5),
    ('dcnv2/faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py', TWO_STAGE, 0.5),
    (f'retinanet/retinanet_{R50}', ONE_STAGE, 0.5),
]
DETECTORS = [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


def build(package, name, overrides=None):
    scope = package.__name__
    config = Config.fromfile(Path(package.__file__).parent / '.mim/configs' / name)
    config.merge_from_dict(overrides or {})
    with DefaultScope.overwrite_default_scope(scope):
        if scope == 'mmdet':
            import mmdet.models  # noqa: F401
            from mmdet.registry import MODELS
        else:
            import mmpose.models  # noqa: F401
            from mmpose.registry import MODELS
        return revert_sync_batchnorm(MODELS.build(config.model))


def step(model, data):
    """One forward and backward pass; every parameter that trains gets a gradient."""
    model.train()
    loss, log = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
    assert loss.isfinite(), log
    loss.backward()
    grads = {k: p.grad for k, p in model.named_parameters() if p.requires_grad}
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    return log


@pytest.mark.parametrize(('name', 'overrides', 'nms_iou'), DETECTORS)
def test_detectors_predict_and_train(name, overrides, nms_iou):
    from mmdet.testing import demo_mm_inputs

    model = build(mmdet, name, overrides)
    data = demo_mm_inputs(2, [[3, 96, 96], [3, 64, 96]], num_items=[2, 3])
    with DefaultScope.overwrite_default_scope('mmdet'):
        model.eval()
        with torch.no_grad():
            results = model(**model.data_preprocessor(data, False), mode='predict')
        step(model, data)
    for result in results:
        found = result.pred_instances
        assert 1 < len(found) <= 300
        assert found.bboxes.isfinite().all()
        assert (found.scores.diff() <= 0).all()
        same = (found.labels[:, None] == found.labels).fill_diagonal_(False)
        assert same.any(), 'nothing that could have been suppressed'
        assert box_iou(found.bboxes, found.bboxes)[same].max() <= nms_iou + 1e-4


@pytest.mark.slow
def test_dekr_trains_and_predicts():
    from mmpose.testing import get_packed_inputs

    model = build(
        mmpose,
        'body_2d_keypoint/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py',
        {'model.test_cfg.multiscale_test': False, 'model.test_cfg.flip_test': False},
    )
    offsets = [m for m in model.modules() if type(m).__name__ == 'DeformConv2d']
    assert [m.deform_groups for m in offsets] == [17, 17]
    calls = []
    for module in offsets:
        module.register_forward_hook(lambda *_: calls.append(1))
    heatmaps, displacements = model(torch.randn(1, 3, 64, 64), None, mode='tensor')
    assert heatmaps.shape == (1, 18, 16, 16)
    assert displacements.shape == (1, 34, 16, 16)
    assert len(calls) == len(offsets)
    (heatmaps.square().mean() + displacements.square().mean()).backward()
    assert all(m.weight.grad is not None and m.weight.grad.any() for m in offsets)
    trained = [p for k, p in model.head.named_parameters() if 'rescore_net' not in k]
    assert all(p.grad.isfinite().all() for p in trained)

    model.eval()
    data = get_packed_inputs(1, img_shape=(64, 64), input_size=(64, 64))
    with DefaultScope.overwrite_default_scope('mmpose'), torch.no_grad():
        (result,) = model(**model.data_preprocessor(data, False), mode='predict')
    assert result.pred_instances.keypoints.shape[1:] == (17, 2)
