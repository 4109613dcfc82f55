"""Boxes of HOG and of mmdet's models, against MMPose's demo and by hand."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from random_weights import random_checkpoint

from rlepose_ext.datasets.synthetic.scene import draw_image
from rlepose_ext.errors import UserError
from rlepose_ext.inference.boxes import overlaps
from rlepose_ext.inference.detectors import (
    FullImage,
    HogDetector,
    MMDetDetector,
    drop_nested,
    keep_best,
)
from rlepose_ext.resources import resource

POSE = str(resource('configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'))
SIDE = 96


@pytest.fixture(scope='module')
def pose(tmp_path_factory):
    """Config and checkpoint of a pose model."""
    return POSE, random_checkpoint(POSE, tmp_path_factory.mktemp('pose') / 'pose.pth')


@pytest.fixture(scope='module')
def rtmdet(tmp_path_factory):
    """mmdet's own config of RTMDet-tiny for small images, and random weights that find things."""
    from mmdet.apis import init_detector

    folder = tmp_path_factory.mktemp('rtmdet')
    dump_small('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', folder / 'rtmdet.py')
    model = init_detector(folder / 'rtmdet.py', device='cpu')
    torch.manual_seed(0)
    for part in model.bbox_head.rtm_reg:
        torch.nn.init.normal_(part.weight, 0, 0.01)
        torch.nn.init.constant_(part.bias, 2.0)
    for part in model.bbox_head.rtm_cls:
        torch.nn.init.normal_(part.weight, 0, 0.01)
        # persons first, so that there are some
        part.bias.data[:] = -3.0
        part.bias.data[0] = -0.5
    # Statistics of batch norm that keep the input's variance up to the outputs.
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.momentum = 1.0
    with torch.no_grad():
        model.train()
        x = torch.nn.functional.interpolate(torch.randn(16, 3, 6, 6), (SIDE, SIDE), mode='bicubic')
        model.bbox_head(model.extract_feat(x))
        model.eval()
    save(model, folder / 'rtmdet.pth')
    return folder / 'rtmdet.py', folder / 'rtmdet.pth'


def dump_small(name, path):
    """Write a config of mmdet's wheel for images of ``SIDE`` px."""
    wheel = Path(find_spec('mmdet').origin).parent / '.mim/configs'
    config = Config.fromfile(wheel / name)
    for step in config.test_dataloader.dataset.pipeline:
        for key in {'scale', 'size'} & set(step):
            step[key] = (SIDE, SIDE)
    config.dump(path)


def save(model, path):
    meta = {'dataset_meta': {'classes': model.dataset_meta['classes']}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)


@pytest.fixture(scope='module')
def frames():
    rng = np.random.default_rng(1)
    rough = [rng.integers(0, 255, (5, 6, 3), dtype=np.uint8) for _ in range(2)]
    return [cv2.resize(noise, (120, 90), interpolation=cv2.INTER_CUBIC) for noise in rough]


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
def test_equal_to_mmposes_demo(rtmdet, frames, bbox_thr, nms_thr):
    detect = MMDetDetector(*rtmdet, 'cpu', None, bbox_thr, nms_thr)
    assert detect.category == 0
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

    config, checkpoint = tmp_path / 'config.py', tmp_path / 'random.pth'
    dump_small(f'{name}.py', config)
    model = init_detector(config, device='cpu')
    see_persons(model)
    save(model, checkpoint)
    detect = MMDetDetector(config, checkpoint)
    for frame, (boxes, scores) in zip(frames, detect(frames, ['a', 'b']), strict=True):
        expected = stock_boxes(config, checkpoint, frame, 0.3, 0.3)
        assert len(expected) > 1
        np.testing.assert_allclose(boxes, expected[:, :4], atol=1e-3)
        np.testing.assert_allclose(scores, expected[:, 4], atol=1e-5)
        assert boxes.dtype == scores.dtype == np.float32
        assert boxes.shape == (len(scores), 4)
        assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_thresholds_go_where_the_work_is(rtmdet):
    assert MMDetDetector(*rtmdet, bbox_thr=0.3).model.bbox_head.test_cfg.score_thr == 0.3
    assert MMDetDetector(*rtmdet, bbox_thr=0.0).model.bbox_head.test_cfg.score_thr == 0.001


