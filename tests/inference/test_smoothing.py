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
    """With moving=inf, the equations of the paper."""
    first, second = persons([[0, 0]]).with_track_id([3]), persons([[8, 0]]).with_track_id([3])
    speed = smoothing_factor(1.0, 0.1) * (8 / 40 / 0.1)
    alpha = smoothing_factor(1.0 + 2.0 * speed, 0.1)
    share = speed**2 / (speed**2 + 0.3**2)
    predicted = share * speed * 0.1 * 40
    for moving, expected in ((math.inf, alpha * 8), (0.3, predicted + alpha * (8 - predicted))):
        smooth = OneEuro(min_cutoff=1.0, beta=2.0, d_cutoff=1.0, moving=moving)
        np.testing.assert_array_equal(smooth(first, 0.0).keypoints, first.keypoints)
        found = smooth(second, 0.1).keypoints[0, 0, 0]
        assert found == pytest.approx(20 + expected, rel=1e-6)


def test_steady_movement_is_not_behind():
    """The fixed point of the recursion at speed v (sizes a second), by hand.

    With lag L the speed's input is v + L / dt - v_t, so v_t = v + c and L = c dt; the prediction
    leaves (1 - alpha) (v - g v_t) dt of it behind.
    """
    step, dt = 6.0, 1 / 30
    lags = {}
    for moving in (math.inf, 0.5, 1e-6):
        smooth = OneEuro(moving=moving)
        for frame in range(200):
            found = smooth(persons([[step * frame, 0]]).with_track_id([0]), frame * dt)
        lags[moving] = step * 199 + 20 - found.keypoints[0, 0, 0]
        # (x - x_{t-1}) / dt in sizes, of a constant lag
        speed = (step + lags[moving]) / 40 / dt
        share = 1 / (1 + (moving / speed) ** 2)
        alpha = smoothing_factor(0.5 + 6.0 * speed, dt)
        behind = (1 - alpha) * (step + lags[moving] - share * speed * dt * 40)
        assert lags[moving] == pytest.approx(behind, abs=1e-3)
    assert lags[0.5] < lags[math.inf] / 3


def test_trembling_shrinks_and_movement_is_followed():
    rng = np.random.default_rng(0)
    smooth, still = OneEuro(), []
    for frame in range(60):
        poses = persons([[0, 0]]).with_track_id([0])
        poses = replace(poses, keypoints=poses.keypoints + rng.normal(0, 0.4, (1, 3, 2)))
        still.append(smooth(poses, frame / 30).keypoints[0])
    # of a hundredth of the person's size
    assert np.std(still[20:], axis=0).mean() < 0.45 * 0.4
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
    with pytest.raises(UserError, match='moving'):
        OneEuro(moving=0)
    with pytest.raises(UserError, match='tracking'):
        OneEuro()(persons([[0, 0]]), 0.0)
