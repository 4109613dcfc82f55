"""What users write as arguments, read in the same way by the command line and by Python.

Readers raise ``ValueError`` without the name of the argument, which :func:`read` and argparse add.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

from rlepose_ext.errors import UserError

T = TypeVar('T')

METHODS = ('bytetrack', 'iou', 'oks')
# What other libraries call it, and what takes its place here.
_ELSEWHERE = {
    'batch': 'Pose(..., batch_size=8)',
    'classes': 'Pose(..., category=0)',
    'conf': 'Pose(..., bbox_thr=0.5) for persons, pose(..., kpt_thr=0.5) for joints that are drawn',
    'half': "Pose(..., dtype='float16')",
    'imgsz': 'the size is that of the model',
    'iou': 'Pose(..., nms_thr=0.5)',
    'name': "pose(..., output_root='folder')",
    'project': "pose(..., output_root='folder')",
    'save_crop': "pose(..., output_root='folder', save='crops')",
    'save_txt': "pose(..., output_root='folder', save='txt')",
    'show': 'result.show()',
    'tracker': "pose(..., track='bytetrack')",
    'verbose': 'it prints nothing',
}


def read(name: str, reader: Callable[[Any], T], value: Any) -> T | None:
    """The value of an argument, ``None`` if it was not given.

    Raises:
        UserError: one that the reader does not take.
    """
    try:
        return None if value is None else reader(value)
    except (TypeError, ValueError) as error:
        raise UserError(f'{name}: {error}') from error


def seconds(value: str | float) -> float:
    """Seconds of a time: ``90``, ``'90'``, ``'1:30'`` or ``'0:01:30.5'``."""
    try:
        numbers = [float(part) for part in str(value).split(':')]
    except ValueError:
        numbers = []
    # NaN compares as false.
    if not 0 < len(numbers) <= 3 or not all(number >= 0 for number in numbers):
        raise ValueError(f'expected seconds from 0 on, or h:m:s, got {value!r}')
    total = 0.0
    for number in numbers:
        total = 60 * total + number
    return total


def folder(value: str | Path) -> Path:
    """A folder to write into."""
    if value == '':
        raise ValueError('expected a folder, got an empty text: write . for the current one')
    return Path(value)


def share(value: str | float) -> float:
    """A score or an IoU."""
    if not 0 <= float(value) <= 1:
        raise ValueError(f'expected 0 to 1, got {value}')
    return float(value)


def method(value: str) -> str:
    """A way of tracking."""
    if value not in METHODS:
        raise ValueError(f'expected one of {", ".join(METHODS)}, got {value!r}')
    return value


def check_names(
    call: str, given: Iterable[str], known: Collection[str], others: dict[str, Collection[str]]
) -> None:
    """See that a call has arguments of these names.

    Args:
        call: it, as users write it.
        given: names of its arguments.
        known: names that it takes.
        others: by other calls, the names that they take.

    Raises:
        UserError: another name, with what is meant if that is known.
    """
    for name in given:
        if name in known:
            continue
        takers = [other for other, names in others.items() if name in names]
        if takers:
            meant = f'give it to {takers[0]}'
        elif name in _ELSEWHERE:
            meant = _ELSEWHERE[name]
        else:
            meant = f'it takes {", ".join(known)}'
        raise UserError(f'{call} has no argument {name}: {meant}')
