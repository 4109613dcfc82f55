"""YOLO-Pose computes what its authors' network computes, learns with it, and stays finite."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import DATASETS, MODELS
from mmpose.structures import PoseDataSample
from model_case import assert_finite, assert_learns, total
from torchvision.ops import complete_box_iou_loss

from rlepose_ext.convert import yolopose
from rlepose_ext.datasets.pipelines import with_codec
from rlepose_ext.errors import UserError
from rlepose_ext.models.heads import YOLOPoseHead
from rlepose_ext.models.losses import YOLOPoseLoss
from rlepose_ext.models.losses.yolopose import complete_iou, oks_error

K = 17
CONFIG = 'configs/yolopose/yolopose_yolov5s6_4xb16-300e_coco-640x640.py'
SMALL = (8, 16, 24, 32)


def build(root, **head):
    init_default_scope('mmpose')
    config = Config.fromfile(root / CONFIG)
    config.model.head.update(head)
    return MODELS.build(config.model)


def small_head(batch_size=2, **loss):
    """A head for narrow maps of a picture of 256 x 192 px."""
    decoder = {'type': 'rlepose_ext.YOLOPoseLabel', 'input_size': (256, 192)}
    loss = {'type': 'rlepose_ext.YOLOPoseLoss', 'batch_size': batch_size, **loss}
    return YOLOPoseHead(SMALL, K, decoder, loss)


def small_feats(images=2, **options):
    return [
        torch.randn(images, channels, 192 // stride, 256 // stride, **options)
        for channels, stride in zip(SMALL, (8, 16, 32, 64), strict=True)
    ]


def labelled(head, persons):
    """A sample of persons (joints (N, K, 2), visibility (N, K), boxes (N, 4)), input px."""
    labels = head.decoder.encode(*persons)
    labels = {name: labels[name] for name in head.decoder.label_mapping_table}
    sample = PoseDataSample()
    sample.gt_instance_labels = InstanceData(**labels).to_tensor()
    return sample


def some_persons(number, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (number, 2))
    high = low + rng.uniform(20, 130, (number, 2))
    joints = low[:, None] + rng.uniform(0, 1, (number, K, 2)) * (high - low)[:, None]
    visible = rng.integers(0, 2, (number, K))
    return joints.astype(np.float32), visible, np.concatenate([low, high], 1).astype(np.float32)


@pytest.fixture(scope='module')
def original(root, golden):
    """The case, and our network with its weights."""
    arrays, state = golden('yolopose-s6')
    state = {key: torch.as_tensor(value) for key, value in state.items()}
    model = build(root).eval()
    own = model.state_dict()
    converted = yolopose.convert(state)
    # counters of batch norm have no value there
    assert {key for key in own if key not in converted} <= {
        key for key in own if key.endswith('num_batches_tracked')
    }
    assert all('head.loss' not in key for key in own)
    model.load_state_dict(own | converted, strict=True)
    return arrays, model


def test_parameters(root):
    model = build(root)
    parts = {
        'backbone': model.backbone,
        'neck': model.neck,
        'boxes': model.head.detection,
        'joints': model.head.keypoints,
    }
    counted = {k: sum(p.numel() for p in part.parameters()) for k, part in parts.items()}
    assert counted == {
        'backbone': 6_353_856,
        'neck': 5_986_560,
        'boxes': 23_112,
        'joints': 2_751_332,
    }
    assert sum(p.numel() for p in model.parameters()) == 15_114_860


def test_maps_of_the_original(original):
    arrays, model = original
    with torch.no_grad():
        feats = model.extract_feat(torch.from_numpy(arrays['in/image']))
        maps = model.head.forward(feats)
    assert [each.shape[1] for each in feats] == list(model.neck.out_channels)
    for level, found in enumerate(maps):
        # The case's weights hardly let the picture through: an error in the first layer is some
        # 1e-4 here, rounding 3e-7.
        np.testing.assert_allclose(found, arrays[f'out/raw{level}'], atol=2e-6)


def test_decoding_of_the_original(original):
    arrays, model = original
    maps = [torch.from_numpy(arrays[f'out/raw{level}']) for level in range(4)]
    boxes, points, scores, joint_scores = model.head.activate(maps)
    expected = torch.from_numpy(arrays['out/decoded'])
    middle, size = expected[..., :2], expected[..., 2:4]
    corners = torch.cat([middle - size / 2, middle + size / 2], -1)
    # coordinates reach thousands of px: 1e-4 of a cell, and 1e-6 of the value
    torch.testing.assert_close(boxes, corners, atol=1e-3, rtol=1e-6)
    joints = expected[..., 6:].unflatten(-1, (K, 3))
    torch.testing.assert_close(points, joints[..., :2], atol=1e-3, rtol=1e-6)
    torch.testing.assert_close(joint_scores, joints[..., 2], atol=1e-5, rtol=0)
    torch.testing.assert_close(scores, expected[..., 4] * expected[..., 5], atol=1e-5, rtol=0)


class RawHead(YOLOPoseHead):
    """Takes maps for features."""

    def forward(self, feats):
        return list(feats)


def samples_of(head, targets, size, images):
    """Samples of the original's rows: image, class, box and joints as fractions of the picture."""
    samples = []
    for image in range(images):
        rows = targets[targets[:, 0] == image]
        middle, extent = rows[:, 2:4] * size, rows[:, 4:6] * size
        joints = (rows[:, 6:].reshape(-1, K, 2) * size).astype(np.float32)
        boxes = np.concatenate([middle - extent / 2, middle + extent / 2], 1)
        samples.append(labelled(head, (joints, joints[..., 0] != 0, boxes)))
    return samples


