"""Of a mosaic the middle is seen; a white pixel goes where its joint goes; colours by factors."""

import cv2
import numpy as np
import pytest
from mmpose.datasets.transforms import Mosaic

from rlepose_ext.datasets.transforms import MosaicAffine, RandomHSVGain
from rlepose_ext.datasets.transforms.random_hsv_gain import apply_hsv_gain
from rlepose_ext.errors import UserError

W, H = 64, 48


def mosaic_with(points):
    """A black mosaic with 3 x 3 white squares around points, image px."""
    image = np.zeros((2 * H, 2 * W, 3), np.uint8)
    for x, y in points:
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    joints = np.float32(points)[None]
    return {
        'img': image,
        'img_shape': image.shape,
        'keypoints': joints.copy(),
        'keypoints_visible': np.ones((1, len(points)), np.float32),
        'bbox': np.concatenate([joints.min(1), joints.max(1)], 1),
        'area': np.float32([100]),
    }


def test_the_middle_stays_in_the_middle():
    found = MosaicAffine((W, H), shift=0, scale=0).transform(mosaic_with([(W, H), (W + 20, H - 9)]))
    assert found['img'].shape == (H, W, 3)
    np.testing.assert_allclose(found['keypoints'], [[[W / 2, H / 2], [W / 2 + 20, H / 2 - 9]]])
    np.testing.assert_allclose(found['bbox'], [[W / 2, H / 2 - 9, W / 2 + 20, H / 2]])


def test_white_pixels_go_where_their_joints_go():
    transform, shifts, scales = MosaicAffine((W, H)), [], []
    for _ in range(200):
        points = [(W - 12, H + 7), (W + 14, H - 6)]
        found = transform.transform(mosaic_with(points))
        first, second = found['keypoints'][0]
        if (found['keypoints_visible'] == 1).all() and min(*first, *second) > 3:
            for x, y in (first, second):
                part = found['img'][..., 0].astype(float)
                far = np.hypot(*np.ogrid[-y : H - y, -x : W - x][::-1]) > 6
                part[far] = 0
                ys, xs = np.nonzero(part)
                middle = np.average(xs, weights=part[ys, xs]), np.average(ys, weights=part[ys, xs])
                np.testing.assert_allclose(middle, (x, y), atol=0.5)
        scale = (second - first) / np.subtract(points[1], points[0])
        assert scale[0] == pytest.approx(scale[1], rel=1e-4)
        scales.append(scale[0])
        shifts.append(first + scale * (np.array([W, H]) - points[0]) - [W / 2, H / 2])
    assert 0.5 <= min(scales) < 0.55
    assert 1.45 < max(scales) <= 1.5
    np.testing.assert_allclose(np.abs(shifts).max(0), [0.1 * W, 0.1 * H], rtol=0.05)


def test_what_is_cut_off_has_no_label():
    results = mosaic_with([(2, 3), (W, H)])
    found = MosaicAffine((W, H), shift=0, scale=0).transform(results)
    assert found['keypoints_visible'].tolist() == [[0, 1]]
    np.testing.assert_allclose(found['bbox'], [[0, 0, W / 2, H / 2]])


def test_after_mosaic_all_four_pictures_are_seen():
    colours = (50, 100, 150, 200)

    def sample(colour):
        return {
            'img': np.full((H, W, 3), colour, np.uint8),
            'bbox': np.float32([[0, 0, 20, 20]]),
            'bbox_score': np.ones(1, np.float32),
            'category_id': np.ones(1),
            'keypoints': np.float32([[[5, 5]]]),
            'keypoints_visible': np.ones((1, 1), np.float32),
            'area': np.float32([400]),
        }

    mosaic, affine = Mosaic((W, H)), MosaicAffine((W, H), shift=0.1, scale=0.2)
    seen = np.zeros(4, int)
    for _ in range(30):
        results = sample(colours[0])
        results['mixed_data_list'] = [sample(colour) for colour in colours[1:]]
        image = affine.transform(mosaic.apply_mix(results))['img']
        seen += [int((image == colour).mean() > 0.02) for colour in colours]
    assert (seen > 15).all()


def test_colours_by_hand():
    image = np.uint8([[[30, 60, 120], [10, 10, 10]]])
    np.testing.assert_array_equal(apply_hsv_gain(image, np.ones(3)), image)
    dark = apply_hsv_gain(image, np.array([1, 1, 0.5]))
    np.testing.assert_allclose(dark, [[[15, 30, 60], [5, 5, 5]]], atol=1)
    pale = apply_hsv_gain(image, np.array([1, 0.5, 1]))
    np.testing.assert_allclose(pale, [[[75, 90, 120], [10, 10, 10]]], atol=1)
    # hue 180 is 0 again; brightness ends at 255
    red = cv2.cvtColor(np.uint8([[[120, 200, 200]]]), cv2.COLOR_HSV2BGR)
    turned = cv2.cvtColor(apply_hsv_gain(red, np.array([1.5, 1, 2])), cv2.COLOR_BGR2HSV)
    np.testing.assert_allclose(turned, [[[0, 200, 255]]], atol=2)


def test_factors_are_drawn_within_their_bounds():
    transform = RandomHSVGain(0.1, 0.2, 0.3)
    drawn = np.array([transform._draw() for _ in range(400)])
    np.testing.assert_allclose(drawn.min(0), [0.9, 0.8, 0.7], atol=0.01)
    np.testing.assert_allclose(drawn.max(0), [1.1, 1.2, 1.3], atol=0.01)
    with pytest.raises(UserError, match='hue'):
        RandomHSVGain(hue=-1)
