"""The table: what it says of predictions that are known."""

from dataclasses import replace

import numpy as np
import pytest
from errors import NAMES, held_out, laplace

from rlepose_ext.calibration.repair import Calibration, fit
from rlepose_ext.calibration.report import (
    as_text,
    draw_reliability,
    draw_sparsification,
    intervals,
    over_splits,
    prove,
    table,
)


def proved(data, seed=0):
    fitting, proof = data.split(seed)
    shape, promise = fitting.split(seed + 1)
    found, _ = fit(shape, promise, proof)
    own = Calibration(np.ones((3, 2)), np.zeros(3), np.zeros(0))
    return prove(proof, promise, shape, own, found)


@pytest.fixture(scope='module')
def proof():
    return proved(held_out(2000, density=laplace))


def test_rows(proof):
    rows = table(proof, seed=0, repeats=30)['rows']
    assert set(rows) == {
        'constant', 'constant per joint', 'score', 'uncalibrated', 'scaled', 'calibrated',
        'exact sigma',
    }  # fmt: skip
    for numbers in rows.values():
        value, low, high = numbers.get('ence', (0, 0, 0))
        assert 0 <= low <= value <= high
    # a constant knows nothing
    assert rows['calibrated']['ause'][0] < 0.7 * rows['constant']['ause'][0]
    assert rows['calibrated']['ause'][0] < rows['constant per joint']['ause'][0]
    assert set(rows['score']) == {'ause'}
    # without the factors of the joints NLL and ENCE are worse
    for name in ('nll', 'ence'):
        assert rows['calibrated'][name][0] < rows['uncalibrated'][name][0]
    for level in (50, 90, 95):
        value, low, high = rows['calibrated'][f'coverage_{level}']
        assert low <= value <= high
        assert low - 0.02 <= level / 100 <= high + 0.02
    assert rows['scaled']['coverage_50'][0] > 0.55
    text = as_text(rows)
    assert 'calibrated' in text
    assert f'{rows["calibrated"]["ause"][0]:.3f}' in text


def test_exact_sigma():
    """What is left to gain: nothing where errors are as sigma says, much where sigma knows less."""
    data = held_out(2000, density=laplace)
    told = proved(data)
    known = {name: claim.numbers()['ause'] for name, claim in told.claims.items()}
    assert known['exact sigma'] == pytest.approx(known['calibrated'], abs=0.01)
    # the same deviations, dealt to the wrong persons
    order = np.random.default_rng(1).permutation(2000)
    unknown = proved(replace(data, sigma=data.sigma[order]))
    wrong = {name: claim.numbers()['ause'] for name, claim in unknown.claims.items()}
    assert wrong['exact sigma'] < wrong['calibrated'] - 0.05


def test_splits_tell_their_luck():
    """In images whose joints are wrong together, one split is off and the mean of many is right."""
    data = held_out(432, density=laplace)
    luck = np.random.default_rng(1).lognormal(0, 0.6, 432)
    data = replace(data, error=data.error * luck[:, None, None])
    rows = over_splits(proved(data, seed) for seed in range(20))
    for level, margin in ((90, 0.015), (95, 0.01)):
        mean, lowest, highest = rows[f'coverage_{level}']
        # of 108 labels the radius is the 99th or the 104th smallest
        assert mean == pytest.approx(np.ceil(1.09 * level) / 109, abs=margin)
        assert lowest < mean - margin < mean + margin < highest


def test_groups(proof):
    groups = table(proof, seed=0, repeats=5)
    assert tuple(groups['joints']) == NAMES
    assert sum(g['joints_that_prove'] for g in groups['joints'].values()) == 3000
    for kind in ('visibility', 'size'):
        assert sum(g['joints_that_prove'] for g in groups[kind].values()) == 3000
        for group in groups[kind].values():
            assert group['calibrated']['coverage_90'][0] == pytest.approx(0.9, abs=0.04)


def test_intervals_hold_the_truth():
    """Resampling images: of 25 proofs about 95 % of the intervals hold the long-run coverage."""
    hits = []
    for seed in range(25):
        proof = proved(held_out(400, seed), seed)
        every = np.ones(len(proof.joint), bool)
        found = intervals(proof, every, ['uncalibrated'], seed, repeats=60)
        hits.append(found['uncalibrated']['coverage_90'])
    truth = np.mean([value for value, *_ in hits])
    assert 0.8 <= np.mean([low <= truth <= high for _, low, high in hits]) <= 1


def test_plots(proof, tmp_path):
    for draw in (draw_reliability, draw_sparsification):
        path = tmp_path / f'{draw.__name__}.png'
        draw(proof, path)
        assert 5_000 < path.stat().st_size < 200_000
