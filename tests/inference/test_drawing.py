"""What is drawn where; nothing outside, nothing of nobody."""

import numpy as np
import pytest
from people import META, persons

from rlepose_ext.errors import UserError
from rlepose_ext.inference.drawing import Style, draw_poses, pens, person_color

OPAQUE = {'alpha': 1.0, 'draw_bbox': False}


def canvas(size=80):
    return np.zeros((size, size, 3), np.uint8)


def test_joints_have_the_colours_of_the_data_set_in_bgr():
    drawn = draw_poses(canvas(), persons([[10, 10]]), Style(radius=4, **OPAQUE))
    for (x, y), rgb in zip(((30, 18), (30, 30), (30, 42)), np.eye(3) * 255, strict=True):
        assert drawn[y, x].tolist() == rgb[::-1].tolist()


def test_links_and_their_threshold():
    poses = persons([[10, 10]])
    drawn = draw_poses(canvas(), poses, Style(radius=1, thickness=2, **OPAQUE))
    assert drawn[24, 30].tolist() == [0, 0, 255]
    assert drawn[36, 30].tolist() == [0, 255, 0]
    poses.scores[0, 0] = 0.2
    drawn = draw_poses(canvas(), poses, Style(radius=1, thickness=2, **OPAQUE))
    assert not drawn[:28].any()
    assert drawn[36, 30].any()


def test_alpha_blends():
    full = draw_poses(canvas(), persons([[10, 10]]), Style(**OPAQUE))
    half = draw_poses(canvas(), persons([[10, 10]]), Style(alpha=0.5, draw_bbox=False))
    np.testing.assert_allclose(half, full / 2, atol=1)
    none = draw_poses(canvas(), persons([[10, 10]]), Style(alpha=0.0))
    assert not none.any()


def test_only_the_part_with_persons_is_touched():
    frame = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    drawn = draw_poses(frame.copy(), persons([[100, 100]]), Style())
    changed = (drawn != frame).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    for found in (rows, columns):
        assert 95 <= found.min() <= found.max() <= 145


def test_ellipses_have_the_half_axes_of_two_standard_deviations():
    meta = {**META, 'sigma_spread': np.array([0.25, 0.5])}
    poses = persons([[10, 10]], sigma=np.full((1, 3, 2), 20.0, np.float32), meta=meta)
    poses.scores[0, 1:] = 0
    style = Style(draw_sigma=True, radius=1, **OPAQUE)
    drawn = draw_poses(canvas(), poses, style).any(2)
    # around (30, 18): half axes 10 and 20
    columns = np.flatnonzero(drawn.any(0))
    rows = np.flatnonzero(drawn.any(1))
    assert abs(columns.min() - 20) <= 1
    assert abs(columns.max() - 40) <= 1
    assert abs(rows.max() - 38) <= 1


def test_boxes_and_identities():
    style = Style(kpt_thr=0.99, alpha=1.0)
    plain = draw_poses(canvas(), persons([[10, 10]]), style)
    named = draw_poses(canvas(), persons([[10, 10]]).with_track_id([5]), style)
    assert plain[10, 30].any()
    # edges are smoothed
    np.testing.assert_allclose(named[10, 30], person_color(5), atol=30)
    assert named[12:24, 13:24].any()
    assert not plain[12:24, 13:24].any()
    assert person_color(5) != person_color(6)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e30, -1e9])
def test_coordinates_out_of_range_draw_nothing(value):
    poses = persons([[10, 10]], sigma=np.full((1, 3, 2), value, np.float32))
    poses.keypoints[0, 0] = value
    draw_poses(canvas(), poses, Style(draw_sigma=True, show_kpt_idx=True))


def test_far_outside_and_nobody_leave_the_frame():
    for poses in (persons([[1000, 1000]]), persons([])):
        assert not draw_poses(canvas(), poses, Style()).any()


def test_sizes_follow_picture_and_person():
    """Enlarging picture and persons enlarges everything that is drawn by as much."""
    boxes = np.array([[0, 0, 99, 300], [0, 0, 30, 90], [0, 0, 20, 20]], np.float32)
    small = pens((429, 640, 3), boxes, Style())
    large = pens((4290, 6400, 3), 10 * boxes, Style())
    near, far, tiny = small
    assert near.radius > far.radius > tiny.radius >= 1
    assert near.thickness > far.thickness > tiny.thickness >= 1
    for a, b in zip(small[:2], large[:2], strict=True):
        assert b.radius == pytest.approx(10 * a.radius)
        assert b.thickness == pytest.approx(10 * a.thickness, abs=5)
    assert large[0].line >= 5
    assert large[0].text > 5 * small[0].text
    # a joint hides no more of a small person than of a tall one
    for pen, side in zip(small, (300, 90, 20), strict=True):
        assert pen.radius <= max(side / 45, 1)
    given = pens((4000, 6000), boxes, Style(radius=4, thickness=2))
    assert {(pen.radius, pen.thickness) for pen in given} == {(4, 2)}


def test_what_is_drawn_on_a_large_picture_is_as_large():
    def share(factor):
        frame = np.zeros((60 * factor, 80 * factor, 3), np.uint8)
        poses = persons([[10 * factor, 10 * factor]], size=40 * factor)
        return (draw_poses(frame, poses, Style(**OPAQUE)).max(2) > 60).mean()

    # OpenCV makes lines a bit thicker than asked, which counts less the thicker they are
    assert share(60) == pytest.approx(share(30), rel=0.15)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e30])
def test_boxes_that_are_no_boxes_have_sizes_too(value):
    (pen,) = pens((60, 80), np.array([[0, 0, value, 5]], np.float32), Style())
    assert 1 <= pen.radius <= 80


@pytest.mark.parametrize('name', ['radius', 'thickness'])
def test_sizes_out_of_range(name):
    for value in (0, -3, 10**6):
        with pytest.raises(UserError, match=name):
            Style(**{name: value})
