"""AID hides what the formula says, as often as it says, and never the keypoints."""

import numpy as np
import pytest

from rlepose_ext.datasets.transforms import AIDCutout, AIDHideAndSeek
from rlepose_ext.datasets.transforms.aid import cell_mask, ellipse_mask

H, W = 61, 83


def white():
    return np.full((H, W, 3), 255, np.uint8)


def hidden(transform):
    """(H, W), True where a white image was painted black."""
    return (transform.transform({'img': white()})['img'] == 0).all(-1)


def single_pixel(x, y):
    image = np.zeros((H, W, 3), np.uint8)
    image[y, x] = 255
    return {'img': image, 'keypoints': np.array([[[x, y]]], np.float32)}


def test_ellipse_by_hand():
    mask = ellipse_mask((5, 7), (3, 2), (2, 1))
    assert mask.astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    # Half a pixel to the right: the tips move with it, and a row loses one.
    assert ellipse_mask((1, 7), (3.5, 0), (2, 1))[0].tolist() == [0, 0, 1, 1, 1, 1, 0]


def test_cells_by_hand():
    mask = cell_mask((3, 5), np.array([[True, False, True], [False, True, False]]), 2)
    assert mask.astype(int).tolist() == [
        [1, 1, 0, 0, 1],
        [1, 1, 0, 0, 1],
        [0, 0, 1, 1, 0],
    ]


def test_centre_and_semi_axes_are_uniform():
    transform = AIDCutout()
    drawn = np.array([np.concatenate(transform._draw(H, W)) for _ in range(4000)])
    for column, least, greatest in (
        (0, 0, W),
        (1, 0, H),
        (2, 0.2 * W, 0.4 * W),
        (3, 0.2 * W, 0.4 * W),  # of the width, not of the height
    ):
        values = (drawn[:, column] - least) / (greatest - least)
        assert 0 <= values.min() < 0.01 and 0.99 < values.max() < 1  # noqa: PT018
        assert np.quantile(values, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.03)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.06


def test_pixels_vanish_exactly_when_covered():
    transform = AIDCutout()
    covered = 0
    for _ in range(100):
        results = single_pixel(41, 30)
        before = results['img'].copy()
        state = np.random.get_state()  # noqa: NPY002
        (cx, cy), (rx, ry) = transform._draw(H, W)
        np.random.set_state(state)  # noqa: NPY002
        source = results['img']
        image = transform.transform(results)['img']
        inside = ((41 - cx) / rx) ** 2 + ((30 - cy) / ry) ** 2 <= 1
        assert (image.max() == 0) == inside
        x, y = np.meshgrid(range(W), range(H))
        mask = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
        np.random.set_state(state)  # noqa: NPY002
        assert (hidden(transform) == mask).all()
        assert results['keypoints'].tolist() == [[[41, 30]]]
        assert (source == before).all(), 'the input image was changed in place'
        covered += inside
    assert 0 < covered < 100


def test_probability_and_fill():
    touched = sum(hidden(AIDCutout(prob=0.25)).any() for _ in range(1500))
    assert 0.21 < touched / 1500 < 0.29
    image = AIDCutout(fill=7).transform({'img': white()})['img']
    assert set(np.unique(image)) == {7, 255}
    grey = AIDCutout().transform({'img': np.full((H, W), 9, np.uint8)})['img']
    assert set(np.unique(grey)) == {0, 9}


def test_hide_and_seek_hides_half_of_whole_cells():
    transform, sides, parts = AIDHideAndSeek(), [], []
    for seed in range(300):
        np.random.seed(seed)  # noqa: NPY002
        mask = hidden(transform)
        np.random.seed(seed)  # noqa: NPY002
        drawn = transform._draw(H, W)
        if drawn is None:
            assert not mask.any()
            sides.append(0)
            continue
        cells, side = drawn
        sides.append(side)
        parts.append(cells.mean())
        assert cells.shape == (-(-H // side), -(-W // side))
        for y in range(0, H, 5):
            for x in range(0, W, 5):
                assert mask[y, x] == cells[y // side, x // side]
    for side in (0, 16, 32, 44, 56):
        assert 0.13 < sides.count(side) / 300 < 0.27
    assert 0.45 < np.mean(parts) < 0.55


def test_hide_and_seek_extremes():
    assert hidden(AIDHideAndSeek(grid_sizes=[16], hide_prob=1.0)).all()
    assert not hidden(AIDHideAndSeek(grid_sizes=[16], hide_prob=0.0)).any()
    assert not hidden(AIDHideAndSeek(grid_sizes=[0])).any()
    assert not hidden(AIDHideAndSeek(prob=0.0)).any()
    assert hidden(AIDHideAndSeek(grid_sizes=[500], hide_prob=1.0)).all()
    results = single_pixel(41, 30)
    AIDHideAndSeek().transform(results)
    assert results['keypoints'].tolist() == [[[41, 30]]]


@pytest.mark.parametrize(('cls', 'arguments'), [
    (AIDCutout, {'prob': 1.5}),
    (AIDCutout, {'radius': 0.0}),
    (AIDHideAndSeek, {'hide_prob': 2}),
    (AIDHideAndSeek, {'grid_sizes': ()}),
    (AIDHideAndSeek, {'grid_sizes': (16, -1)}),
])  # fmt: skip
def test_bad_arguments(cls, arguments):
    with pytest.raises(ValueError):
        cls(**arguments)
