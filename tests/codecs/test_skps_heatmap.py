"""The codec: MMPose's targets, a target by hand, the way there and back, bad labels."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.codecs.utils import generate_unbiased_gaussian_heatmaps
from mmpose.registry import TRANSFORMS

from rlepose_ext.codecs import SKPSHeatmap, skps_heatmap
from rlepose_ext.codecs.skps_heatmap import gaussian_maps, read_peaks
from rlepose_ext.errors import UserError
from rlepose_ext.registry import KEYPOINT_CODECS

# (input_size, heatmap_size, sigma)
SIZES = [
    ((256, 256), (64, 64), 2),
    ((192, 256), (48, 64), 2),
    ((256, 128), (64, 32), 1.5),
    ((100, 60), (32, 20), 1),
]
each_size = pytest.mark.parametrize('sizes', SIZES, ids=str)


def draw(codec, joints=98, beyond=0.0, seed=0):
    """Points in the crop, or up to ``beyond`` sigma off the map, float32, (1, K, 2)."""
    rng = np.random.default_rng(seed)
    size = np.array(codec.input_size, dtype=float)
    margin = beyond * codec.sigma * size / codec.heatmap_size
    last = size - size / codec.heatmap_size
    return rng.uniform(-margin, last + margin, (1, joints, 2)).astype(np.float32)


def joint_by_joint(codec, keypoints, visible):
    """Upstream's way, as its description has it: full grids, one joint after the other."""
    points = keypoints / (np.array(codec.input_size, np.float32) / codec.heatmap_size)
    heatmaps, weights = generate_unbiased_gaussian_heatmaps(
        codec.heatmap_size, points.astype(np.float32), visible, codec.sigma
    )
    row, column = np.indices(codec.heatmap_size[::-1])
    along_x = [x - column for x, _ in points[0]]
    along_y = [y - row for _, y in points[0]]
    return heatmaps, np.stack(along_x + along_y), weights


@each_size
def test_targets_of_mmpose(sizes):
    codec = SKPSHeatmap(*sizes)
    keypoints = draw(codec, 300, beyond=6)
    rng = np.random.default_rng(1)
    visible = rng.choice(np.float32([0, 0.3, 1]), (1, 300), p=[0.2, 0.1, 0.7])
    encoded = codec.encode(keypoints, visible)
    heatmaps, displacements, weights = joint_by_joint(codec, keypoints, visible)
    assert 0 < (weights == 0).sum() - (visible == 0).sum() < 200
    np.testing.assert_allclose(encoded['heatmaps'], heatmaps, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encoded['displacements'], displacements, atol=1e-4)
    np.testing.assert_array_equal(encoded['keypoint_weights'], weights)
    assert {value.dtype for value in encoded.values()} == {np.dtype('float32')}


def test_the_three_sigma_rule_at_its_edges():
    codec = SKPSHeatmap((64, 64), (64, 64), 2)
    # left = x - 6 >= 64 and right = x + 7 < 0 are out, likewise in y.
    values = np.float32([-7.01, -7, 69.99, 70])
    keypoints = np.stack(np.meshgrid(values, values), -1).reshape(1, -1, 2)
    weights = codec.encode(keypoints)['keypoint_weights']
    assert weights.reshape(4, 4).tolist() == [[0] * 4, [0, 1, 1, 0], [0, 1, 1, 0], [0] * 4]
    expected = joint_by_joint(codec, keypoints, np.ones((1, 16), np.float32))[2]
    np.testing.assert_array_equal(weights, expected)


def test_target_written_out_by_hand():
    # Crop 12x8, maps 3x2: a pixel of the map is four of the crop. Joint at (6, 4) = (1.5, 1).
    encoded = SKPSHeatmap((12, 8), (3, 2), sigma=1).encode(np.float32([[[6, 4]]]))
    # exp(-r^2 / 2) of r^2 = 3.25, 1.25, 1.25 in the first row, 2.25, 0.25, 0.25 in the second
    np.testing.assert_allclose(
        encoded['heatmaps'],
        [[[0.1969117, 0.5352614, 0.5352614], [0.3246525, 0.8824969, 0.8824969]]],
        rtol=1e-6,
    )
    assert encoded['displacements'].tolist() == [
        [[1.5, 0.5, -0.5], [1.5, 0.5, -0.5]],
        [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]],
    ]
    assert encoded['keypoint_weights'].tolist() == [[1.0]]


@each_size
@pytest.mark.parametrize('beyond', [0.0, 2.5])
def test_there_and_back(sizes, beyond):
    codec = SKPSHeatmap(*sizes)
    keypoints = draw(codec, beyond=beyond)
    encoded = codec.encode(keypoints)
    assert encoded['keypoint_weights'].all()
    points, scores = codec.decode(encoded['heatmaps'], encoded['displacements'])
    assert points.shape == keypoints.shape
    np.testing.assert_allclose(points, keypoints, atol=1e-3)
    np.testing.assert_array_equal(scores[0], encoded['heatmaps'].max((1, 2)))
    if not beyond:
        # at most half a pixel of the map off in each direction
        assert scores.min() >= np.exp(-0.25 / codec.sigma**2) - 1e-6


