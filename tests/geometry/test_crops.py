"""Crops without MMPose are those of its transforms, to the last bit."""

import numpy as np
import pytest
from mmpose.datasets.transforms import GetBBoxCenterScale, TopdownAffine

from rlepose_ext.geometry.crops import (
    padded_crop,
    padded_region,
    stretched_crop,
    stretched_region,
)
from rlepose_ext.geometry.spaces import image_to_input


def boxes(number=25):
    """Inside of a picture of 160 x 120, across its border, outside, tiny and larger than it."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(-60, 150, (number, 2))
    found = np.concatenate([corner, corner + rng.uniform(0.5, 200, (number, 2))], axis=1)
    return np.float32([*found, [0, 0, 160, 120], [10.25, 20.5, 30.75, 90.125]])


@pytest.fixture(scope='module')
def picture():
    return np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.mark.parametrize('use_udp', [False, True])
@pytest.mark.parametrize('padding', [1.25, 1.0])
@pytest.mark.parametrize('size', [(48, 64), (64, 64), (72, 96), (31, 17)])
def test_padded_crops_are_mmposes(picture, size, padding, use_udp):
    steps = [GetBBoxCenterScale(padding=padding), TopdownAffine(input_size=size, use_udp=use_udp)]
    for box in boxes():
        data = {'img': picture, 'bbox': box[None]}
        for step in steps:
            data = step.transform(data)
        center, region = padded_region(box, padding, size)
        np.testing.assert_array_equal(center, data['input_center'])
        np.testing.assert_array_equal(region, data['input_scale'])
        np.testing.assert_array_equal(
            padded_crop(picture, center, region, size, use_udp), data['img']
        )


def test_a_stretched_pixel_is_where_the_point_is():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10, 20] = 255
    center, region = stretched_region(np.float32([10, 5, 40, 35]), (60, 40))
    crop = stretched_crop(picture, center, region, (120, 60))
    total = crop[..., 0].astype(float)
    rows, columns = np.mgrid[:60, :120]
    found = np.array([(total * columns).sum(), (total * rows).sum()]) / total.sum()
    expected = image_to_input(np.array([20.0, 10.0]), center, region, (120, 60))
    np.testing.assert_allclose(found, expected, atol=0.05)