def test_a_pose_model_beside_it(rtmdet, pose, frames):
    """Each lives in the scope of its package, whatever was built or called before."""
    from rlepose_ext.inference import PoseEstimator

    detect = MMDetDetector(*rtmdet, 'cpu', nms_thr=0.1)
    estimate = PoseEstimator(*pose, device='cpu')
    assert type(estimate.model.head).__module__.startswith('rlepose_ext.')
    found = []
    for _ in range(2):
        boxes = [boxes for boxes, _ in detect(frames, ['a', 'b'])]
        found.append(np.concatenate([r.keypoints for r in estimate(frames, boxes)]))
    assert len(found[0]) == sum(map(len, boxes)) > 1
    np.testing.assert_array_equal(*found)
    # and the other way round
    again = MMDetDetector(*rtmdet, 'cpu', nms_thr=0.1)
    for (old, _), (new, _) in zip(detect(frames, 'ab'), again(frames, 'ab'), strict=True):
        np.testing.assert_array_equal(old, new)
    torch.manual_seed(0)
    PoseEstimator(*pose, device='cpu')(frames, boxes)


def test_a_detector_without_persons(rtmdet, tmp_path):
    config, checkpoint = rtmdet
    content = torch.load(checkpoint)
    content['meta']['dataset_meta']['classes'] = tuple(f'sign {n}' for n in range(80))
    torch.save(content, tmp_path / 'signs.pth')
    with pytest.raises(UserError, match=r'no class person \(it has sign 0, sign 1, .*--det-cat-id'):
        MMDetDetector(config, tmp_path / 'signs.pth')
    assert MMDetDetector(config, tmp_path / 'signs.pth', category=3).category == 3
    with pytest.raises(UserError, match='category 80 of 80 classes'):
        MMDetDetector(config, tmp_path / 'signs.pth', category=80)


def test_files_that_do_not_fit(rtmdet, tmp_path):
    config, checkpoint = rtmdet
    content = torch.load(checkpoint)
    state = content['state_dict']
    content['state_dict'] = {k: v for k, v in state.items() if not k.startswith('neck.')}
    torch.save(content, tmp_path / 'headless.pth')
    with pytest.raises(UserError, match=r'missing: neck\.'):
        MMDetDetector(config, tmp_path / 'headless.pth')
    (tmp_path / 'text.pth').write_text('no checkpoint')
    with pytest.raises(UserError, match=r'text\.pth'):
        MMDetDetector(config, tmp_path / 'text.pth')
    for files in (('absent.py', checkpoint), (config, 'absent.pth')):
        with pytest.raises(UserError, match=r'absent\.\w+ does not exist'):
            MMDetDetector(*files)
    for text, message in (
        ('data = 3', "there is no 'model'"),
        ("model = dict(type='RTMDet')", 'is no detector: it has no test_dataloader'),
        ('model = dict(', 'SyntaxError'),
        ("_base_ = './gone.py'", r'gone\.py'),
        (f"_base_ = '{config}'\nmodel = dict(neck=dict(type='Absent'))", 'Absent'),
        (f"_base_ = '{config}'\nmodel = dict(neck=dict(no_such_argument=3))", 'no_such_argument'),
        (f"_base_ = '{config}'\nmodel = dict(backbone=None)", r'wrong\.py with .*rtmdet\.pth: '),
    ):
        (tmp_path / 'wrong.py').write_text(text)
        with pytest.raises(UserError, match=message) as raised:
            MMDetDetector(tmp_path / 'wrong.py', checkpoint)
        assert 'wrong.py' in str(raised.value)


def test_swapped_pairs(rtmdet, pose):
    from rlepose_ext.inference import PoseEstimator

    with pytest.raises(UserError, match='is no detector of mmdet: it builds TopdownPoseEstimator'):
        MMDetDetector(*pose)
    with pytest.raises(UserError, match='RTMDet is not top-down'):
        PoseEstimator(*rtmdet, device='cpu')