def test_losses_of_the_original(original):
    arrays, _ = original
    maps = [torch.from_numpy(arrays[f'in/p{level}']) for level in range(4)]
    images, _, rows, columns, _ = maps[0].shape
    size = np.array([8 * columns, 8 * rows])
    decoder = {'type': 'rlepose_ext.YOLOPoseLabel', 'input_size': size.tolist()}
    loss = {'type': 'rlepose_ext.YOLOPoseLoss', 'batch_size': images}
    head = RawHead(SMALL, K, decoder, loss)
    losses = head.loss(maps, samples_of(head, arrays['in/targets'], size, images))
    box, objectness, _, keypoint, visibility, whole = arrays['out/loss_parts'].ravel()
    found = {name: value.item() / images for name, value in losses.items()}
    expected = {
        'loss_box': box,
        'loss_objectness': objectness,
        'loss_keypoint': keypoint,
        'loss_visibility': visibility,
    }
    assert found == pytest.approx(expected, abs=1e-4)
    assert total(losses).item() == pytest.approx(arrays['out/loss'].item(), abs=1e-3)
    assert sum(found.values()) == pytest.approx(whole, abs=1e-4)


def test_suppression_of_the_original(original):
    arrays, _ = original
    rows = torch.from_numpy(arrays['in/nms_in']).reshape(-1, 6 + 3 * K)
    middle, size = rows[:, :2], rows[:, 2:4]
    joints = rows[:, 6:].unflatten(-1, (K, 3))
    parts = (
        torch.cat([middle - size / 2, middle + size / 2], -1),
        joints[..., :2],
        rows[:, 4] * rows[:, 5],
        joints[..., 2],
    )
    head = small_head()
    head.activate = lambda maps: tuple(part[None] for part in parts)
    (pose,) = head.predict(small_feats(1), [], {'score_thr': 0.25, 'nms_thr': 0.45})
    expected = arrays['out/nms'].reshape(-1, 6 + 3 * K)
    assert len(pose.bboxes) == len(expected)
    np.testing.assert_allclose(pose.bboxes, expected[:, :4], atol=1e-4)
    np.testing.assert_allclose(pose.bbox_scores, expected[:, 4], atol=1e-4)
    joints = expected[:, 6:].reshape(-1, K, 3)
    np.testing.assert_allclose(pose.keypoints, joints[..., :2], atol=1e-4)
    np.testing.assert_allclose(pose.keypoint_scores, joints[..., 2], atol=1e-4)


