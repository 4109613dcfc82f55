"""Boxes of mmdet's models, against MMPose's demo and by hand."""

import numpy as np
import pytest
import torch
from random_weights import random_rtmdet, save, small_config

from rlepose_ext.errors import UserError
from rlepose_ext.inference.boxes import best_of
from rlepose_ext.inference.detectors import LOW_SHARE, FullImage, MMDetDetector


@pytest.fixture(scope='module')
def rtmdet(tmp_path_factory):
    return random_rtmdet(tmp_path_factory.mktemp('rtmdet'), 96)


@pytest.fixture(scope='module')
def frames(noise):
    return [noise(120, 90, seed) for seed in (0, 1)]


def stock_boxes(config, checkpoint, frame, bbox_thr, nms_thr):
    """What MMPose's topdown_demo_with_mmdet.py does with a frame."""
    from mmdet.apis import inference_detector, init_detector
    from mmpose.evaluation.functional import nms

    model = init_detector(str(config), str(checkpoint), device='cpu')
    found = inference_detector(model, frame).pred_instances.cpu().numpy()
    rows = np.concatenate((found.bboxes, found.scores[:, None]), axis=1)
    rows = rows[np.logical_and(found.labels == 0, found.scores > bbox_thr)]
    return rows[nms(rows, nms_thr)]


@pytest.mark.parametrize(('bbox_thr', 'nms_thr'), [(0.3, 0.3), (0.0, 0.9)])
@pytest.mark.slow
def test_equal_to_mmposes_demo(rtmdet, frames, bbox_thr, nms_thr):
    detect = MMDetDetector(*rtmdet, 'cpu', None, bbox_thr, nms_thr)
    assert detect.categories == [0]
    # what a tracker may see; all of its boxes would be sorted without a threshold
    assert detect.model.bbox_head.test_cfg.score_thr == max(bbox_thr * LOW_SHARE, 0.001)
    for frame, (boxes, scores) in zip(frames, detect(frames, ['a', 'b']), strict=True):
        expected = stock_boxes(*rtmdet, frame, bbox_thr, nms_thr)
        assert len(expected) > 1
        np.testing.assert_allclose(boxes, expected[:, :4], atol=1e-3)
        np.testing.assert_allclose(scores, expected[:, 4], atol=1e-5)
        assert (boxes >= 0).all()
        # mmdet pads to a square, and boxes may end there
        assert (boxes <= 120).all()
        assert (scores > bbox_thr).all()


def yolox_sees_persons(model):
    head = model.bbox_head
    for part in (*head.multi_level_conv_obj, *head.multi_level_conv_cls):
        part.bias.data[0] = 2.0
    for part in head.multi_level_conv_reg:
        torch.nn.init.normal_(part.weight, 0, 1e-4)
        part.bias.data[2:] = 1.0  # e strides wide and high


def faster_rcnn_sees_persons(model):
    model.roi_head.bbox_head.fc_cls.bias.data[0] = 5.0  # beside 79 classes and the background


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'see_persons'), [
    ('yolox/yolox_tiny_8xb8-300e_coco', yolox_sees_persons),
    ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco', faster_rcnn_sees_persons),
])  # fmt: skip
def test_other_detectors_of_mmdet(name, see_persons, frames, tmp_path):
    from mmdet.apis import init_detector

    config = small_config(f'{name}.py', tmp_path / 'config.py', 96)
    model = init_detector(config, device='cpu')
    see_persons(model)
    checkpoint = save(model, tmp_path / 'random.pth')
    detect = MMDetDetector(config, checkpoint)
    for frame, (boxes, scores) in zip(frames, detect(frames, ['a', 'b']), strict=True):
        expected = stock_boxes(config, checkpoint, frame, 0.3, 0.3)
        assert len(expected) > 1
        np.testing.assert_allclose(boxes, expected[:, :4], atol=1e-3)
        np.testing.assert_allclose(scores, expected[:, 4], atol=1e-5)


