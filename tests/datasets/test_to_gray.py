"""Luma of BGR images, in one channel or three, through MMPose's own pipeline and preprocessor."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.registry import TRANSFORMS

from rlepose_ext.datasets.transforms import ToGray
from rlepose_ext.datasets.transforms.to_gray import LUMA, to_gray
from rlepose_ext.errors import UserError


def test_weights_are_for_bgr():
    blue, green, red = np.eye(3, dtype=np.float32)[:, None, None] * 255
    for image, weight in ((red, 0.299), (green, 0.587), (blue, 0.114)):
        assert to_gray(image, 1).item() == pytest.approx(255 * weight, abs=1e-3)
        assert to_gray(image.astype(np.uint8), 1).item() == round(255 * weight)
    assert LUMA == (0.299, 0.587, 0.114)
    assert sum(LUMA) == pytest.approx(1)


@pytest.mark.parametrize('channels', [1, 3])
def test_every_pixel_by_the_formula(channels):
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    before = image.copy()
    blue, green, red = np.moveaxis(image.astype(np.float64), 2, 0)
    expected = 0.299 * red + 0.587 * green + 0.114 * blue
    got = to_gray(image, channels)
    assert got.shape == (37, 53, channels)
    assert got.dtype == np.uint8
    assert np.abs(got - expected[..., None]).max() < 0.512  # weights of 15 bits
    assert (got == got[..., :1]).all()
    assert (image == before).all()
    exact = to_gray(image.astype(np.float32), channels)
    assert np.abs(exact - expected[..., None]).max() < 1e-3


def test_grey_stays_as_it_is():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (to_gray(np.repeat(grey[..., None], 3, 2), 1)[..., 0] == grey).all()
    for image in (grey, grey[..., None]):
        assert (to_gray(image, 1)[..., 0] == grey).all()
        assert to_gray(image, 3).shape == (16, 16, 3)
    once = to_gray(np.random.default_rng(1).integers(0, 256, (9, 8, 3), dtype=np.uint8))
    assert (to_gray(once) == once).all()


def test_white_pixel_stays_in_place():
    image = np.zeros((61, 83, 3), np.uint8)
    image[30, 41] = 255
    results = {'img': image, 'keypoints': np.array([[[41, 30]]], np.float32)}
    ToGray(1).transform(results)
    assert np.argwhere(results['img']).tolist() == [[30, 41, 0]]
    assert results['img'].max() == 255
    assert results['keypoints'].tolist() == [[[41, 30]]]


def packed(channels):
    init_default_scope('mmpose')
    steps = (
        {'type': 'GetBBoxCenterScale'},
        {'type': 'TopdownAffine', 'input_size': (48, 64)},
        {'type': 'rlepose_ext.ToGray', 'num_output_channels': channels},
        {'type': 'PackPoseInputs', 'meta_keys': ()},
    )
    image = np.random.default_rng(2).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    results = {'img': image, 'bbox': np.array([[10, 10, 60, 80]], np.float32)}
    results |= {'keypoints': np.full((1, 3, 2), 30, np.float32)}
    results |= {'keypoints_visible': np.ones((1, 3), np.float32)}
    for step in steps:
        results = TRANSFORMS.build(step)(results)
    return results


def test_one_channel_through_the_preprocessor():
    samples = [packed(1), packed(1)]
    assert samples[0]['inputs'].shape == (1, 64, 48)
    data = {key: [sample[key] for sample in samples] for key in samples[0]}
    preprocessor = PoseDataPreprocessor(mean=[117.0], std=[57.5], bgr_to_rgb=False)
    inputs = preprocessor(data, True)['inputs']
    assert inputs.shape == (2, 1, 64, 48)
    torch.testing.assert_close(inputs[1], (samples[1]['inputs'].float() - 117.0) / 57.5)


def test_bad_input():
    with pytest.raises(UserError, match=r'expected an image \(H, W, 3\).*\(5, 4, 4\)'):
        to_gray(np.zeros((5, 4, 4), np.uint8))
    with pytest.raises(UserError, match='shape'):
        to_gray(np.zeros((1, 5, 4, 3), np.uint8))
    for channels in (0, 2, None):
        with pytest.raises(ValueError, match='1 or 3'):
            ToGray(channels)
    assert 'num_output_channels=1' in repr(ToGray(1))
