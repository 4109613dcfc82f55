"""Rebuilds what a checkpoint holds besides tensors, without trusting the file.

numpy's own unpickling trusts it. ``dtype.__setstate__`` accepts any flags that a file gives, and
with them ``scalar(dtype, data)`` takes bytes for a pointer to an object; ``ndarray.__setstate__``
frees memory that a tensor may share. Either ends the process, and worse may be possible. So a file
that names ``numpy.dtype`` or ``numpy.ndarray`` gets the stand-ins below, which check sizes and
build real arrays from copies. The arrays take the stand-ins' places after everything is read
(:func:`with_arrays`), because a pickle cannot exchange an object that it has begun.

Boolean, integer, floating, complex and string arrays load (numpy's kinds b, i, u, f, c, S, U);
others, such as object arrays, dates and records, are refused.
"""

from __future__ import annotations

import math
import pickle
import re
from typing import Any

import numpy as np

_CODE = re.compile(r'[biufcSU]\d{1,9}')


class DType:
    """Stands for ``numpy.dtype``.

    Args:
        code: its kind and size in bytes, such as ``'f8'``.
        align: not used, as for ``copy``; a pickle has them.

    Raises:
        pickle.UnpicklingError: it is of a kind that is not on the list.
    """

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise pickle.UnpicklingError(f'GLOBAL numpy.dtype({code!r})')
        self.native = self.real = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        """Take the byte order; all else follows from the code."""
        if state[1] in ('<', '>') and self.native.newbyteorder(state[1]) != self.native:
            self.real = self.native.newbyteorder(state[1])


class Array:
    """Stands for ``numpy.ndarray`` until everything is read; ``real`` is the array."""

    __hash__ = None  # as for arrays: neither a key nor in a set, where it could not be replaced
    real: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        """Copy the values.

        Raises:
            pickle.UnpicklingError: they are not as many as the shape says.
        """
        _, shape, dtype, fortran, data = state
        values = _values(dtype, data, math.prod(shape))
        self.real = values.reshape(shape, order='F' if fortran else 'C')


class History:
    """Becomes mmengine's ``HistoryBuffer``, of which it takes the numbers only.

    That class would also take functions from the file, for all histories of the process.
    """

    def __setstate__(self, state: dict) -> None:
        """Take the two arrays.

        Raises:
            pickle.UnpicklingError: they are not vectors of one length.
        """
        from mmengine.logging import HistoryBuffer

        log, count = state['_log_history'], state['_count_history']
        vectors = type(log) is type(count) is Array and log.real.ndim == 1
        if not vectors or log.real.shape != count.real.shape:
            raise pickle.UnpicklingError('a history of something else than two vectors')
        self.__class__ = HistoryBuffer
        self.max_length = int(state['max_length'])
        self._log_history, self._count_history = log.real, count.real
        self._set_default_statistics()


class OneCycle:
    """Stands for mmengine's 1cycle scheduler, whose methods a state names."""


def reconstruct(kind: type, shape: tuple, code: bytes) -> Array:
    """Stands for numpy's function of that name, which makes the array to be filled."""
    if kind is not Array:
        raise pickle.UnpicklingError('GLOBAL numpy.core.multiarray._reconstruct of another class')
    return Array()


def scalar(dtype: DType, data: bytes) -> np.generic:
    """Stands for numpy's function of that name: one number or string."""
    return dtype.real.type() if dtype.real.itemsize == 0 else _values(dtype, data, 1)[0]


def method(owner: type, name: str) -> Any:
    """``getattr`` for the methods that mmengine's checkpoints hold, and nothing else."""
    from mmengine.logging import HistoryBuffer
    from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

    if owner is History and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    if owner is OneCycle and name in ('_annealing_cos', '_annealing_linear'):
        return getattr(OneCycleParamScheduler, name)
    raise pickle.UnpicklingError(f'GLOBAL builtins.getattr ({owner!r}, {name!r})')


def config(content: dict) -> Any:
    """Make a ``ConfigDict`` of mmengine's from a dict."""
    from mmengine.config import ConfigDict

    if type(content) is not dict:
        raise pickle.UnpicklingError(f'a ConfigDict of a {type(content).__name__}')
    return ConfigDict(content)


def no_bytes() -> bytes:
    """``bytes`` for the empty string only: with a number it would allocate that much."""
    return b''


# What a file may name, and what it gets. Methods among the state are spelled getattr(class, name)
# by a pickle, and an array without elements, as in the metainfo of faces, spells its data bytes().
STAND_INS = {
    'numpy.dtype': DType,
    'numpy.ndarray': Array,
    'builtins.getattr': method,
    'builtins.bytes': no_bytes,
    'mmengine.config.config.ConfigDict': config,
    'mmengine.logging.history_buffer.HistoryBuffer': History,
    'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler': OneCycle,
}
for _core in ('numpy.core', 'numpy._core'):  # numpy 2 renamed it; files have either
    STAND_INS[f'{_core}.multiarray._reconstruct'] = reconstruct
    STAND_INS[f'{_core}.multiarray.scalar'] = scalar


def with_arrays(content: Any) -> Any:
    """A checkpoint with real arrays in place of stand-ins, in place where it can be."""
    return _with_arrays(content, set())


def _with_arrays(value: Any, seen: set[int]) -> Any:
    if isinstance(value, (Array, DType)):
        return value.real
    if type(value) is tuple:
        items = [_with_arrays(item, seen) for item in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else tuple(items)
    if id(value) in seen:
        return value
    seen.add(id(value))
    if isinstance(value, dict):
        # ConfigDict has an items() of its own
        for key, item in list(dict.items(value)):
            new = _with_arrays(item, seen)
            if new is not item:
                dict.__setitem__(value, key, new)
    elif isinstance(value, list):
        value[:] = [_with_arrays(item, seen) for item in value]
    attributes = getattr(value, '__dict__', None)
    if type(attributes) is dict:
        _with_arrays(attributes, seen)
    return value


def _values(dtype: DType, data: bytes, count: int) -> np.ndarray:
    """A copy of ``count`` values, in this machine's byte order."""
    if type(data) is not bytes or len(data) != count * dtype.real.itemsize or (count and not data):
        raise pickle.UnpicklingError(f'{count} numpy values in other than their bytes')
    if not count:
        return np.empty(0, dtype.native)
    return np.frombuffer(data, dtype.real).astype(dtype.native)
