"""Checks of options and sizes, made when codecs, blocks and heads are built.

Their options come from a config that was typed by hand. Without a check a width of ``'512'`` or
``2.5`` would fail deep inside torch, and an unknown name at the first batch.
"""

import inspect
import math
from collections.abc import Callable, Collection, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from rlepose_ext.errors import UserError


def check_counts(where: str, least: int = 1, **values: Any) -> None:
    """Raise unless each value is a whole number of at least ``least``.

    Args:
        where: the class, for the message.
        least: smallest number allowed.
        **values: by the names that the user knows.

    Raises:
        UserError: names the first value that is wrong.
    """
    for name, value in values.items():
        if not _is_count(value, least):
            raise UserError(
                f'{where}: expected {name} to be a whole number of at least {least}, got {value!r}.'
            )


def check_size(where: str, **values: Any) -> None:
    """Raise unless each value is (width, height), whole numbers above 0. Arguments as above."""
    for name, value in values.items():
        pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
        if not pair or not all(_is_count(side) for side in value):
            raise UserError(
                f'{where}: expected {name} to be (width, height), whole numbers above 0, got '
                f'{value!r}.'
            )


def check_positive(where: str, **values: Any) -> None:
    """Raise unless each value is a finite number above 0. Arguments as above."""
    for name, value in values.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise UserError(f'{where}: expected {name} to be a number above 0, got {value!r}.')


def check_factors(where: str, **values: Any) -> None:
    """Raise unless each value is a finite number of 0 or more. Arguments as above."""
    for name, value in values.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise UserError(f'{where}: expected {name} to be a number of 0 or more, got {value!r}.')


def check_rates(where: str, **values: Any) -> None:
    """Raise unless each value is a drop rate, a number from 0 to below 1. Arguments as above.

    A rate of 1 leaves nothing, and dividing by 1 - rate gives 0 / 0.
    """
    for name, value in values.items():
        if not isinstance(value, Real) or not 0 <= value < 1:
            raise UserError(f'{where}: expected {name} to be from 0 to below 1, got {value!r}.')


def check_choice(where: str, name: str, value: Any, known: Collection[str]) -> None:
    """Raise unless a name is one of ``known``.

    Args:
        where: the class, for the message.
        name: of the option.
        value: the name.
        known: the names that exist.

    Raises:
        UserError: lists the names that exist.
    """
    if not isinstance(value, str) or value not in known:
        raise UserError(f'{where}: expected {name} to be one of {sorted(known)}, got {value!r}.')


def check_sizes(head: str, input_size: Sequence[int], map_size: Sequence[int]) -> None:
    """Raise if no stride of a backbone leads from the input size to the map size.

    Args:
        head: its class, for the message.
        input_size: width and height, input px.
        map_size: width and height, heatmap px.

    Raises:
        UserError: not a pair each, or no stride s gives ``ceil(input / s)`` pixels on both axes.
    """
    check_size(head, input_size=input_size, in_featuremap_size=map_size)
    (w, h), (map_w, map_h) = input_size, map_size
    strides = range(1, max(w, h) + 1)
    if not any(-(-w // s) == map_w and -(-h // s) == map_h for s in strides):
        raise UserError(
            f'{head}: in_featuremap_size {tuple(map_size)} does not fit input_size '
            f'{tuple(input_size)}. Expected (width, height) each, the input the same whole number '
            'of times larger on both axes: (48, 64) for (192, 256) behind HRNet.'
        )


def check_codec(head: Any, *names: str) -> None:
    """Raise if the decoder is of another kind, or its sizes differ from the head's.

    Args:
        head: has ``decoder``, None or a codec.
        *names: what both must have, with equal values, such as ``'input_size'``.

    Raises:
        UserError: names both values.
    """
    if head.decoder is None:
        return
    for name in names:
        ours, codecs = getattr(head, name), getattr(head.decoder, name, None)
        if codecs is None or not np.array_equal(ours, codecs):
            raise UserError(
                f'{type(head).__name__}: {name} is {ours}, that of the decoder, a '
                f'{type(head.decoder).__name__}, is {codecs}. Take a codec that has it, type the '
                f"value once, in codec = dict(...), and pass codec['{name}'] to the head."
            )


def check_one_person(codec: str, keypoints: np.ndarray) -> None:
    """Raise unless keypoints are those of one person, (1, K, 2).

    Raises:
        UserError: they are not; names ``codec``.
    """
    if keypoints.ndim != 3 or keypoints.shape[0] != 1 or keypoints.shape[2] != 2:
        raise UserError(
            f'{codec}: expected the keypoints of one person, shape (1, K, 2), got '
            f'{keypoints.shape}. Its maps have room for one: use a top-down data set '
            "(data_mode='topdown')."
        )


def check_arguments(where: str, target: Callable, *args: Any, **options: Any) -> None:
    """Raise if ``target`` does not take an option, or requires one that is missing.

    Args:
        where: what the options are of, for the message.
        target: a class or function.
        *args: what it is given beside the options.
        **options: as in the config.

    Raises:
        UserError: names the option, and lists those that exist.
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
