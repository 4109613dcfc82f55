"""The codec: stock's two labels at once, read back both ways, packed by stock's transforms."""

import warnings

import numpy as np
import pytest
from mmpose.codecs import RegressionLabel, SimCCLabel
from mmpose.datasets.transforms import GenerateTarget, PackPoseInputs

from rlepose_ext.codecs import SimCCRLELabel
from rlepose_ext.errors import UserError

SIZE = (48, 64)
KEYS = {
    'keypoint_x_labels',
    'keypoint_y_labels',
    'keypoint_labels',
    'keypoint_weights',
    'coord_weights',
}


def joints(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Inside, on the border, off the crop near and far; every fifth one unseen."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform((-30, -30), (78, 94), (1, n, 2)).astype(np.float32)
    keypoints[0, :4] = (0, 0), (47, 63), (48, 10), (-0.25, 63.5)
    visible = np.ones((1, n), dtype=np.float32)
    visible[0, ::5] = 0
    return keypoints, visible


@pytest.mark.parametrize('options', [
    {},
    {'sigma': (4.9, 5.66), 'normalize': False},
    {'simcc_split_ratio': 3.0, 'sigma': 4},
    {'smoothing_type': 'standard', 'label_smooth_weight': 0.1},
])  # fmt: skip
def test_labels_are_those_of_stock(options):
    keypoints, visible = joints()
    codec = SimCCRLELabel(SIZE, **options)
    encoded = codec.encode(keypoints, visible)
    assert set(encoded) == KEYS
    simcc = SimCCLabel(SIZE, **options).encode(keypoints, visible)
    point = RegressionLabel(SIZE).encode(keypoints, visible)
    for name, value in simcc.items():
        np.testing.assert_array_equal(encoded[name], value, err_msg=name)
    np.testing.assert_array_equal(encoded['keypoint_labels'], point['keypoint_labels'])
    np.testing.assert_array_equal(encoded['coord_weights'], point['keypoint_weights'])
    assert encoded['coord_weights'].sum() < encoded['keypoint_weights'].sum() < visible.size


def test_a_label_by_hand():
    keypoints = np.array([[[10.2, 3.0]]])
    encoded = SimCCRLELabel((16, 8), sigma=2.0).encode(keypoints)
    assert encoded['keypoint_x_labels'].shape == (1, 1, 32)
    assert encoded['keypoint_y_labels'].shape == (1, 1, 16)
    # 10.2 px is bin 20.4, hence 20; 3 px is bin 6. A Gaussian's peak is 1 / (2 sqrt(2 pi)).
    x, y = encoded['keypoint_x_labels'][0, 0], encoded['keypoint_y_labels'][0, 0]
    peak = 1 / (2 * np.sqrt(2 * np.pi))
    expected = peak * np.exp([-1 / 8, 0, -1 / 8, -4 / 8])
    np.testing.assert_allclose(x[19:23], expected, rtol=1e-6)
    np.testing.assert_allclose(y[5:9], expected, rtol=1e-6)
    np.testing.assert_allclose(encoded['keypoint_labels'], [[[10.2 / 16, 3 / 8]]], rtol=1e-6)
    assert encoded['keypoint_weights'].tolist() == encoded['coord_weights'].tolist() == [[1]]


@pytest.mark.parametrize('split', [1.0, 2.0, 3.0])
def test_round_trip_of_both_views(split):
    keypoints = np.random.default_rng(1).uniform((0, 0), (47, 63), (3, 17, 2))
    codec = SimCCRLELabel(SIZE, simcc_split_ratio=split)
    encoded = codec.encode(keypoints)
    vectors = encoded['keypoint_x_labels'], encoded['keypoint_y_labels']
    bins, scores = codec.decode(*vectors)
    assert bins.shape == (3, 17, 2)
    assert scores.shape == (3, 17)
    assert np.abs(bins - keypoints).max() <= 0.5 / split + 1e-5  # half a bin
    points, ones = codec.decode(encoded['keypoint_labels'])
    assert np.abs(points - keypoints).max() < 1e-3
    assert (ones == 1).all()


def test_sigma_gives_the_scores_of_either_branch():
    codec = SimCCRLELabel(SIZE)
    encoded = codec.encode(np.full((1, 2, 2), 20.0))
    vectors = encoded['keypoint_x_labels'], encoded['keypoint_y_labels']
    sigma = np.array([[[0.1, 0.3], [0.0, 1.0]]], dtype=np.float32)
    plain, peaks = codec.decode(*vectors)
    scored, scores = codec.decode(*vectors, sigma)
    np.testing.assert_array_equal(plain, scored)
    np.testing.assert_allclose(scores, [[0.8, 0.5]], rtol=1e-6)
    assert peaks[0, 0] == pytest.approx(1 / (6 * np.sqrt(2 * np.pi)))
    _, scores = codec.decode(np.concatenate([encoded['keypoint_labels'], sigma], -1))
    np.testing.assert_allclose(scores, [[0.8, 0.5]], rtol=1e-6)
    with pytest.raises(UserError, match='got 4 arrays'):
        codec.decode(*vectors, sigma, sigma)


def test_labels_that_are_no_numbers_get_no_weight():
    keypoints = np.full((1, 5, 2), 20.0)
    keypoints[0, :4, 0] = np.nan, np.inf, -np.inf, 1e30
    before = keypoints.copy()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        encoded = SimCCRLELabel(SIZE).encode(keypoints)
    np.testing.assert_array_equal(keypoints, before)
    assert encoded['keypoint_weights'].tolist() == [[0, 0, 0, 0, 1]]
    assert encoded['coord_weights'].tolist() == [[0, 0, 0, 0, 1]]
    for name in ('keypoint_x_labels', 'keypoint_y_labels'):
        assert np.isfinite(encoded[name]).all()
        assert not encoded[name][0, :4].any()
    # The RLE term leaves them out and says so; it must see them.
    assert not np.isfinite(encoded['keypoint_labels'][0, :3, 0]).any()


def test_stock_transforms_carry_every_key():
    keypoints, visible = joints(6)
    config = {'type': 'rlepose_ext.SimCCRLELabel', 'input_size': SIZE}
    weights = np.linspace(0.5, 1.5, 6, dtype=np.float32)
    results = {
        'img': np.zeros((64, 48, 3), np.uint8),
        'transformed_keypoints': keypoints,
        'keypoints_visible': visible,
        'dataset_keypoint_weights': weights,
    }
    target = GenerateTarget(encoder=config, use_dataset_keypoint_weights=True)
    packed = PackPoseInputs(meta_keys=()).transform(target.transform(results))
    labels = packed['data_samples'].gt_instance_labels
    assert set(labels.keys()) == KEYS
    encoded = SimCCRLELabel(SIZE).encode(keypoints, visible)
    for name in KEYS - {'keypoint_weights'}:
        np.testing.assert_array_equal(labels[name].numpy(), encoded[name], err_msg=name)
    np.testing.assert_allclose(labels.keypoint_weights, encoded['keypoint_weights'] * weights)


@pytest.mark.parametrize(('options', 'named'), [
    ({'input_size': (49, 64), 'simcc_split_ratio': 1.5}, '49 px at 1.5 bins per pixel'),
    ({'input_size': 192}, 'input_size'),
    ({'sigma': (6, -1)}, 'sigma_y'),
    ({'sigma': [6]}, 'sigma is .*expected one number, or x and y'),
    ({'simcc_split_ratio': '2'}, 'simcc_split_ratio'),
])  # fmt: skip
def test_bad_input_is_named(options, named):
    with pytest.raises(UserError, match=named):
        SimCCRLELabel(**{'input_size': SIZE, **options})
