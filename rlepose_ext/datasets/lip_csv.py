"""LIP's annotations as they come: a csv, read, checked and counted.

A line is ``name.jpg, x1, y1, v1, ... x16, y16, v16``: 49 columns, without a header. A joint that
is not there is ``nan,nan,nan``. The flag v means the opposite of what a reader of COCO expects:

========  ===============  ==========
LIP's v   the joint is     COCO's v
========  ===============  ==========
0         visible          2
1         occluded         1
nan       not in the image 0
========  ===============  ==========

:mod:`rlepose_ext.datasets.lip_coco` makes the COCO keypoint file.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlepose_ext.datasets.lip import JOINTS, NUM_JOINTS
from rlepose_ext.errors import UserError

NUM_COLUMNS = 1 + 3 * NUM_JOINTS
VISIBLE, OCCLUDED = 0, 1
_SHOWN = 5

# x, y in image px, and LIP's v; None for a joint that is not in the image.
Joint = tuple[float, float, int] | None


@dataclass(frozen=True)
class Row:
    """One line of the csv.

    Attributes:
        line: its number, from 1.
        name: file name of the image.
        joints: 16 of x, y in image px and v (0 visible, 1 occluded), None for absent ones.
    """

    line: int
    name: str
    joints: tuple[Joint, ...]


@dataclass(frozen=True)
class Problem:
    """Something wrong in a line.

    Attributes:
        line: its number, from 1.
        what: a clause, such as ``"47 columns, expected 49"``.
    """

    line: int
    what: str

    def __str__(self) -> str:
        return f'line {self.line}: {self.what}'


def parse_row(line: int, cells: Sequence[str]) -> Row:
    """Read one line.

    Args:
        line: its number, from 1, for messages.
        cells: its columns.

    Raises:
        ValueError: the columns are not those of LIP; the message is a clause for a
            :class:`Problem`.
    """
    if len(cells) != NUM_COLUMNS:
        raise ValueError(f'{len(cells)} columns, expected {NUM_COLUMNS}: a name and 16 x, y, v')
    name, *rest = (cell.strip() for cell in cells)
    if not name:
        raise ValueError('no file name in column 1')
    numbers = [_number(text, 2 + i, header=line == 1) for i, text in enumerate(rest)]
    joints = [_joint(k, numbers[3 * k : 3 * k + 3]) for k in range(NUM_JOINTS)]
    return Row(line, name, tuple(joints))


def _number(text: str, column: int, header: bool) -> float:
    try:
        number = float(text)
    except ValueError:
        hint = '; a csv of LIP has no header' if header else ''
        raise ValueError(f'{text!r} in column {column} is not a number{hint}') from None
    if math.isinf(number):
        raise ValueError(f'{text!r} in column {column} is not finite')
    return number


def _joint(index: int, numbers: Sequence[float]) -> Joint:
    absent = [math.isnan(number) for number in numbers]
    if all(absent):
        return None
    x, y, flag = numbers
    if any(absent):
        raise ValueError(
            f'joint {index} ({JOINTS[index]}) is {x:g},{y:g},{flag:g}: all three must be numbers, '
            'or all three nan'
        )
    if flag not in (VISIBLE, OCCLUDED):
        raise ValueError(
            f'joint {index} ({JOINTS[index]}) has v = {flag:g}, expected 0 (visible) or 1 '
            '(occluded); a file with 2 has the flags of COCO'
        )
    return x, y, int(flag)


def parse_rows(lines: Iterable[str]) -> tuple[list[Row], list[Problem]]:
    """Read the lines of a csv; empty ones are passed over.

    Returns:
        The good rows, and what is wrong in the others. Of rows with one file name the first is
        good.
    """
    rows, problems = [], []
    first_of: dict[str, int] = {}
    reader = csv.reader(lines)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            row = parse_row(reader.line_num, cells)
        except ValueError as error:
            problems.append(Problem(reader.line_num, str(error)))
            continue
        if row.name in first_of:
            what = f'{row.name} is in line {first_of[row.name]} already'
            problems.append(Problem(row.line, what))
            continue
        first_of[row.name] = row.line
        rows.append(row)
    return rows, problems


def read_csv(path: str | Path) -> tuple[list[Row], list[Problem]]:
    """:func:`parse_rows` of a file.

    Raises:
        UserError: it cannot be read as text, or has no line.
    """
    try:
        # utf-8-sig: an editor may have put a byte order mark in front.
        with open(path, newline='', encoding='utf-8-sig') as file:
            rows, problems = parse_rows(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read as text ({error}). Expected LIP's csv of poses, such as "
            'lip_val_set.csv: name.jpg and 48 numbers in each line.'
        ) from error
    if not rows and not problems:
        raise UserError(f'{path} is empty. Expected one line with 49 columns for each image.')
    return rows, problems


@dataclass(frozen=True)
class Statistics:
    """What is in a csv. Joints are counted over all rows.

    Attributes:
        images: number of rows.
        visible, occluded, absent: number of joints of each kind.
        joints_per_image: number of labelled joints to number of images.
    """

    images: int = 0
    visible: int = 0
    occluded: int = 0
    absent: int = 0
    joints_per_image: Mapping[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        labelled = [number for number, count in self.joints_per_image.items() if count]
        spread = f'{min(labelled)} to {max(labelled)}' if labelled else 'no'
        return (
            f'{self.images:,} images; joints: {self.visible:,} visible, {self.occluded:,} '
            f'occluded, {self.absent:,} absent; {spread} per image, all {NUM_JOINTS} in '
            f'{self.joints_per_image.get(NUM_JOINTS, 0):,}'
        )


def statistics(rows: Sequence[Row]) -> Statistics:
    """Count joints by kind, and images by number of joints."""
    flags = Counter(joint and joint[2] for row in rows for joint in row.joints)
    per_image = Counter(sum(joint is not None for joint in row.joints) for row in rows)
    return Statistics(
        images=len(rows),
        visible=flags[VISIBLE],
        occluded=flags[OCCLUDED],
        absent=flags[None],
        joints_per_image=dict(sorted(per_image.items())),
    )


def refuse(path: str | Path, problems: Sequence[Problem], remedy: str) -> None:
    """Raise if there are problems.

    Raises:
        UserError: with the number of problems and the first few.
    """
    if problems:
        shown = '; '.join(map(str, problems[:_SHOWN]))
        more = f'; and {len(problems) - _SHOWN} more' if len(problems) > _SHOWN else ''
        raise UserError(f'{path}: {len(problems)} bad line(s). {shown}{more}. {remedy}')
