"""Decoding in the graph against the codecs' own, on maps of every kind."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from mmpose.codecs import (
    IntegralRegressionLabel,
    MSRAHeatmap,
    RegressionLabel,
    SimCCLabel,
    UDPHeatmap,
)

from rlepose_ext.codecs import LIPHeatmap, MoveNetLabel, SimCCRLELabel, SKPSHeatmap
from rlepose_ext.errors import UserError
from rlepose_ext.export.decode import blurred, decoder_of
from rlepose_ext.export.onnx import _check, differences_of, steady
from rlepose_ext.models.heads.simcc_bins import BinReading
from rlepose_ext.models.heads.simcc_rle import soft_argmax

W, H = 24, 32
INPUT = (96, 128)
MAPS = dict(input_size=INPUT, heatmap_size=(W, H))
# px of a crop of 96 x 128
NEAR = 0.01

HEATMAP_CODECS = {
    'msra': MSRAHeatmap(**MAPS, sigma=2),
    'dark': MSRAHeatmap(**MAPS, sigma=2, unbiased=True),
    'udp': UDPHeatmap(**MAPS, sigma=2),
    'lip': LIPHeatmap(**MAPS),
}


def gaussian(x, y, height=0.9, sigma=1.5):
    rows, columns = np.mgrid[:H, :W]
    return height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def hand_made():
    """Peaks inside, on each border, in corners, off the map; ties, plateaus, nothing, below 0."""
    places = [(x, y) for x in (0, 1, 2, 11.3, W - 3, W - 2, W - 1) for y in (0, 1, 15.6, H - 2)]
    maps = [gaussian(x, y) for x, y in places]
    maps += [gaussian(3.2, H - 1), gaussian(-2, 5), gaussian(9.5, H + 1.5), gaussian(6.5, 7.5)]
    maps += [gaussian(5, 5) + gaussian(15, 20), gaussian(5, 20) + gaussian(5, 4)]
    maps += [np.minimum(gaussian(9, 9), 0.6), np.full((H, W), 0.25), -gaussian(4, 4) - 0.1]
    maps += [1e-4 * gaussian(8.4, 9.2), 60 * gaussian(12.2, 13.4)]
    return np.float32(maps)


def noise(joints, seed=0, batch=3):
    rng = np.random.default_rng(seed)
    rough = rng.standard_normal((batch, joints, H, W), np.float32)
    return blurred(torch.from_numpy(rough), 7).numpy() + np.float32(0.1)


def decoded(codec, *outputs):
    """By the codec, person by person; it may write into what it is given."""
    found = [codec.decode(*(each[i].copy() for each in outputs)) for i in range(len(outputs[0]))]
    return tuple(np.stack([np.asarray(each[part])[0] for each in found]) for part in (0, 1))


def check(codec, *outputs, **test_cfg):
    keypoints, scores = decoded(codec, *outputs)
    points, heights, *rest = decoder_of(codec, test_cfg)(*map(torch.from_numpy, outputs))
    np.testing.assert_allclose(points.numpy(), keypoints, atol=NEAR)
    np.testing.assert_allclose(heights.numpy(), scores, atol=1e-5)
    return rest


@pytest.mark.parametrize('name', HEATMAP_CODECS)
def test_heatmaps_as_the_codec(name):
    maps = hand_made()
    batch = np.stack([maps, maps[::-1], np.roll(maps, 3, axis=0)])
    check(HEATMAP_CODECS[name], batch)
    check(HEATMAP_CODECS[name], noise(9))


@pytest.mark.parametrize('name', ['dark', 'udp'])
def test_refinement_finds_what_lies_between_pixels(name):
    """Not only as the codec: the point of a Gaussian, to a tenth of a heatmap px."""
    points = np.array([[11.3, 15.6], [8.5, 20.5], [5.75, 9.25]])
    maps = np.float32([gaussian(x, y, 0.9, 2) for x, y in points])
    found, _ = decoder_of(HEATMAP_CODECS[name])(torch.from_numpy(maps[None]))
    scale = np.divide(INPUT, (W, H)) if name == 'dark' else np.divide(INPUT, (W - 1, H - 1))
    np.testing.assert_allclose(found[0] / scale, points, atol=0.1)


def test_combined_udp_as_the_codec():
    codec = UDPHeatmap(**MAPS, heatmap_type='combined', sigma=2)
    disks, rng = hand_made(), np.random.default_rng(1)
    maps = rng.uniform(-1, 1, (2, 3 * len(disks), H, W)).astype(np.float32)
    maps[:, ::3] = disks, disks[::-1]
    check(codec, maps)
    check(codec, noise(9))


def test_offset_maps_as_the_codec():
    maps = np.stack([hand_made()] * 2)
    check(SKPSHeatmap(**MAPS, sigma=2), maps, noise(2 * maps.shape[1], batch=2))


def test_movenet_as_the_codec():
    codec = MoveNetLabel(input_size=INPUT, heatmap_size=(W, H))
    maps = np.abs(np.stack([hand_made()] * 2))
    joints = maps.shape[1]
    centre = np.float32([[gaussian(12, 15)], [gaussian(2, 3)]])
    check(codec, maps, centre, 9 * noise(2 * joints, batch=2), noise(2 * joints, 4, batch=2))
    flat = np.full_like(centre, 0.5)  # every cell ties; the one nearest to the middle wins
    check(
        codec,
        np.full_like(maps, 0.5),
        flat,
        0 * noise(2 * joints, batch=2),
        noise(2 * joints, 4, 2),
    )


@pytest.mark.parametrize('columns', [2, 4])
def test_regression_as_the_codec(columns):
    rng = np.random.default_rng(0)
    outputs = rng.uniform(-0.2, 1.2, (3, 5, columns)).astype(np.float32)
    codec = RegressionLabel(INPUT)
    (points, scores, *sigma) = decoder_of(codec)(torch.from_numpy(outputs))
    expected, expected_scores = codec.decode(outputs)
    np.testing.assert_allclose(points, expected, atol=1e-4)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    if columns == 4:
        np.testing.assert_allclose(sigma[0], outputs[..., 2:] * INPUT, atol=1e-5)
    else:
        assert sigma == []


def test_integral_takes_the_coordinates():
    codec = IntegralRegressionLabel(**MAPS, sigma=2)
    coords = np.random.default_rng(0).uniform(0, 1, (3, 5, 2)).astype(np.float32)
    points, scores = decoder_of(codec)(torch.from_numpy(coords), torch.zeros(3, 5, H, W))
    np.testing.assert_allclose(points, coords * INPUT, atol=1e-4)
    np.testing.assert_array_equal(scores, 1)


def bins(seed=0):
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((4, 6, 2 * side)).astype(np.float32) for side in INPUT)
    x[0, 0], y[0, 1] = -1, -1  # nothing above 0 on one axis, on the other one
    x[0, 2], y[0, 2] = 1, 1  # all of them tie
    x[1, 0, [3, 190]] = 9, 9
    x[2, 0, 0] = y[2, 0, 0] = x[2, 1, -1] = y[2, 1, -1] = 9
    return x, y


@pytest.mark.parametrize('split', [2.0, 3.0])
def test_bins_as_the_codec(split):
    codec = SimCCLabel(input_size=INPUT, sigma=6.0, simcc_split_ratio=split)
    check(codec, *bins())


def test_scores_and_sigma_of_bins():
    """By a reading that went through the metadata of a file, for both codecs with bins."""
    x, y = bins()
    for branch in ({}, {'sigma_scores': True}):
        codec = SimCCRLELabel(input_size=INPUT) if branch else SimCCLabel(input_size=INPUT)
        reading = BinReading(2.0, 1.5, 9.0, (0.7, 0.8), (0.0, 1e-5), (30.0, 31.0), True, not branch)
        copied = BinReading(**json.loads(json.dumps(asdict(reading))))
        given = [*map(torch.from_numpy, (x, y)), *([torch.zeros(4, 6, 2)] if branch else [])]
        points, scores, sigma = decoder_of(codec, branch, copied)(*given)
        np.testing.assert_allclose(points, decoded(codec, x, y)[0], atol=1e-4)
        read = reading(*given[:2])
        expected = torch.ones(4, 6) if branch else read['keypoint_scores']
        torch.testing.assert_close(scores, expected, rtol=0, atol=0)
        torch.testing.assert_close(sigma, read.get('sigma', torch.zeros(4, 6, 2)), rtol=0, atol=0)


def test_simcc_and_rle_as_the_codec():
    codec = SimCCRLELabel(input_size=INPUT)
    x, y = bins()
    sigma = np.random.default_rng(2).uniform(0, 1, (4, 6, 2)).astype(np.float32)
    for options in ({}, {'sigma_scores': True}):
        given = (x, y, sigma) if options else (x, y)
        expected, scores = decoded(codec, *given)
        outputs = map(torch.from_numpy, (x, y, sigma))
        points, heights, spread = decoder_of(codec, options)(*outputs)
        np.testing.assert_allclose(points, expected, atol=1e-4)
        np.testing.assert_allclose(heights, scores, atol=1e-6)
        np.testing.assert_allclose(spread, sigma * INPUT, atol=1e-4)
    mean = soft_argmax(*map(torch.from_numpy, (x, y))).numpy()
    expected, scores = codec.decode(np.concatenate([mean, sigma], -1))
    outputs = map(torch.from_numpy, (x, y, sigma))
    points, heights, _ = decoder_of(codec, {'branch': 'rle'})(*outputs)
    np.testing.assert_allclose(points, expected, atol=1e-3)
    np.testing.assert_allclose(heights, scores, atol=1e-6)


def test_what_is_not_decoded_is_refused():
    class Other(MSRAHeatmap):
        """May decode otherwise."""

    with pytest.raises(UserError, match='Other'):
        decoder_of(Other(**MAPS, sigma=2))
    with pytest.raises(UserError, match='use_dark'):
        decoder_of(SimCCLabel(input_size=INPUT, use_dark=True))


def test_points_that_rounding_decides_are_told_from_those_that_stay():
    """Two maps of two pixels: one whose values are a tie in float32, one with a clear peak."""
    maps = torch.nn.Parameter(torch.tensor([[1.0, 1.0 + 2**-23], [1.0, 1.1]]))
    before = maps.detach().clone()

    def points():
        return maps.detach().argmax(-1)[:, None].repeat(1, 2).double().numpy()

    same = steady(torch.nn.ParameterList([maps]), points, points())
    assert same.tolist() == [False, True]
    assert torch.equal(maps, before)


def test_refined_peaks_that_rounding_decides():
    """A clear peak, and one so flat that its curvature is in the last digits of the map."""
    layer, codec = torch.nn.Identity(), HEATMAP_CODECS['udp']
    flat = 0.5 + 1e-4 * gaussian(11.3, 15.4, sigma=8)
    maps = torch.tensor(np.stack([gaussian(11.3, 15.4), flat]), dtype=torch.float32)

    def points():
        return codec.decode(layer(maps).numpy())[0][0]

    assert steady(layer, points, points()).tolist() == [True, False]
    assert not layer._forward_hooks


def test_nothing_can_be_compared():
    """Not even one joint stays where it is: random weights, as a rule."""
    found = differences_of(
        ['keypoints'], [np.zeros((1, 2, 2))], [np.zeros((1, 2, 2))], np.zeros((1, 2), bool)
    )
    with pytest.raises(UserError, match='net: where its keypoints are depends on the last digits'):
        _check(found, {'name': 'net'}, limited=True)
