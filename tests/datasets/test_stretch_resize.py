"""StretchResize: pixels and points move alike, MMPose's decoding is its inverse, bad boxes."""

import cv2
import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.datasets.transforms import PackPoseInputs, RandomFlip
from mmpose.models.pose_estimators import TopdownPoseEstimator

from rlepose_ext.datasets.transforms.stretch_resize import StretchResize, stretched_box
from rlepose_ext.errors import UserError

SIZES = [(64, 256), (500, 121), (33, 31)]


def stretch(image, input_size, **results):
    return StretchResize(input_size).transform({'img': image, **results})


def picture(width, height, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (6, 5, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize('size', SIZES)
def test_whole_image_by_hand(size):
    width, height = size
    points = np.array([[[0, 0], [width / 2, height / 4], [width, height]]], np.float32)
    results = stretch(picture(*size), (256, 128), keypoints=points)
    assert results['img'].shape == (128, 256, 3)
    expected = [[[0, 0], [128, 32], [256, 128]]]
    np.testing.assert_allclose(results['transformed_keypoints'], expected, atol=1e-4)
    assert results['input_scale'].tolist() == [width, height]
    assert results['input_center'].tolist() == [width / 2, height / 2]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('box', [None, (0.1, 0.2, 0.7, 0.95)])
def test_stock_decoding_is_the_inverse(size, box):
    """Labels through the transform and MMPose's way back, inside and outside of the image."""
    width, height = size
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.2, 1.2, (1, 16, 2)) * size
    points = points.astype(np.float32)
    given = {'keypoints': points, 'keypoints_visible': np.ones((1, 16)), 'img_path': 'a.jpg'}
    box = (0, 0, 1, 1) if box is None else box
    given['bbox'] = np.array([box], np.float32) * [width, height, width, height]
    given['bbox_score'] = np.ones(1)
    results = stretch(picture(*size), (256, 192), **given)
    sample = PackPoseInputs().transform(results)['data_samples']
    decoded = InstanceData(
        keypoints=results['transformed_keypoints'].copy(), keypoint_scores=np.ones((1, 16))
    )
    model = TopdownPoseEstimator.__new__(TopdownPoseEstimator)
    object.__setattr__(model, 'test_cfg', {})
    (sample,) = model.add_pred_to_datasample([decoded], None, [sample])
    assert np.abs(sample.pred_instances.keypoints - points).max() < 1e-3


@pytest.mark.parametrize('size', [(64, 256), (200, 50), (97, 131)])
@pytest.mark.parametrize('box', [None, (10, 5, 50, 45)])
def test_a_white_pixel_goes_where_its_point_goes(size, box):
    for x, y in ((12, 8), (30, 20), (48, 40)):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        image[y, x] = 255
        given = {} if box is None else {'bbox': np.array([box], np.float32)}
        points = np.array([[[x, y]]], np.float32)
        results = stretch(image, (400, 300), keypoints=points, **given)
        light = results['img'][..., 0].astype(float)
        rows, columns = np.mgrid[:300, :400]
        center = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
        # warpAffine knows places to 1/32 px of the image
        allowed = 1 / 32 * np.array([400, 300]) / results['input_scale'] + 0.05
        assert (np.abs(center - results['transformed_keypoints'][0, 0]) < allowed).all()


def test_pixels_equal_a_resize_but_for_the_half_pixel():
    """cv2.resize lays borders on borders; here, as in TopdownAffine, x -> x S / w."""
    image = picture(61, 83)
    results = stretch(image, (122, 166))
    grid = np.meshgrid(np.arange(122) / 2, np.arange(166) / 2)
    x, y = (axis.astype(np.float32) for axis in grid)
    expected = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(results['img'].astype(int) - expected).max() <= 1
    assert results['img'][-1, -1].min() > 0, 'a dark border'


def test_box_of_a_whole_image_that_stock_cut():
    whole = stretched_box(None, (100, 40))
    for box in ((0, 0, 99, 39), (0, 0, 100, 40), (-3, -1, 120, 50)):
        np.testing.assert_array_equal(stretched_box(np.array([box]), (100, 40)), whole)
    part = stretched_box(np.array([[10, 5, 60, 39]]), (100, 40))
    assert part.tolist() == [[35, 22.5], [50, 35]]


def test_flip_before_it_mirrors_the_input():
    image = picture(101, 64)
    points = np.array([[[20, 10], [80, 50]]], np.float32)
    common = {'keypoints': points, 'keypoints_visible': np.ones((1, 2)), 'flip_indices': [1, 0]}
    common |= {'img_shape': (64, 101), 'bbox': np.array([[0, 0, 100, 63]], np.float32)}
    flipped = RandomFlip(prob=1.0).transform({'img': image.copy(), **common})
    flipped = StretchResize((101, 64)).transform(flipped)
    plain = stretch(image, (101, 64), **common)
    np.testing.assert_array_equal(flipped['img'], plain['img'][:, ::-1])
    there = plain['transformed_keypoints'][:, ::-1]
    np.testing.assert_allclose(
        flipped['transformed_keypoints'], np.stack([100 - there[..., 0], there[..., 1]], -1)
    )


@pytest.mark.parametrize(('given', 'message'), [
    ({'bbox': np.array([[5, 5, 5, 9]])}, r'box \[5, 5, 5, 9\] .* no area inside .* 30x20'),
    ({'bbox': np.array([[0, 0, np.nan, 9]])}, 'no area inside'),
    ({'bbox': np.zeros((2, 4))}, r'shape \(2, 4\), expected \(1, 4\)'),
    ({'bbox_rotation': np.array([30.0])}, 'Take RandomBBoxTransform out'),
])  # fmt: skip
def test_bad_boxes(given, message):
    with pytest.raises(UserError, match=message):
        stretch(picture(30, 20), (16, 16), **given)
    for size in (256, (0, 4), 'ab'):
        with pytest.raises(UserError, match=r'expected \(width, height\)'):
            StretchResize(size)
