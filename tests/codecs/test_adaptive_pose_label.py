"""AdaptivePose's targets: written out by hand, the authors' own, and there and back."""

import numpy as np
import pytest

from rlepose_ext.codecs import AdaptivePoseLabel
from rlepose_ext.codecs.adaptive_pose_label import peak_radius
from rlepose_ext.codecs.movenet_label import gaussian_radius
from rlepose_ext.errors import UserError

SIZE = {'input_size': (96, 64), 'heatmap_size': (24, 16)}


@pytest.fixture
def codec():
    return AdaptivePoseLabel(**SIZE)


def test_a_target_by_hand(codec):
    keypoints = np.array([[[10.0, 21.0], [50.0, 41.0], [200.0, 3.0], [30.0, 1.0]]])
    found = codec.encode(keypoints, np.array([[1.0, 2.0, 1.0, 0.0]]), area=np.array([160.0]))
    # heatmap px: (2.5, 5.25), (12.5, 10.25), one outside, one without a label
    np.testing.assert_array_equal(found['keypoint_weights'], [[1, 1, 0, 0]])
    # the mean of both is (7.5, 7.75)
    np.testing.assert_array_equal(found['centre_cell'], [[7, 7]])
    np.testing.assert_allclose(found['offset'][0, :2], [[-4.5, -1.75], [5.5, 3.25]])
    np.testing.assert_allclose(found['area'], [10])
    # extent 10 x 5: r = (sqrt((1.4 * 15)^2 + 3.36 * 50) - 1.4 * 15) / 2 = 1.84, a peak of 3 x 3
    assert peak_radius(np.array([10.0, 5.0])) == pytest.approx(1.8390, abs=1e-4)
    assert found['centre'][0, 7, 7] == 1
    assert found['centre'][0, 8, 6] == pytest.approx(np.exp(-2 / (2 * 0.5**2)))
    assert np.count_nonzero(found['centre']) == 9
    assert found['heatmaps'][0, 5, 2] == found['heatmaps'][1, 10, 12] == 1
    assert not found['heatmaps'][2:].any()


def test_the_radius_is_that_of_a_growing_box_without_its_divisor():
    """A box that grows on all sides is the least of the three cases for elongated ones only."""
    size = np.array([1.0, 100.0])
    grown = peak_radius(size) / (4 * 0.7)
    assert size.prod() / (size + 2 * grown).prod() == pytest.approx(0.7)
    assert grown >= gaussian_radius(size)


def test_there_and_back(codec):
    rng = np.random.default_rng(0)
    keypoints = np.stack([rng.uniform(0, 40, (5, 2)), rng.uniform(44, 64, (5, 2))])
    keypoints[1, :, 0] += 31.9  # up to the edge
    found = codec.encode(keypoints)
    maps = np.zeros((10, 16, 24), np.float32)
    for (x, y), offset in zip(found['centre_cell'], found['offset'], strict=True):
        maps[:, y, x] = offset.T.ravel()
    points, scores = codec.decode(found['centre'], maps)
    assert points.shape == (20, 5, 2)
    assert (scores[:2] == 1).all()
    order = np.argsort(points[:2, 0, 0])
    np.testing.assert_allclose(points[order], keypoints, atol=1e-4)


def test_centres_are_the_largest_of_their_window(codec):
    centre = np.zeros((1, 16, 24), np.float32)
    centre[0, 5, 5], centre[0, 5, 7], centre[0, 5, 10], centre[0, 15, 23] = 0.9, 0.8, 0.7, 0.6
    # two cells off is too near, five is not
    _, scores = codec.decode(centre, np.zeros((4, 16, 24), np.float32))
    np.testing.assert_allclose(scores[:4], [0.9, 0.7, 0.6, 0])


def test_who_does_not_count(codec):
    joints = np.array([[10.0, 10.0], [50.0, 40.0], [70.0, 20.0]])
    persons = np.stack([joints] * 6)
    visible = np.ones((6, 3))
    visible[1] = 0
    visible[2, 1:] = 0  # one joint has no extent
    persons[3] += 1000
    persons[4, :, 1] = 20  # nor has a line
    persons[5, 0] = np.nan
    found = codec.encode(persons, visible, area=np.array([0, 1, 1, 1, 1, np.nan]))
    np.testing.assert_array_equal(found['keypoint_weights'], [[1, 1, 1], [0, 1, 1]])
    assert all(np.isfinite(value).all() for value in found.values())
    # areas that are none: 0.53 of the box around the joints
    np.testing.assert_allclose(found['area'], [0.53 * 15 * 7.5, 0.53 * 5 * 5])
    nobody = codec.encode(np.zeros((0, 3, 2)), np.zeros((0, 3)), area=np.zeros(0))
    assert nobody['offset'].shape == (0, 3, 2)
    assert not nobody['centre'].any()


def test_areas_scale_with_the_square_and_the_authors_do_not():
    keypoints, area = np.array([[[10.0, 21.0], [50.0, 41.0]]]), np.array([900.0])
    half = np.array([[0.0, 0.5, 3.0], [-0.5, 0.0, 7.0]])  # turned and half as large
    shown = {'area': area * 0.25, 'warp_mat': half}  # as BottomupRandomAffine leaves it
    assert AdaptivePoseLabel(**SIZE).encode(keypoints, **shown)['area'] == 900 / 4 / 16
    legacy = AdaptivePoseLabel(**SIZE, legacy_area=True).encode(keypoints, **shown)
    assert legacy['area'] == pytest.approx(900 / 2 / 16)


@pytest.mark.parametrize(
    'sizes',
    [((96, 64), (24, 8)), ((100, 64), (25, 16)), ((0, 64), (0, 16)), ('96', (24, 16))],
)
def test_sizes_that_do_not_fit(sizes):
    with pytest.raises(UserError, match='AdaptivePoseLabel: expected'):
        AdaptivePoseLabel(*sizes)