def test_a_box_inside_a_better_one_is_dropped():
    boxes = np.array([[0, 0, 10, 20], [2, 12, 8, 22], [2, 12, 8, 24], [30, 0, 40, 20]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    # of the second 8 of 10 rows lie in the first, of the third 8 of 12; the third holds the second
    found, kept = drop_nested(boxes, scores)
    np.testing.assert_array_equal(found, boxes[[0, 2, 3]])
    np.testing.assert_array_equal(kept, scores[[0, 2, 3]])
    empty, none = drop_nested(boxes[:0], scores[:0])
    assert empty.shape == (0, 4)
    assert none.shape == (0,)


def test_keep_best_by_hand():
    boxes = np.array([
        [0, 0, 999, 999],
        [0, 0, 999, 799],  # the best; IoU 0.8 with the first
        [0, 0, 999, 199],  # IoU 0.2 with the first, 0.25 with the second
        [5, 5, 5, 9],  # no area
        [0, 0, np.inf, 9],
        [2000, 0, 3000, 10],  # at the threshold
    ], np.float32)  # fmt: skip
    scores = np.array([0.9, 0.95, 0.8, 0.99, 0.99, 0.5], np.float32)
    # MMPose's function counts a box's last pixel in, so these IoUs are exact
    for nms_thr, expected in ((0.24, [1]), (0.26, [1, 2]), (0.79, [1, 2]), (0.81, [1, 0, 2])):
        found, kept = keep_best(boxes, scores, 0.5, nms_thr)
        np.testing.assert_array_equal(found, boxes[expected])
        np.testing.assert_array_equal(kept, scores[expected])
    found, kept = keep_best(boxes[:0], scores[:0], 0.5, 0.3)
    assert found.shape == (0, 4)
    assert kept.shape == (0,)


def test_the_whole_image():
    ((boxes, scores),) = FullImage()([np.zeros((4, 7, 3), np.uint8)], ['a'])
    assert boxes.tolist() == [[0, 0, 7, 4]]
    assert scores.tolist() == [1]


needs_hog = pytest.mark.skipif(
    not hasattr(cv2, 'HOGDescriptor'), reason='OpenCV 5 has no HOG detector'
)


@needs_hog
@pytest.mark.parametrize('seed', [3, 11])
def test_hog_finds_drawn_people(seed):
    image, people = draw_image(np.random.default_rng(seed))
    ((boxes, scores),) = HogDetector()([image], ['a'])
    assert len(people) == 2
    for x, y, width, height in (person['bbox'] for person in people):
        assert overlaps([[x, y, x + width, y + height]], boxes).max() > 0.5
    assert (scores > 0.3).all()
    assert (np.diff(scores) <= 0).all()


@needs_hog
@pytest.mark.parametrize(('shape', 'factor'), [
    ((300, 400), 1.0),
    ((2700, 4800), 0.2),  # the longer side becomes 960
    ((72, 80), 2.0),  # the shorter one becomes 144
    ((288, 20), 4.0),  # and 80
])  # fmt: skip
def test_hog_boxes_come_back_in_image_px(shape, factor):
    detect, seen = HogDetector(), []

    class Known:
        @staticmethod
        def detectMultiScale(image, **options):
            seen.append(image.shape[:2])
            return np.array([[-4, 8, 64, 128]]), np.array([[0.5]])

    detect._hog = Known
    ((boxes, scores),) = detect([np.zeros((*shape, 3), np.uint8)], ['a'])
    assert seen == [(round(shape[0] * factor), round(shape[1] * factor))]
    # the window less its margins, 0.19 of its width and 0.1 of its height
    expected = np.array([-4 + 12.16, 8 + 12.8, 60 - 12.16, 136 - 12.8]) / factor
    np.testing.assert_allclose(boxes, [expected], rtol=1e-5)
    np.testing.assert_allclose(scores, np.tanh([0.5]), rtol=1e-5)


def test_no_hog_in_opencv_5(monkeypatch):
    monkeypatch.delattr(cv2, 'HOGDescriptor', raising=False)
    with pytest.raises(UserError, match='--det hog needs OpenCV 4'):
        HogDetector()


@needs_hog
@pytest.mark.parametrize('shape', [(1, 1), (20, 500), (500, 20), (1, 30000), (144, 80)])
def test_hog_takes_any_size(shape):
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    ((boxes, scores),) = HogDetector(bbox_thr=0)([noise], ['a'])
    assert boxes.shape == (len(scores), 4)
