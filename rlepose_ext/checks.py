"""What codecs, blocks and heads refuse when they are built.

Their options come from a config that somebody typed. A width of ``'512'`` or ``2.5``
would fail deep inside torch, and an unknown name at the first batch; both are named here.
"""

import inspect
import math
from collections.abc import Callable, Collection, Sequence
from numbers import Integral, Real
from typing import Any

from rlepose_ext.errors import UserError


def check_counts(where: str, least: int = 1, **values: Any) -> None:
    """Refuse what is no whole number of at least ``least``.

    Args:
        where: the class, for the message.
        least: smallest number allowed.
        **values: by the names that the user knows.

    Raises:
        UserError: names the first that is wrong.
    """
    for name, value in values.items():
        if not _is_count(value, least):
            raise UserError(
                f'{where}: expected {name} to be a whole number of at least {least}, got {value!r}.'
            )


def check_size(where: str, **values: Any) -> None:
    """Refuse what is no pair (width, height) of whole numbers above 0. Arguments as above."""
    for name, value in values.items():
        pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
        if not pair or not all(_is_count(side) for side in value):
            raise UserError(
                f'{where}: expected {name} to be (width, height), whole numbers above 0, got '
                f'{value!r}.'
            )


def check_positive(where: str, **values: Any) -> None:
    """Refuse what is no finite number above 0. Arguments as above."""
    for name, value in values.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise UserError(f'{where}: expected {name} to be a number above 0, got {value!r}.')


def check_factors(where: str, **values: Any) -> None:
    """Refuse what is no finite number of 0 or more. Arguments as above."""
    for name, value in values.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise UserError(f'{where}: expected {name} to be a number of 0 or more, got {value!r}.')


def check_rates(where: str, **values: Any) -> None:
    """Refuse what is no rate of dropping, a number from 0 to below 1. Arguments as above.

    What remains is divided by 1 - rate, which is 0 / 0 where nothing does.
    """
    for name, value in values.items():
        if not isinstance(value, Real) or not 0 <= value < 1:
            raise UserError(f'{where}: expected {name} to be from 0 to below 1, got {value!r}.')


def check_choice(where: str, name: str, value: Any, known: Collection[str]) -> None:
    """Refuse a name that is none of ``known``.

    Args:
        where: the class, for the message.
        name: of the option.
        value: as it was given.
        known: the names that exist.

    Raises:
        UserError: names them all.
    """
    if not isinstance(value, str) or value not in known:
        raise UserError(f'{where}: expected {name} to be one of {sorted(known)}, got {value!r}.')


def check_arguments(where: str, target: Callable, *args: Any, **options: Any) -> None:
    """Refuse options that ``target`` does not take, or lacks.

    Args:
        where: what the options are of, for the message.
        target: a class or function.
        *args: what it is given beside the options.
        **options: as in the config.

    Raises:
        UserError: names the option and those that there are.
    """
    signature = inspect.signature(target)
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        known = ', '.join(list(signature.parameters)[len(args) :])
        raise UserError(f'{where}: {error}; it takes {known}.') from None


def width(where: str, of: int, **options: float | None) -> int:
    """A width given as a number or as a multiple of another width.

    Args:
        where: the block, for the message.
        of: what the multiple is of.
        **options: two, the number first, under the names that the user knows; one is ``None``.

    Raises:
        UserError: none or both are given, or the result is no width of at least 1.
    """
    (fixed, number), (multiple, factor) = options.items()
    if (number is None) == (factor is None):
        raise UserError(
            f'{where}: expected either {fixed} or {multiple} (in units of {of}), got '
            f'{fixed}={number!r}, {multiple}={factor!r}.'
        )
    if factor is not None:
        check_positive(where, **{multiple: factor})
        number = round(factor * of)
    check_counts(where, **{fixed: number})
    return number


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least
