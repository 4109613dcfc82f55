"""What options of a config are refused, by kind of option."""

import math

import pytest

from rlepose_ext import checks
from rlepose_ext.errors import UserError

GOOD = [
    (checks.check_counts, [1, 17]),
    (checks.check_size, [(64, 48), [1, 1]]),
    (checks.check_positive, [1, 0.5]),
    (checks.check_factors, [0, 2.5]),
    (checks.check_rates, [0, 0.3]),
]
NO_NUMBERS = ['2', None, [2], math.nan]
BAD = [
    (checks.check_counts, [0, -1, 2.0, True, *NO_NUMBERS]),
    (checks.check_size, [64, (64,), (0, 0), (64.0, 64.0), 'ab', (1, 1, 1), None]),
    (checks.check_positive, [0, -1, math.inf, True, *NO_NUMBERS]),
    (checks.check_factors, [-1, math.inf, True, *NO_NUMBERS]),
    (checks.check_rates, [-0.1, 1, 1.1, *NO_NUMBERS]),
]


@pytest.mark.parametrize(('check', 'value'), [(c, v) for c, values in GOOD for v in values])
def test_accepted(check, value):
    check('Head', option=value)


@pytest.mark.parametrize(('check', 'value'), [(c, v) for c, values in BAD for v in values])
def test_refused_by_name(check, value):
    with pytest.raises(UserError, match='Head: expected option to be'):
        check('Head', option=value)


def test_width_is_a_number_or_a_multiple():
    assert checks.width('GAU', 48, dim=5, ratio=None) == 5
    assert checks.width('GAU', 48, dim=None, ratio=0.5) == 24
    for dim, ratio in [(None, None), (5, 0.5), (0, None), (None, 0.001), ('5', None), (None, '2')]:
        with pytest.raises(UserError, match='GAU: expected'):
            checks.width('GAU', 48, dim=dim, ratio=ratio)


def test_arguments_are_those_of_the_signature():
    def build(tokens, dim, bias=False):
        pass

    checks.check_arguments('Block', build, 0, dim=3)
    for options in ({}, {'dim': 3, 'heads': 4}, {'dim': 3, 'tokens': 4}):
        with pytest.raises(UserError, match=r'Block: .*; it takes dim, bias'):
            checks.check_arguments('Block', build, 0, **options)