def test_overlap_is_torchvisions():
    rng = torch.Generator().manual_seed(0)
    boxes = torch.rand(200, 2, 4, generator=rng, dtype=torch.float64) * 100
    boxes[..., 2:] += boxes[..., :2] + 1
    found, true = boxes.unbind(1)
    found.requires_grad_()
    middle, size = (found[:, :2] + found[:, 2:]) / 2, found[:, 2:] - found[:, :2]
    ours = 1 - complete_iou(middle, size, true)
    theirs = complete_box_iou_loss(found, true)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    gradients = [torch.autograd.grad(loss.sum(), found)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)
    met = complete_iou((true[:, :2] + true[:, 2:]) / 2, true[:, 2:] - true[:, :2], true)
    torch.testing.assert_close(met, torch.ones_like(met))


@pytest.mark.parametrize('size', [[0.0, 0.0], [0.0, 5.0], [1e30, 1.0], [1e-30, 1e-30]])
def test_overlap_of_a_box_without_sides_is_finite(size):
    middle = torch.tensor([[3.0, 4.0]], requires_grad=True)
    size = torch.tensor([size], requires_grad=True)
    value = complete_iou(middle, size, torch.tensor([[0.0, 0.0, 9.0, 8.0]]))
    value.sum().backward()
    for tensor in (value, middle.grad, size.grad):
        assert tensor.isfinite().all()


def test_error_of_joints_in_closed_form():
    sigmas = torch.tensor([0.026, 0.107])
    points = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[6.0, 8.0], [0.0, 1000.0]]])
    errors = oks_error(points, torch.zeros(2, 2, 2), torch.tensor([100.0, 400.0]), sigmas)
    # twice the distance in a person of four times the area is the same
    first = 1 - np.exp(-25 / (4 * 0.026**2 * 100))
    np.testing.assert_allclose(errors, [[first, 0], [first, 1]], atol=1e-6)
    points = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    area = torch.tensor([100.0, 300.0]).double()
    assert torch.autograd.gradcheck(
        lambda p: oks_error(p, torch.zeros(2, 2, 2), area, sigmas.double()), points
    )


def test_the_factor_of_images_does_not_depend_on_the_batch():
    head, feats = small_head(batch_size=64), small_feats(2)
    sample = labelled(head, some_persons(2))
    both = head.loss([each[:1].repeat(2, 1, 1, 1) for each in feats], [sample, sample])
    one = head.loss([each[:1] for each in feats], [sample])
    for name, value in both.items():
        assert value.item() == pytest.approx(one[name].item(), rel=1e-5)


def test_two_persons_in_one_place():
    """The place says the smaller box; the other one may come first or last."""
    joints, visible, boxes = some_persons(1)
    joints, visible = joints.repeat(2, 0), visible.repeat(2, 0)
    boxes = np.float32([[60, 60, 100, 120], [40, 30, 120, 150]])
    found = []
    for order in ([0, 1], [1, 0]):
        torch.manual_seed(0)
        head = small_head()
        feats = small_feats(1)
        sample = labelled(head, (joints[order], visible[order], boxes[order]))
        found.append(head.loss(feats, [sample])['loss_objectness'].item())
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.slow
def test_every_parameter_learns(root):
    model = build(root)
    head = model.head
    x = torch.rand(2, 3, 192, 256)
    persons = [some_persons(3, seed) for seed in (1, 2)]
    # one who fills the picture, for the coarsest level
    joints, visible, _ = persons[0]
    persons[0] = joints, visible, np.float32([[0, 0, 250, 190], *persons[0][2][1:]])
    losses = model.head.loss(model.extract_feat(x), [labelled(head, each) for each in persons])
    assert_learns(model, total(losses))


@pytest.mark.parametrize('persons', [
    (np.zeros((0, K, 2)), np.zeros((0, K)), np.zeros((0, 4))),
    (np.zeros((1, K, 2)), np.zeros((1, K)), np.float32([[10, 20, 90, 140]])),
    (np.full((1, K, 2), 30.0), np.ones((1, K)), np.float32([[20, 20, 20, 20]])),
])  # fmt: skip
def test_nobody_no_joint_no_box(persons):
    """Trained through: every parameter gets a gradient, though it may be 0."""
    head = small_head()
    losses = head.loss(small_feats(1), [labelled(head, persons)])
    assert losses['loss_keypoint'] == 0
    assert losses['loss_objectness'] > 0
    assert_finite(head, losses)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    head, feats = small_head(), small_feats()
    samples = [labelled(head, some_persons(2, seed)) for seed in (1, 2)]
    with torch.autocast('cpu', dtype):
        losses = head.loss(feats, samples)
        with torch.no_grad():
            (pose, _) = head.predict(feats, samples, {'score_thr': 0.0})
    assert {value.dtype for value in losses.values()} == {torch.float32}
    assert_finite(head, losses)
    for values in (pose.keypoints, pose.bboxes, pose.keypoint_scores, pose.bbox_scores):
        assert np.isfinite(values).all()


