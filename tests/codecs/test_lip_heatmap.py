"""LIPHeatmap: targets against loops and by hand, edges, round trip, what zero costs."""

import math

import numpy as np
import pytest
from mmpose.codecs import MSRAHeatmap

from rlepose_ext.codecs.lip_heatmap import LIPHeatmap
from rlepose_ext.errors import UserError

SIZES = [((256, 256), (64, 64)), ((192, 256), (48, 64)), ((100, 60), (25, 20))]


def brute_force(point, input_size, heatmap_size, sigma, window=4, legacy_edge=False):
    """One map, pixel by pixel, from the definition."""
    (width, height), stop = heatmap_size, 1 if legacy_edge else 0
    cx = min(max(math.floor(point[0] * width / input_size[0]), 0), width - 1)
    cy = min(max(math.floor(point[1] * height / input_size[1]), 0), height - 1)
    image = np.zeros((height, width))
    for y in range(max(cy - window, 0), min(cy + window, height - stop)):
        for x in range(max(cx - window, 0), min(cx + window, width - stop)):
            image[y, x] = math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
    return image


@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('legacy_edge', [False, True])
def test_equals_loops(sizes, legacy_edge):
    sigma = 2.5
    input_size, heatmap_size = sizes
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.1, 1.1, (1, 40, 2)) * input_size
    points[0, :4] = [[0, 0], input_size, np.subtract(input_size, 1e-3), np.subtract(input_size, 9)]
    visible = (rng.random((1, 40)) < 0.8).astype(np.float32)
    codec = LIPHeatmap(input_size, heatmap_size, sigma=sigma, legacy_edge=legacy_edge)
    encoded = codec.encode(points.astype(np.float32), visible)
    assert encoded['heatmaps'].dtype == np.float32
    assert encoded['heatmaps'].shape == (40, heatmap_size[1], heatmap_size[0])
    np.testing.assert_array_equal(encoded['keypoint_weights'], visible)
    for k in range(40):
        expected = brute_force(
            points[0, k].astype(np.float32), input_size, heatmap_size, sigma, 4, legacy_edge
        )
        np.testing.assert_allclose(
            encoded['heatmaps'][k], expected * visible[0, k], rtol=1e-6, atol=1e-7
        )


def test_one_target_by_hand():
    (target,) = LIPHeatmap((40, 40), (10, 10), sigma=1).encode(np.array([[[23.9, 16.0]]]))[
        'heatmaps'
    ]
    # centre (5, 4): columns 1 to 8, rows 0 to 7
    tail = np.exp(-0.5 * np.array([16, 9, 4, 1, 0, 1, 4, 9]))
    expected = np.zeros((10, 10))
    expected[0:8, 1:9] = np.outer(tail, tail)
    np.testing.assert_allclose(target, expected, rtol=1e-6)
    assert target[4, 5] == 1


def test_the_last_row_and_column():
    corner = np.array([[[255.0, 255.0]]])
    fixed = LIPHeatmap((256, 256), (64, 64)).encode(corner)['heatmaps'][0]
    legacy = LIPHeatmap((256, 256), (64, 64), legacy_edge=True).encode(corner)['heatmaps'][0]
    assert fixed[63, 63] == 1
    assert legacy[63].max() == legacy[:, 63].max() == 0
    assert legacy.max() == pytest.approx(math.exp(-1))
    np.testing.assert_array_equal(fixed[:63, :63], legacy[:63, :63])


@pytest.mark.parametrize('sizes', SIZES)
def test_round_trip_within_half_a_heatmap_pixel(sizes):
    input_size, heatmap_size = sizes
    rng = np.random.default_rng(0)
    points = (rng.uniform(0, 1, (1, 500, 2)) * input_size).astype(np.float32)
    points = np.minimum(points, np.nextafter(np.float32(input_size), np.float32(0)))
    codec = LIPHeatmap(input_size, heatmap_size)
    decoded, scores = codec.decode(codec.encode(points)['heatmaps'])
    step = np.divide(input_size, heatmap_size)
    assert (np.abs(decoded - points) <= step / 2 + 1e-4).all()
    # unbiased, which the index alone would not be
    assert (np.abs((decoded - points).mean((0, 1))) < step / 20).all()
    assert (scores == 1).all()


def test_joints_without_a_label_have_empty_maps():
    points = np.array([[[10.0, 10.0], [np.nan, 3.0], [20.0, 20.0]]])
    encoded = LIPHeatmap((256, 256), (64, 64)).encode(points, np.array([[0.0, 1.0, 1.0]]))
    assert encoded['heatmaps'].max((1, 2)).tolist() == [0, 0, 1]
    assert encoded['keypoint_weights'].tolist() == [[0, 0, 1]]


def test_where_it_differs_from_msra():
    """Rounding down instead of to the nearest, and a square with one row and column less."""
    ours, stock = LIPHeatmap((256, 256), (64, 64)), MSRAHeatmap((256, 256), (64, 64), sigma=1)
    point = np.array([[[131.0, 131.0]]], np.float32)  # 32.75
    a, b = (codec.encode(point)['heatmaps'][0] for codec in (ours, stock))
    assert np.unravel_index(a.argmax(), a.shape) == (32, 32)
    assert np.unravel_index(b.argmax(), b.shape) == (33, 33)
    point = np.array([[[129.0, 129.0]]], np.float32)  # 32.25: the same centre
    a, b = (codec.encode(point)['heatmaps'][0] for codec in (ours, stock))
    np.testing.assert_allclose(a[29:36, 29:36], b[29:36, 29:36], rtol=1e-6)
    assert a[28, 32] > 0
    assert b[28, 32] == 0


def test_what_predicting_nothing_costs(shared):
    """A mean squared error of 6.9e-4: pi / 4096 for each labelled joint, 90 % of them."""
    from rlepose_ext.annotations.lip_csv import read_csv

    rows, _ = read_csv(shared / 'data' / 'lip' / 'val_annotations.csv')
    codec = LIPHeatmap((256, 256), (64, 64))
    errors = []
    for row in rows[::100]:
        labelled = np.array([[joint is not None for joint in row.joints]])
        points = np.array([joint[:2] if joint else (0, 0) for joint in row.joints], float)
        size = points.max(0) + 20  # the images are not there
        maps = codec.encode(points[None] / size * 256, labelled.astype(float))['heatmaps']
        errors.append(np.square(maps).mean())
    share = np.mean([[joint is not None for joint in row.joints] for row in rows])
    assert share == pytest.approx(0.9028)
    assert math.pi / 4096 * share == pytest.approx(6.92e-4, abs=1e-6)
    assert np.mean(errors) == pytest.approx(6.92e-4, rel=0.03)


def test_bad_arguments():
    for changes, named in (({'heatmap_size': (64, 0)}, 'heatmap_size'), ({'window': -1}, 'window')):
        with pytest.raises(UserError, match=named):
            LIPHeatmap(**{'input_size': (256, 256), 'heatmap_size': (64, 64), **changes})
    with pytest.raises(UserError, match=r'shape \(1, K, 2\), got \(2, 16, 2\)'):
        LIPHeatmap((256, 256), (64, 64)).encode(np.zeros((2, 16, 2)))
