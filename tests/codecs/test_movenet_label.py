"""MoveNet's targets: written out by hand, there and back, and the radius in closed form."""

import numpy as np
import pytest

from rlepose_ext.codecs import MoveNetLabel
from rlepose_ext.codecs.movenet_label import decode_many, decode_single, gaussian_radius
from rlepose_ext.errors import UserError

SIZE = {'input_size': (96, 64), 'heatmap_size': (24, 16)}


def test_a_target_by_hand():
    codec = MoveNetLabel(**SIZE)
    keypoints = np.array([[[10.0, 21.0], [50.0, 41.0], [200.0, 3.0]]])
    found = codec.encode(keypoints, np.array([[1.0, 2.0, 1.0]]))
    # heatmap px: (2.5, 5.25), (12.5, 10.25), (50, 0.75), the last outside
    np.testing.assert_array_equal(found['keypoint_weights'], [[1, 1, 0]])
    np.testing.assert_array_equal(found['joint_cell'][0, :2], [[2, 5], [12, 10]])
    np.testing.assert_allclose(found['offset'][0, :2], [[0.5, 0.25], [0.5, 0.25]])
    # the middle of both joints: (7.5, 7.75)
    np.testing.assert_array_equal(found['centre_cell'], [[7, 7]])
    np.testing.assert_allclose(found['regression'][0, :2], [[-4.5, -1.75], [5.5, 3.25]])
    np.testing.assert_allclose(found['box_size'], [[10, 5]])
    np.testing.assert_allclose(found['box_offset'], [[0.5, 0.75]])
    # 50 of 384 cells are 13 %: s = 3, R = 4 for joints, 5 for the middle
    assert found['heatmaps'][0, 5, 2] == 1
    assert found['heatmaps'][0, 5, 4] == pytest.approx(np.exp(-3 * 2 / 4))
    assert found['centre'][0, 11, 4] == pytest.approx(np.exp(-3 * 5 / 5))
    assert not found['heatmaps'][2].any()


@pytest.mark.parametrize(('area', 'reach'), [(0.15, 4), (0.2, 5), (0.5, 6)])
def test_reach_of_larger_persons(area, reach):
    """R = (s + 6) // 2 with s = 3, 5, 7."""
    codec = MoveNetLabel(input_size=(128, 128), heatmap_size=(32, 32))
    side = 128 * np.sqrt(area)
    keypoints = np.array([[[64 - side / 2] * 2, [64 + side / 2 - 1e-3] * 2]])
    heatmaps = codec.encode(keypoints)['heatmaps']
    row, column = np.unravel_index(heatmaps[0].argmax(), (32, 32))
    assert heatmaps[0, row, column + 1] == pytest.approx(np.exp(-3 / reach))


def test_gaussian_targets_overlap_by_their_maximum():
    codec = MoveNetLabel(**SIZE, persons='many', shape='gaussian')
    keypoints = np.array([[[40.0, 32.0]], [[56.0, 32.0]]])
    boxes = np.array([[8, 4, 72, 60], [24, 4, 88, 60.0]])
    found = codec.encode(keypoints, bbox=boxes)
    radius = int(gaussian_radius(np.array([16.0, 14.0])))
    sigma = (2 * radius + 1) / 6
    peak = [np.exp(-((np.arange(24) - at) ** 2) / (2 * sigma**2)) for at in (10, 14)]
    expected = np.maximum(*peak)
    np.testing.assert_allclose(found['heatmaps'][0, 8], expected, atol=1e-6)
    np.testing.assert_allclose(found['box_size'], [[16, 14], [16, 14]])


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inner = np.prod(high - low)
    areas = [np.prod(box[2:] - box[:2]) for box in (a, b)]
    return inner / (sum(areas) - inner)


@pytest.mark.parametrize('size', [(10.0, 20.0), (33.0, 7.0), (5.0, 5.0)])
@pytest.mark.parametrize('overlap', [0.3, 0.7])
def test_radius_keeps_the_overlap(size, overlap):
    """The worst of the three ways to move both corners leaves exactly that IoU."""
    radius = gaussian_radius(np.array(size), overlap)
    box = np.array([0, 0, *size])
    moved = [
        box + radius,
        box + np.array([radius, radius, -radius, -radius]),
        box + np.array([-radius, -radius, radius, radius]),
    ]
    assert min(iou(box, other) for other in moved) == pytest.approx(overlap, abs=1e-9)


def perfect_maps(encoded, joints, shape):
    """Maps of a network that has learnt its targets by heart."""
    height, width = shape
    maps = {
        'regression': np.zeros((1, 2 * joints, height, width), np.float32),
        'offset': np.zeros((1, 2 * joints, height, width), np.float32),
        'box_size': np.zeros((1, 2, height, width), np.float32),
        'box_offset': np.zeros((1, 2, height, width), np.float32),
    }
    for person, (x, y) in enumerate(encoded['centre_cell']):
        maps['regression'][0, :, y, x] = encoded['regression'][person].T.reshape(-1)
        maps['box_size'][0, :, y, x] = encoded['box_size'][person]
        maps['box_offset'][0, :, y, x] = encoded['box_offset'][person]
        for k, (column, row) in enumerate(encoded['joint_cell'][person]):
            maps['offset'][0, [k, k + joints], row, column] = encoded['offset'][person, k]
    return [encoded['heatmaps'][None], encoded['centre'][None], *maps.values()]