def test_the_right_offset_leads_to_the_joint_from_every_pixel():
    codec = SKPSHeatmap((192, 256), (48, 64), 2)
    keypoints = draw(codec, 20)
    anywhere = np.random.default_rng(2).random((20, 64, 48), dtype=np.float32)
    points, _ = codec.decode(anywhere, codec.encode(keypoints)['displacements'])
    np.testing.assert_allclose(points, keypoints, atol=1e-3)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_a_batch_is_its_samples(dtype):
    codec = SKPSHeatmap((192, 256), (48, 64), 2)
    assert codec.support_batch_decoding
    heatmaps = torch.rand(5, 7, 64, 48).to(dtype)
    displacements = torch.randn(5, 14, 64, 48).to(dtype)
    # as channels-last training leaves them, and of a tensor that needs a gradient
    packed = heatmaps.to(memory_format=torch.channels_last).requires_grad_()
    points, scores = codec.batch_decode(packed, displacements)
    assert points.shape == (5, 1, 7, 2)
    assert scores.shape == (5, 1, 7)
    assert points.dtype == scores.dtype == np.float32
    for n in range(5):
        one = codec.decode(heatmaps[n].float().numpy(), displacements[n].float().numpy())
        np.testing.assert_array_equal(points[n], one[0])
        np.testing.assert_array_equal(scores[n], one[1])


def test_maps_on_another_device_are_searched_there(monkeypatch):
    """The path of a GPU, taken by tensors of the CPU: torch's argmax in place of numpy's."""
    maps = torch.rand(2, 7, 16, 12), torch.randn(2, 14, 16, 12)
    expected = read_peaks(*maps)
    monkeypatch.setattr(skps_heatmap, '_numpy_if_on_cpu', lambda values: values)
    for found, wanted in zip(read_peaks(*maps), expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted)


def test_peak_worked_out_by_hand():
    heatmaps, displacements = np.zeros((1, 2, 3, 4)), np.zeros((1, 4, 3, 4))
    heatmaps[0, 0, 2, 1], heatmaps[0, 1, 0, 3] = 0.7, -0.1
    heatmaps[0, 1][heatmaps[0, 1] == 0] = -1
    displacements[0, :, 2, 1] = 0.25, 9, -0.5, 9
    displacements[0, :, 0, 3] = 9, -2, 9, 1.5
    points, scores = read_peaks(heatmaps, displacements)
    assert points.tolist() == [[[1.25, 1.5], [1.0, 1.5]]]
    np.testing.assert_allclose(scores, [[0.7, -0.1]], rtol=1e-6)


@pytest.mark.parametrize(('bad', 'axis'), [(np.nan, 0), (-np.inf, 1), (1e39, 0), (1e30, 1)])
def test_labels_out_of_range_weigh_nothing(bad, axis):
    codec = SKPSHeatmap(*SIZES[0])
    keypoints = draw(codec, 3).astype(np.float64)
    good = codec.encode(keypoints)
    keypoints[0, 1, axis] = bad
    encoded = codec.encode(keypoints)
    assert encoded['keypoint_weights'].tolist() == [[1, 0, 1]]
    assert all(np.isfinite(value).all() for value in encoded.values())
    assert not encoded['heatmaps'][1].any()
    rows = np.array([0, 2, 3, 5])
    np.testing.assert_array_equal(encoded['heatmaps'][[0, 2]], good['heatmaps'][[0, 2]])
    np.testing.assert_array_equal(encoded['displacements'][rows], good['displacements'][rows])


def test_no_denormal_numbers():
    points = np.float32([[0, 0], [63, 0], [31.3, 20.1]])
    maps = gaussian_maps(points, (64, 64), 2)
    assert maps[maps > 0].min() >= np.finfo(np.float32).tiny
    assert (maps == 0).any()


def test_mmpose_packs_the_targets():
    init_default_scope('mmpose')
    encoder = dict(
        type='rlepose_ext.SKPSHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2
    )
    codec = KEYPOINT_CODECS.build(encoder)
    results = {
        'img': np.zeros((256, 192, 3), np.uint8),
        'keypoints': draw(codec, 6),
        'keypoints_visible': np.ones((1, 6), np.float32),
    }
    expected = codec.encode(results['keypoints'], results['keypoints_visible'])
    for step in (dict(type='GenerateTarget', encoder=encoder), dict(type='PackPoseInputs')):
        results = TRANSFORMS.build(step)(results)
    sample = results['data_samples']
    for name in ('heatmaps', 'displacements'):
        np.testing.assert_array_equal(getattr(sample.gt_fields, name).numpy(), expected[name])
    assert sample.gt_instance_labels.keypoint_weights.tolist() == [[1] * 6]


@pytest.mark.parametrize('name', ['input_size', 'heatmap_size', 'sigma'])
def test_bad_sizes_are_named(name):
    good = {'input_size': (256, 256), 'heatmap_size': (64, 64), 'sigma': 2}
    with pytest.raises(UserError, match=name):
        SKPSHeatmap(**{**good, name: 0})


def test_bad_shapes_are_named():
    codec, points = SKPSHeatmap(*SIZES[0]), np.zeros((1, 5, 2))
    with pytest.raises(UserError, match=r'of one person, shape \(1, K, 2\), got \(2, 5, 2\)'):
        codec.encode(np.zeros((2, 5, 2)))
    with pytest.raises(UserError, match='keypoints_visible has shape'):
        codec.encode(points, np.ones((1, 4)))
    for side, count in ((32, 10), (64, 5)):
        with pytest.raises(UserError, match=rf'\(1, {count}, {side}, {side}\)'):
            codec.decode(np.zeros((5, side, side)), np.zeros((count, side, side)))


def test_corners_and_invisible_joints():
    codec = SKPSHeatmap((192, 256), (48, 64), 2)
    corners = np.float32([[[0, 0], [188, 0], [0, 252], [188, 252], [191, 255], [96, 128]]])
    visible = np.float32([[1, 1, 1, 0, 1, 0.25]])
    encoded = codec.encode(corners, visible)
    np.testing.assert_array_equal(encoded['keypoint_weights'], visible)
    points, scores = codec.decode(encoded['heatmaps'], encoded['displacements'])
    np.testing.assert_array_equal(points, corners)  # offsets are there all the same
    assert (scores[0, [0, 1, 2]] == 1).all()
    assert scores[0, 3] == 0