def test_extreme_maps_stay_finite():
    head = small_head()
    raw = RawHead(SMALL, K, {'type': 'rlepose_ext.YOLOPoseLabel', 'input_size': (256, 192)},
                  {'type': 'rlepose_ext.YOLOPoseLoss', 'batch_size': 2})  # fmt: skip
    for value in (-1e4, 1e4):
        maps = [torch.full_like(each, value, requires_grad=True) for each in head(small_feats(1))]
        losses = raw.loss(maps, [labelled(raw, some_persons(2))])
        total(losses).backward()
        assert all(each.isfinite() for each in losses.values())
        assert all(each.grad.isfinite().all() for each in maps)


def test_nobody_is_found_where_nothing_is_likely():
    (pose,) = small_head().predict(small_feats(1), [], {'score_thr': 0.99})
    assert pose.keypoints.shape == (0, K, 2)
    assert pose.bboxes.shape == (0, 4)


def test_what_is_wrong_is_said():
    head = small_head()
    with pytest.raises(UserError, match='flip_test=False'):
        head.predict(small_feats(1), [], {'flip_test': True})
    decoder = {'type': 'rlepose_ext.YOLOPoseLabel', 'input_size': (256, 192)}
    with pytest.raises(UserError, match='2 levels of in_channels, 4 strides'):
        YOLOPoseHead((8, 16), K, decoder)
    with pytest.raises(UserError, match=r'num_keypoints is 14.* sigmas of 17 joints'):
        YOLOPoseHead(SMALL, 14, decoder, {'type': 'rlepose_ext.YOLOPoseLoss'})
    with pytest.raises(UserError, match='YOLOPoseLabel'):
        YOLOPoseHead(SMALL, K, {'type': 'RegressionLabel', 'input_size': (256, 192)})
    with pytest.raises(UserError, match='batch_size'):
        YOLOPoseLoss(batch_size=0)


@pytest.mark.slow
def test_pictures_that_teach_nothing_are_trained_through(root, tmp_path):
    """One of 5 x 3 px, one whose person has no joint, one with a crowd only, one of 1 x 1 px."""
    content = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'person'}]}
    one = {'category_id': 1, 'area': 9.0, 'iscrowd': 0, 'segmentation': []}
    for number, (width, height) in enumerate(((5, 3), (90, 70), (60, 60), (1, 1)), 1):
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.full((height, width, 3), 99, np.uint8))
        size = {'width': width, 'height': height}
        content['images'].append({'id': number, 'file_name': f'{number}.png', **size})
        labelled = number in (1, 4)
        joints = [[width / 2, height / 2, 2 * labelled]] * K
        content['annotations'].append({
            **one, 'id': number, 'image_id': number, 'bbox': [0, 0, width, height],
            'keypoints': np.ravel(joints).tolist(), 'num_keypoints': K * labelled,
            'iscrowd': int(number == 3),
        })  # fmt: skip
    (tmp_path / 'train.json').write_text(json.dumps(content))
    init_default_scope('mmpose')
    config = Config.fromfile(root / CONFIG)
    codec = {**config.codec, 'input_size': (128, 128)}
    dataset = DATASETS.build({
        'type': 'CocoDataset', 'data_root': str(tmp_path), 'ann_file': 'train.json',
        'data_prefix': {'img': ''}, 'data_mode': 'bottomup',
        'pipeline': with_codec(config.train_pipeline, codec),
    })  # fmt: skip
    assert len(dataset) == 4
    config.model.head.decoder = codec
    model = MODELS.build(config.model)
    for _ in range(2):
        batch = pseudo_collate([dataset[index] for index in range(4)])
        batch = model.data_preprocessor(batch, training=True)
        assert batch['inputs'].shape == (4, 3, 128, 128)
        losses = model(**batch, mode='loss')
        assert losses['loss_objectness'] > 0
        assert_finite(model, losses)