@pytest.mark.slow
def test_several_classes(rtmdet):
    """Their boxes are those of each class together."""
    frame = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)

    def found(*classes):
        detect = MMDetDetector(*rtmdet, category=list(classes), bbox_thr=0.0, nms_thr=1.0)
        ((boxes, _),) = detect([frame], ['a'])
        return sorted(map(tuple, boxes.round(3).tolist()))

    both = found(0, 16)
    assert both == sorted(found(0) + found(16))
    assert len(both) > len(found(0))


def test_a_detector_without_persons(rtmdet, tmp_path):
    config, checkpoint = rtmdet
    content = torch.load(checkpoint)
    content['meta']['dataset_meta']['classes'] = tuple(f'sign {n}' for n in range(80))
    torch.save(content, tmp_path / 'signs.pth')
    with pytest.raises(UserError, match=r'no class person \(it has sign 0, sign 1, .*--det-cat-id'):
        MMDetDetector(config, tmp_path / 'signs.pth')
    assert MMDetDetector(config, tmp_path / 'signs.pth', category=3).categories == [3]
    with pytest.raises(UserError, match='category 80 of 80 classes'):
        MMDetDetector(config, tmp_path / 'signs.pth', category=80)


def test_files_that_do_not_fit(rtmdet, pose, tmp_path):
    from rlepose_ext.inference import PoseEstimator

    config, checkpoint = rtmdet
    with pytest.raises(UserError, match='is no detector of mmdet: it builds TopdownPoseEstimator'):
        MMDetDetector(*pose)
    with pytest.raises(UserError, match='RTMDet is not top-down'):
        PoseEstimator(*rtmdet, device='cpu')
    content = torch.load(checkpoint)
    state = content['state_dict']
    content['state_dict'] = {k: v for k, v in state.items() if not k.startswith('neck.')}
    torch.save(content, tmp_path / 'headless.pth')
    with pytest.raises(UserError, match=r'missing: neck\.'):
        MMDetDetector(config, tmp_path / 'headless.pth')
    (tmp_path / 'text.pth').write_text('no checkpoint')
    for path in (tmp_path / 'text.pth', 'absent.pth'):
        with pytest.raises(UserError, match=r'text\.pth|absent\.pth does not exist'):
            MMDetDetector(config, path)
    for text, message in (
        ('data = 3', "there is no 'model'"),
        ("model = dict(type='RTMDet')", 'is no detector: it has no test_dataloader'),
        ('model = dict(', 'SyntaxError'),
        (f"_base_ = '{config}'\nmodel = dict(neck=dict(no_such_argument=3))", 'no_such_argument'),
        (f"_base_ = '{config}'\nmodel = dict(backbone=None)", r'wrong\.py with .*rtmdet\.pth: '),
    ):
        (tmp_path / 'wrong.py').write_text(text)
        with pytest.raises(UserError, match=message) as raised:
            MMDetDetector(tmp_path / 'wrong.py', checkpoint)
        assert 'wrong.py' in str(raised.value)


def test_best_of_by_hand():
    boxes = np.array([
        [0, 0, 999, 999],
        [0, 0, 999, 799],  # the best; IoU 0.8 with the first
        [0, 0, 999, 199],  # IoU 0.2 with the first, 0.25 with the second
        [5, 5, 5, 9],  # no area
        [0, 0, np.inf, 9],
        [2000, 0, 3000, 10],  # at the threshold
    ], np.float32)  # fmt: skip
    scores = np.array([0.9, 0.95, 0.8, 0.99, 0.99, 0.5], np.float32)
    # a box's last pixel is counted in, so these IoUs are exact
    for nms_thr, expected in ((0.24, [1]), (0.26, [1, 2]), (0.79, [1, 2]), (0.81, [1, 0, 2])):
        np.testing.assert_array_equal(best_of(boxes, scores, 0.5, nms_thr), expected)
    assert best_of(boxes[:0], scores[:0], 0.5, 0.3).shape == (0,)


def test_the_whole_image():
    for shape in ((1, 1), (20, 500), (500, 20), (1, 30000)):
        ((boxes, scores),) = FullImage()([np.zeros((*shape, 3), np.uint8)], ['a'])
        assert boxes.tolist() == [[0, 0, *shape[::-1]]]
        assert scores.tolist() == [1]
