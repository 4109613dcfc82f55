"""PoseFix's input maps, targets and mean."""

import numpy as np
import pytest
import torch

from rlepose_ext.codecs import PoseFixLabel
from rlepose_ext.codecs.posefix_label import input_maps, shared_pixels
from rlepose_ext.errors import UserError

SIZE, MAP = (48, 64), (12, 16)


@pytest.fixture
def codec():
    return PoseFixLabel(input_size=SIZE, heatmap_size=MAP, sigma=2.0)


def test_input_maps_are_the_formula():
    points = torch.tensor([[[10.25, 20.5], [-3.0, 70.0], [5.0, 5.0]]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 1.0, 0.0]])
    maps = input_maps(points, weights, SIZE, sigma=2.0)
    assert maps.shape == (1, 3, 64, 48)
    y, x = np.mgrid[:64, :48]
    for k in (0, 1):
        px, py = points[0, k].tolist()
        expected = 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8)
        np.testing.assert_allclose(maps[0, k].numpy(), expected, atol=1e-9)
    assert not maps[0, 2].any()


def test_a_target_by_hand():
    (target,) = shared_pixels(np.array([[2.25, 3.5]]), MAP)
    assert target.shape == (16, 12)
    expected = np.zeros((16, 12), np.float32)
    expected[3:5, 2:4] = [[0.375, 0.125], [0.375, 0.125]]
    np.testing.assert_array_equal(target, expected)
    # in the last column the right half lies outside, and the rest is divided by its sum
    (border,) = shared_pixels(np.array([[11.5, 15.75]]), MAP)
    assert border[15, 11] == border.sum() == 1


def test_round_trip(codec):
    """The mean of a target is the joint, up to a pixel before the last one of the map."""
    points = np.random.default_rng(0).uniform((0, 0), (44, 60), (1, 200, 2))
    points[0, :2] = [[0, 0], [44, 60]]
    encoded = codec.encode(points, np.ones((1, 200)))
    found, scores = codec.decode(encoded['heatmaps'])
    np.testing.assert_allclose(found, points, atol=1e-3)
    assert scores.shape == (1, 200)
    np.testing.assert_allclose(encoded['keypoint_labels'] * SIZE, points, atol=1e-5)


def test_joints_without_a_target(codec):
    points = np.array([[[10, 10], [20, 20], [-0.1, 5], [48, 5], [np.nan, 5], [1e30, 5]]], float)
    encoded = codec.encode(points, np.array([[1, 0, 1, 1, 1, 1]]))
    assert encoded['keypoint_weights'].tolist() == [[1, 0, 0, 0, 0, 0]]
    assert encoded['heatmaps'].sum((1, 2)).tolist() == [1, 0, 0, 0, 0, 0]
    assert np.isfinite(encoded['keypoint_labels']).all()


def test_the_input_pose(codec):
    truth, given = np.full((1, 2, 2), 9.0), np.array([[[3.0, 4.0], [100.0, -5.0]]])
    encoded = codec.encode(truth, None, given, np.array([[1.0, 0.0]]))
    assert encoded['input_keypoints'].tolist() == given.tolist()
    assert encoded['input_weights'].tolist() == [[1, 0]]
    # in a test the keypoints are the input pose, and all count, outside of the crop too
    encoded = codec.encode(given, np.array([[0.0, 0.9]]))
    assert encoded['input_keypoints'].tolist() == given.tolist()
    assert encoded['input_weights'].tolist() == [[1, 1]]


def test_mistakes(codec):
    with pytest.raises(UserError, match='sigma'):
        PoseFixLabel(input_size=SIZE, heatmap_size=MAP, sigma=0)
    with pytest.raises(UserError, match='one person'):
        codec.encode(np.zeros((2, 17, 2)))
    with pytest.raises(UserError, match='--refine'):
        codec.encode(np.zeros([]))


def test_golden(golden):
    arrays, _ = golden('posefix-res50')
    pose, valid = (torch.from_numpy(arrays[f'in/{name}']) for name in ('input_pose', 'input_valid'))
    # of every fourth joint; those of the port are in units of 255
    maps = input_maps(pose, valid, (192, 256), sigma=7.0).numpy()
    np.testing.assert_allclose(maps[:, ::4], arrays['out/input_maps'], atol=1e-2)
    np.testing.assert_allclose(maps / 255, arrays['in/maps'], atol=1e-4)
    codec = PoseFixLabel(input_size=(192, 256), heatmap_size=(48, 64))
    for target, weights, expected in zip(
        arrays['in/target'], arrays['in/target_valid'], arrays['out/onehot'], strict=True
    ):
        encoded = codec.encode(target[None], weights[None])
        assert (encoded['keypoint_weights'][0] == weights).all()
        seen = weights > 0
        np.testing.assert_allclose(encoded['heatmaps'][seen], expected[seen], atol=1e-4)
