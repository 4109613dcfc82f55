"""Erasing and blurring touch pixels only where they say, and never the keypoints."""

import numpy as np
import pytest

from rlepose_ext.datasets.transforms import RandomBlur, RandomErase, RandomMedianBlur
from rlepose_ext.datasets.transforms.random_erase import erase

H, W = 61, 83


def single_pixel(x, y):
    image = np.zeros((H, W, 3), np.uint8)
    image[y, x] = 255
    return {'img': image, 'keypoints': np.array([[[x, y]]], np.float32)}


def hole_of(image):
    """The rectangle of zeros in an otherwise white image: x1, y1, x2, y2."""
    ys, xs = np.nonzero(image[..., 0] == 0)
    box = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    assert len(ys) == (box[2] - box[0]) * (box[3] - box[1]), 'the hole is no rectangle'
    return box


def test_erase_by_hand():
    image = np.arange(12).reshape(3, 4) + 1
    before = image.copy()
    erased = erase(image, np.array([[1, 0, 3, 2]]), fill=0)
    assert erased.tolist() == [[1, 0, 0, 4], [5, 0, 0, 8], [9, 10, 11, 12]]
    assert (image == before).all()


def test_one_hole_of_the_given_size_inside_the_image():
    transform = RandomErase()
    widths, heights, corners = set(), set(), set()
    for _ in range(300):
        white = np.full((H, W, 3), 255, np.uint8)
        x1, y1, x2, y2 = hole_of(transform.transform({'img': white})['img'])
        widths.add(x2 - x1)
        heights.add(y2 - y1)
        corners.update({('left', x1 == 0), ('right', x2 == W), ('top', y1 == 0), ('low', y2 == H)})
    # 0.2 and 0.4 of 83 and 61, both ends reached, drawn independently of each other
    assert (min(widths), max(widths)) == (16, 33)
    assert (min(heights), max(heights)) == (12, 24)
    assert corners >= {('left', True), ('right', True), ('top', True), ('low', True)}


def test_pixel_vanishes_exactly_when_covered():
    transform = RandomErase()
    covered = 0
    for _ in range(200):
        results = single_pixel(41, 30)
        state = np.random.get_state()  # noqa: NPY002
        x1, y1, x2, y2 = transform._draw(H, W)[0]
        np.random.set_state(state)  # noqa: NPY002
        image = transform.transform(results)['img']
        inside = x1 <= 41 < x2 and y1 <= 30 < y2
        assert (image.max() == 0) == inside
        assert results['keypoints'].tolist() == [[[41, 30]]]
        covered += inside
    assert 0 < covered < 200


def test_erase_probability_number_and_fill():
    image = np.full((H, W, 3), 255, np.uint8)
    touched = sum(
        (RandomErase(prob=0.25).transform({'img': image})['img'] != 255).any() for _ in range(2000)
    )
    assert 0.2 < touched / 2000 < 0.3
    assert image.min() == 255, 'the input image was changed in place'
    many = RandomErase(holes=(2, 4), fill=7)
    counts = {len(many._draw(H, W)) for _ in range(100)}
    assert counts == {2, 3, 4}
    assert set(np.unique(many.transform({'img': image})['img'])) == {7, 255}
    whole = RandomErase(size=(1.0, 1.0)).transform({'img': image})['img']
    assert whole.max() == 0


def test_box_blur_keeps_place_and_mass():
    for kernel in (3, 5, 7):
        results = RandomBlur(prob=1.0, kernel=(kernel, kernel)).transform(single_pixel(41, 30))
        ys, xs = np.nonzero(results['img'][..., 0])
        assert (xs.mean(), ys.mean()) == (41, 30)
        assert len(xs) == kernel**2
        expected = round(255 / kernel**2)
        assert (results['img'][ys, xs] == expected).all()
        assert results['keypoints'].tolist() == [[[41, 30]]]


def test_median_blur_drops_a_pixel_and_keeps_an_edge():
    transform = RandomMedianBlur(prob=1.0, kernel=(5, 5))
    assert transform.transform(single_pixel(41, 30))['img'].max() == 0
    image = np.zeros((H, W, 3), np.uint8)
    image[:, 40:] = 255
    assert (transform.transform({'img': image.copy()})['img'] == image).all()


@pytest.mark.parametrize('cls', [RandomBlur, RandomMedianBlur])
def test_blur_draws_odd_kernels_at_its_probability(cls):
    transform, never = cls(prob=0.1), cls(prob=0.0)
    drawn = [transform._draw() for _ in range(3000)]
    assert set(drawn) == {0, 3, 5, 7}
    assert 0.08 < np.mean(np.array(drawn) > 0) < 0.12
    assert never._draw() == 0


@pytest.mark.parametrize(('cls', 'arguments'), [
    (RandomErase, {'prob': 1.5}),
    (RandomErase, {'holes': (3, 2)}),
    (RandomErase, {'size': (0.4, 1.2)}),
    (RandomBlur, {'kernel': (4, 7)}),
    (RandomMedianBlur, {'kernel': (7, 5)}),
])  # fmt: skip
def test_bad_arguments(cls, arguments):
    with pytest.raises(ValueError):
        cls(**arguments)