def test_one_person_there_and_back():
    codec = MoveNetLabel(**SIZE)
    rng = np.random.default_rng(3)
    for _ in range(20):
        keypoints = rng.uniform(0, 1, (1, 17, 2)) * [95.999, 63.999]
        maps = perfect_maps(codec.encode(keypoints), 17, (16, 24))[:4]
        found, scores = codec.batch_decode(*maps)
        np.testing.assert_allclose(found[0], keypoints, atol=1e-3)
        np.testing.assert_allclose(scores, 1)
        alone, _ = codec.decode(*(each[0] for each in maps))
        np.testing.assert_array_equal(alone, found[0])


@pytest.mark.parametrize('shape', ['exponential', 'gaussian'])
def test_three_persons_there_and_back(shape):
    size = {'input_size': (256, 192), 'heatmap_size': (64, 48)}
    codec = MoveNetLabel(**size, persons='many', shape=shape)
    rng = np.random.default_rng(5)
    # side by side; the third is cut off by the picture's edge
    boxes = np.array([[10, 20, 80, 160], [90, 30, 150, 150], [190, 40, 280, 170.0]])
    low, high = boxes[:, None, :2] + 4, np.minimum(boxes[:, None, 2:] - 4, [252, 188])
    keypoints = low + rng.uniform(0, 1, (3, 17, 2)) * (high - low)
    encoded = codec.encode(keypoints, bbox=boxes)
    assert len(encoded['regression']) == 3
    maps = perfect_maps(encoded, 17, (48, 64))
    ((found, joint_scores, found_boxes, scores),) = codec.decode_persons(*maps)
    order = np.argsort(found_boxes[:3, 0])
    np.testing.assert_allclose(found[order], keypoints, atol=1e-3)
    clipped = boxes.clip(0, [256, 192, 256, 192])
    np.testing.assert_allclose(found_boxes[order], clipped, atol=1e-3)
    assert (scores[:3] > 0.5).all()
    assert (joint_scores[:3] > 0.5).all()
    assert (scores[3:] < 0.5).all()


def test_batches_decode_as_their_pictures_do():
    rng = np.random.default_rng(7)
    maps = [rng.uniform(0, 1, (3, c, 16, 24)).astype(np.float32) for c in (5, 1)]
    maps += [rng.normal(0, 3, (3, c, 16, 24)).astype(np.float32) for c in (10, 10, 2, 2)]
    maps[4] = np.abs(maps[4]) * 4
    many, single = decode_many(*maps, max_persons=4), decode_single(*maps[:4])
    for i in range(3):
        own = [each[i : i + 1] for each in maps]
        for a, b in zip(many, decode_many(*own, max_persons=4), strict=True):
            np.testing.assert_allclose(a[i], b[0], rtol=1e-6)
        for a, b in zip(single, decode_single(*own[:4]), strict=True):
            np.testing.assert_allclose(a[i], b[0], rtol=1e-6)


def test_persons_that_cannot_count_are_left_out_and_change_nothing():
    rng = np.random.default_rng(9)
    maps = [rng.uniform(0, 1, (3, c, 16, 24)).astype(np.float32) for c in (5, 1)]
    maps += [rng.normal(0, 3, (3, c, 16, 24)).astype(np.float32) for c in (10, 10, 2, 2)]
    maps[4] = np.abs(maps[4]) * 4
    maps[1][0] *= 0.9
    whole = decode_many(*maps, max_persons=20)
    least = 0.97
    found = decode_many(*maps, max_persons=20, least=least)
    kept = found[0].shape[1]
    assert 0 < kept < 20
    for ours, theirs in zip(found, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs[:, :kept])
    assert (whole[3][:, kept:] <= least).all()
    assert [len(each[0]) for each in decode_many(*maps, least=2.0)] == [0] * 4


def test_more_persons_than_cells():
    maps = [np.full((1, c, 8, 8), 0.1, np.float32) for c in (17, 1, 34, 34, 2, 2)]
    points, _, boxes, _ = decode_many(*maps, max_persons=100)
    assert points.shape == (1, 64, 17, 2)
    assert boxes.shape == (1, 64, 4)


def test_persons_outside_and_labels_that_are_no_numbers():
    codec = MoveNetLabel(**SIZE, persons='many')
    keypoints = np.full((3, 17, 2), 20.0)
    keypoints[0, 4] = np.nan
    keypoints[1] += 500
    boxes = np.array([[10, 10, 40, 40], [510, 510, 540, 540], [np.nan] * 4])
    found = codec.encode(keypoints, bbox=boxes)
    assert found['keypoint_weights'].shape == (1, 17)
    assert found['keypoint_weights'].sum() == 16
    assert all(np.isfinite(each).all() for each in found.values())


def test_what_cannot_be_encoded():
    codec = MoveNetLabel(**SIZE)
    with pytest.raises(UserError, match='expected one person, got 2'):
        codec.encode(np.zeros((2, 17, 2)))
    with pytest.raises(UserError, match='needs the boxes'):
        MoveNetLabel(**SIZE, persons='many').encode(np.zeros((2, 17, 2)))
    for wrong in ({'persons': 'two'}, {'shape': 'round'}, {'max_persons': 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            MoveNetLabel(**SIZE, **wrong)
