"""The One-Euro filter against its formulas."""

import math
from dataclasses import replace

import numpy as np
import pytest
from people import persons

from rlepose_ext.errors import UserError
from rlepose_ext.inference.smoothing import OneEuro, smoothing_factor


def test_smoothing_factor_is_the_quoted_formula():
    # tau = 1 / (2 pi f), alpha = 1 / (1 + tau / dt): section 3 of the paper
    assert smoothing_factor(1.0, 0.1) == pytest.approx(1 / (1 + (1 / (2 * math.pi)) / 0.1))


def test_a_step_by_hand():
    smooth = OneEuro(min_cutoff=1.0, beta=2.0, d_cutoff=1.0)
    first, second = persons([[0, 0]]).with_track_id([3]), persons([[8, 0]]).with_track_id([3])
    np.testing.assert_array_equal(smooth(first, 0.0).keypoints, first.keypoints)
    found = smooth(second, 0.1).keypoints[0, 0, 0]
    speed = smoothing_factor(1.0, 0.1) * (8 / 40 / 0.1)
    alpha = smoothing_factor(1.0 + 2.0 * speed, 0.1)
    assert found == pytest.approx(20 + alpha * 8, rel=1e-6)


def test_trembling_shrinks_and_movement_is_followed():
    rng = np.random.default_rng(0)
    smooth, still = OneEuro(), []
    for frame in range(60):
        poses = persons([[0, 0]]).with_track_id([0])
        poses = replace(poses, keypoints=poses.keypoints + rng.normal(0, 1, (1, 3, 2)))
        still.append(smooth(poses, frame / 30).keypoints[0])
    assert np.std(still[20:], axis=0).max() < 0.6
    smooth = OneEuro()
    for frame in range(60):
        found = smooth(persons([[6 * frame, 0]]).with_track_id([0]), frame / 30)
    # a fifth of a person's size a frame is fast: less than two frames behind
    assert 6 * 59 + 20 - found.keypoints[0, 0, 0] < 12


def test_identities_are_apart_and_a_gap_starts_anew():
    smooth = OneEuro(max_gap=0.5)
    smooth(persons([[0, 0], [100, 0]]).with_track_id([0, 1]), 0.0)
    both = smooth(persons([[100, 0], [0, 0]]).with_track_id([1, 0]), 0.1)
    np.testing.assert_allclose(both.keypoints[:, 0, 0], [120, 20])
    late = persons([[50, 0]]).with_track_id([0])
    np.testing.assert_array_equal(smooth(late, 5.0).keypoints, late.keypoints)


def test_bad_settings():
    with pytest.raises(UserError, match='min_cutoff'):
        OneEuro(min_cutoff=0)
    with pytest.raises(UserError, match='tracking'):
        OneEuro()(persons([[0, 0]]), 0.0)
