"""YOLO-Pose's targets: where a person is learnt, and that every such place can say all of it."""

import numpy as np
import pytest
import torch

from rlepose_ext.codecs import YOLOPoseLabel
from rlepose_ext.codecs.yolopose_label import decode_rows
from rlepose_ext.errors import UserError

WIDTH, HEIGHT = 448, 320
K = 5


@pytest.fixture
def codec():
    return YOLOPoseLabel((WIDTH, HEIGHT))


def some_persons(number, seed=0):
    """Joints (N, K, 2), some without a label, and boxes, some at the border; input px."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(8, 260, (number, 2))
    low = rng.uniform(0, 1, (number, 2)) * ([WIDTH, HEIGHT] - size)
    joints = low[:, None] + rng.uniform(0, 1, (number, K, 2)) * size[:, None]
    visible = rng.integers(0, 2, (number, K)).astype(np.float32)
    boxes = np.concatenate([low, low + size], 1)
    return joints.astype(np.float32), visible, boxes.astype(np.float32)


def test_one_person_by_hand(codec):
    """50 x 60 px around (105, 94): six anchors fit, each in its cell and two neighbours."""
    joints = np.float32([[[100, 90], [0, 0], [130, 124], [105, 64], [-3, 80]]])
    found = codec.encode(joints, np.float32([[1, 0, 1, 1, 1]]), np.float32([[80, 64, 130, 124]]))
    by_hand = {
        # stride 8, cell (13, 11) at (.125, .75) of it: left and below
        (0, 0): [(11, 13), (11, 12), (12, 13)],
        (0, 1): [(11, 13), (11, 12), (12, 13)],
        (0, 2): [(11, 13), (11, 12), (12, 13)],
        # stride 16, cell (6, 5) at (.56, .875): right and below
        (1, 0): [(5, 6), (5, 7), (6, 6)],
        (1, 1): [(5, 6), (5, 7), (6, 6)],
        (1, 2): [(5, 6), (5, 7), (6, 6)],
    }
    expected = [[*place, *cell] for place, cells in by_hand.items() for cell in cells]
    assert sorted(found['cells'].tolist()) == sorted(expected)
    assert (found['boxes'] == [80, 64, 130, 124]).all()
    # without a label, and outside of the picture
    assert (found['keypoint_weights'] == [1, 0, 1, 1, 0]).all()
    assert (found['keypoint_labels'][:, [1, 4]] == 0).all()
    assert (found['keypoint_labels'][:, 2] == [130, 124]).all()


def raw_for(codec, level, anchor, cell, box, joints):
    """What a cell has to say for this box and these joints: the formulas inverted."""
    stride = codec.strides[level]
    low, high = box[:2].astype(float), box[2:].astype(float)
    share = (((low + high) / 2 / stride - cell) + 0.5) / 2
    times = np.sqrt((high - low) / codec.anchors[level, anchor]) / 2
    box_part = np.log([*(share / (1 - share)), *(times / (1 - times))])
    points = np.zeros((len(joints), 3))
    points[:, :2] = (joints / stride - cell + 0.5) / 2
    return np.concatenate([box_part, [5.0, 5.0], points.ravel()])


def test_every_place_can_say_all(codec):
    joints, visible, boxes = some_persons(40)
    labels = codec.encode(joints, visible, boxes)
    assert len(labels['cells']) > 40 * 3
    assert set(labels['cells'][:, 0]) == {0, 1, 2, 3}
    for index, (level, anchor, y, x) in enumerate(labels['cells']):
        box, points = labels['boxes'][index], labels['keypoint_labels'][index]
        raw = torch.tensor(raw_for(codec, level, anchor, (x, y), box, points))
        assert raw.isfinite().all()
        cell = torch.tensor([x, y])
        size = torch.tensor(codec.anchors[level, anchor])
        middle, sides, found = decode_rows(raw, cell, size, codec.strides[level])
        corners = torch.cat([middle - sides / 2, middle + sides / 2])
        np.testing.assert_allclose(corners, box, atol=1e-3)
        np.testing.assert_allclose(found, points, atol=1e-3)


def test_decoded_maps_hold_what_a_cell_says(codec):
    """In one cell of each level stands a person; everywhere else there is nobody."""
    maps, persons = [], []
    for level, stride in enumerate(codec.strides):
        rows, columns = HEIGHT // stride, WIDTH // stride
        raw = torch.full((1, 3, rows, columns, 6 + 3 * K), -20.0)
        anchor, y, x = level % 3, rows // 2, columns - 1
        middle = np.array([x + 0.3, y + 0.8]) * stride
        half = codec.anchors[level, anchor] * 0.6
        box = np.concatenate([middle - half, middle + half])
        joints = middle + np.arange(2 * K).reshape(K, 2)
        raw[0, anchor, y, x] = torch.tensor(raw_for(codec, level, anchor, (x, y), box, joints))
        maps.append(raw)
        persons.append((box, joints))
    boxes, points, scores, joint_scores = codec.decode(maps)
    assert boxes.shape[1] == sum(each[0, ..., 0].numel() for each in maps)
    (found,) = np.nonzero(scores[0].numpy() > 0.5)
    assert len(found) == 4
    for index, (box, joints) in zip(found, persons, strict=True):
        np.testing.assert_allclose(boxes[0, index], box, atol=1e-3)
        np.testing.assert_allclose(points[0, index], joints, atol=1e-3)
        np.testing.assert_allclose(joint_scores[0, index], 0.5)


def test_same_assignment_as_the_original(golden):
    arrays, _ = golden('yolopose-s6')
    _, _, height, width = arrays['in/image'].shape
    codec = YOLOPoseLabel((width, height))
    targets = arrays['in/targets']
    compared = 0
    for level, stride in enumerate(codec.strides):
        rows = []
        for image in np.unique(targets[:, 0]):
            persons = targets[targets[:, 0] == image]
            size = np.array([width, height])
            middle, extent = persons[:, 2:4] * size, persons[:, 4:6] * size
            boxes = np.concatenate([middle - extent / 2, middle + extent / 2], 1)
            joints = persons[:, 6:].reshape(len(persons), -1, 2) * size
            found = codec.encode(joints.astype(np.float32), joints[..., 0] != 0, boxes)
            here = found['cells'][:, 0] == level
            anchor, y, x = found['cells'][here, 1:].T
            corners = found['boxes'][here].reshape(-1, 2, 2) / stride
            cell = np.stack([x, y], -1)
            points = found['keypoint_labels'][here] / stride - cell[:, None]
            points *= found['keypoint_weights'][here][..., None]
            first = np.full(len(x), image)
            rows.append(np.column_stack([
                first, anchor, y, x, corners.mean(1) - cell, corners[:, 1] - corners[:, 0],
                points.reshape(len(x), 34),
            ]))  # fmt: skip
        rows = np.concatenate(rows)
        match, box, joints = (arrays[f'out/{name}{level}'] for name in ('match', 'tbox', 'tkpt'))
        expected = np.column_stack([match.T, box, joints])
        np.testing.assert_allclose(_sorted(rows), _sorted(expected), atol=1e-4)
        compared += len(expected)
    assert compared == 75


def _sorted(rows):
    return rows[np.lexsort(np.round(rows, 2).T[::-1])]


@pytest.mark.parametrize('box', [
    [10, 10, 10, 50], [50, 50, 20, 90], [np.nan, 0, 10, 10], [WIDTH, 0, WIDTH + 40, 30],
    [0, 0, np.inf, 20],
])  # fmt: skip
def test_a_box_without_area_or_outside_is_learnt_nowhere(codec, box):
    joints, visible, boxes = some_persons(1)
    both = codec.encode(joints.repeat(2, 0), visible.repeat(2, 0), np.float32([box, boxes[0]]))
    alone = codec.encode(joints, visible, boxes)
    assert both['cells'].tolist() == alone['cells'].tolist()


def test_nobody_and_no_joint(codec):
    nobody = codec.encode(np.zeros((0, K, 2)), np.zeros((0, K)), np.zeros((0, 4)))
    assert [nobody[name].shape for name in ('cells', 'boxes', 'keypoint_labels')] == [
        (0, 4), (0, 4), (0, K, 2),
    ]  # fmt: skip
    _, _, boxes = some_persons(1)
    # joints that are no numbers have no label
    unlabelled = codec.encode(np.full((1, K, 2), np.nan), np.ones((1, K)), boxes)
    assert len(unlabelled['cells']) > 0
    assert not unlabelled['keypoint_weights'].any()
    assert not unlabelled['keypoint_labels'].any()


def test_what_is_wrong_is_said():
    codec = YOLOPoseLabel((WIDTH, HEIGHT))
    with pytest.raises(UserError, match=r'expected boxes \(2, 4\).*\(2, 4, 2\).*bbox_keep_corner'):
        codec.encode(np.zeros((2, K, 2)), None, np.zeros((2, 4, 2)))
    with pytest.raises(UserError, match=r'keypoints \(N, K, 2\)'):
        codec.encode(np.zeros((2, K, 3)), None, np.zeros((2, 4)))
    with pytest.raises(UserError, match='4 strides'):
        YOLOPoseLabel((WIDTH, HEIGHT), anchors=[[[10, 20]]])
    with pytest.raises(UserError, match='ratio'):
        YOLOPoseLabel((WIDTH, HEIGHT), ratio=0)
