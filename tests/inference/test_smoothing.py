"""The filters against their formulas."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from people import persons

from rlepose_ext.errors import UserError
from rlepose_ext.inference.smoothing import Kalman, OneEuro, build_smoother, smoothing_factor


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


@pytest.mark.parametrize('smooth', [OneEuro(), Kalman()])
def test_a_joint_that_is_nan_is_not_remembered(smooth):
    """It starts anew where it is a number again; other joints go on."""
    bad = measured(1.0, 1.0)
    bad.keypoints[0, 1] = np.nan
    for number, poses in enumerate([measured(0.0, 1.0), bad, measured(2.0, 1.0)]):
        found = smooth(poses, number / 25)
    assert (found.keypoints[0, 1] == 2).all()
    assert (found.keypoints[0, 0] < 1.9).all()


def test_bad_settings():
    with pytest.raises(UserError, match='min_cutoff'):
        OneEuro(min_cutoff=0)
    with pytest.raises(UserError, match='moving'):
        OneEuro(moving=0)
    with pytest.raises(UserError, match='max_gap'):
        OneEuro(max_gap=-1)
    with pytest.raises(UserError, match='tracking'):
        OneEuro()(persons([[0, 0]]), 0.0)


def measured(position, sigma, size=40):
    """A person whose joints are measured with this deviation in px."""
    poses = persons([[0, 0]], size).with_track_id([0])
    keypoints = np.full_like(poses.keypoints, position)
    return replace(
        poses,
        keypoints=keypoints,
        sigma=np.full(keypoints.shape, sigma, np.float32),
        meta={'sigma_spread': 1.0},
    )


def test_a_step_of_the_kalman_filter_by_hand():
    """dt = 0.5, a = 2 and a velocity of deviation 1, in sizes of 10 px; R = 4, then 9."""
    smooth = Kalman(acceleration=2, memory=math.inf, speed=1)
    smooth(measured(100, 2, size=10), 0.0)
    found = smooth(measured(110, 3, size=10), 0.5).keypoints[0, 0, 0]
    # P = 4 + 0.5^2 10^2 + 20^2 0.5^4 / 4
    predicted = 4 + 25 + 6.25
    assert found == pytest.approx(100 + 10 * predicted / (predicted + 9), rel=1e-6)
    # The velocity: (0.5 10^2 + 20^2 0.5^3 / 2) / (P + R) of the error; then half a second on.
    speed = 10 * (50 + 25) / (predicted + 9)
    (state, _), *_ = smooth._states.values()
    assert state.velocity[0, 0] == pytest.approx(speed, rel=1e-6)
    smooth = Kalman(acceleration=2, memory=0.5 / math.log(2), speed=1)
    smooth(measured(100, 2, size=10), 0.0)
    smooth(measured(110, 3, size=10), 0.5)
    (state, _), *_ = smooth._states.values()
    # Half of the velocity is left: of its covariance with the position too.
    assert state.velocity[0, 0] == pytest.approx(10 * (25 + 25) / (predicted + 9), rel=1e-6)


@pytest.mark.parametrize('index', [0.02, 0.5, 5.0])
def test_the_gain_settles_at_kalatas(index):
    """Of constant variance: the solution of the Riccati equation in the module's text."""
    dt, sigma, size = 0.04, 3.0, 40
    smooth = Kalman(acceleration=index * sigma / dt**2 / size, memory=math.inf)
    for frame in range(3000):
        smooth(measured(0, sigma, size), frame * dt)
    moved = smooth(measured(1, sigma, size), 3000 * dt).keypoints[0, 0, 0]
    (after, _), *_ = smooth._states.values()
    r = (4 + index - math.sqrt(8 * index + index**2)) / 4
    alpha = 1 - r**2
    assert moved == pytest.approx(alpha, rel=1e-4)
    beta = 2 * (2 - alpha) - 4 * math.sqrt(1 - alpha)
    assert after.velocity[0, 0] * dt == pytest.approx(beta, rel=1e-3)
    # What is left of the variance is that share of it.
    assert after.covariance[0, 0, 0, 0] == pytest.approx(alpha * sigma**2, rel=1e-4)


def test_a_joint_at_rest_is_the_weighted_mean():
    """Nothing moves: the estimate is least squares, every measurement by its variance."""
    smooth = Kalman(acceleration=1e-9, memory=1e-3, speed=1e-9)
    values, sigmas = [3.0, 5.0, 10.0, 4.0], [1.0, 2.0, 4.0, 1.0]
    for frame, (value, sigma) in enumerate(zip(values, sigmas, strict=True)):
        found = smooth(measured(value, sigma), frame / 25)
    weights = 1 / np.square(sigmas)
    assert found.keypoints[0, 0, 0] == pytest.approx(np.average(values, weights=weights), rel=1e-5)


def test_constant_velocity_has_no_lag_and_memory_costs_some():
    """With memory the velocity is e^{-dt / tau} of what it was: the fixed point, by hand."""
    dt, step, lags = 0.04, 4.0, {}
    for memory in (math.inf, 0.5):
        smooth = Kalman(memory=memory)
        for frame in range(500):
            found = smooth(measured(step * frame, 2.0), frame * dt)
        lags[memory] = step * 499 - found.keypoints[0, 0, 0]
    assert lags[math.inf] == pytest.approx(0, abs=1e-3)
    # Lag e: gains k0, k1 times the error (e + step - dt v) keep v = phi v + k1 error.
    (state, _), *_ = smooth._states.values()
    pp, pv = state.covariance[0, 0, 0, 0], state.covariance[0, 1, 0, 0]
    error = lags[0.5] / (1 - pp / 4)
    velocity = pv / 4 * error / (1 - math.exp(-dt / 0.5))
    assert lags[0.5] == pytest.approx((1 - pp / 4) * (lags[0.5] + step - dt * velocity), rel=1e-3)
    assert 0 < lags[0.5] < step / 4


def test_a_joint_that_is_hidden_moves_less_than_one_that_is_seen():
    smooth, poses = Kalman(), measured(0, 1.0)
    smooth(poses, 0.0)
    poses = measured(10, 1.0)
    poses.sigma[0, 1] = 20
    moved = smooth(poses, 0.04).keypoints[0, :, 0]
    assert moved[1] < 0.1 * moved[0]
    assert moved[0] == moved[2]


def test_the_filter_is_that_of_the_model():
    known = SimpleNamespace(has_sigma=True, meta={'sigma_spread': np.ones(2)})
    assert isinstance(build_smoother(known), Kalman)
    # RLE without its flow has a sigma, but no pixels.
    for has, spread in ((True, None), (False, None)):
        model = SimpleNamespace(has_sigma=has, meta={'sigma_spread': spread})
        assert isinstance(build_smoother(model), OneEuro)


def test_bad_settings_of_the_kalman_filter():
    for wrong in ({'acceleration': 0}, {'memory': math.nan}, {'speed': -1}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Kalman(**wrong)
    with pytest.raises(UserError, match='sigma_px'):
        Kalman()(persons([[0, 0]]).with_track_id([0]), 0.0)
