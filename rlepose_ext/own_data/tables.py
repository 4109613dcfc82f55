"""Labels as csv: a table of one's own, or DeepLabCut's.

A table has one header row. The column ``image``, or else the first one, is the image; ``NAME_x``
and ``NAME_y`` are a joint's place in image px, ``NAME_v`` its visibility (2 visible, 1 hidden, 0
not labelled; default 2); ``box_x, box_y, box_width, box_height`` are an object's box. An empty
place, or NaN, is a joint that is not labelled. Columns are separated by commas, or by semicolons
or tabs as German and other Excels have it, where numbers may have a decimal comma.
"""

from __future__ import annotations

import codecs
import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError
from rlepose_ext.own_data.labels import Item, Joint, Labels, refuse_twins

EXPECTED = "the columns image, NAME_x, NAME_y, ..., or DeepLabCut's three or four header rows"
Row = tuple[int, list[str]]  # number of its line, cells
NumberIn = Callable[[Mapping[Any, str], Any], float]  # of the cell in a column; NaN if empty
_BOX = ('box_x', 'box_y', 'box_width', 'box_height')


def read_csv(path: Path) -> Labels:
    """Read one file."""
    text, notes = _text(path)
    first = text.lstrip('\r\n').partition('\n')[0]
    delimiter = max(',;\t', key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    rows = [(reader.line_num, row) for row in reader if any(row)]
    if not rows:
        raise UserError(f'{path} is empty, expected {EXPECTED}.')
    labels = Labels(path, 'csv', notes=notes)
    if len(rows) == 1:
        labels.notes.append('it has one row, the names of the columns')
    table = _deeplabcut if rows[0][1][0] == 'scorer' else _table
    table(labels, rows, partial(_number, decimal_comma=delimiter != ','))
    return labels


def _text(path: Path) -> tuple[str, list[str]]:
    """The file as text, and how it was read if not as UTF-8: as Excel writes it on Windows."""
    content = path.read_bytes()
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return content.decode('utf-16'), []
    try:
        return content.decode('utf-8-sig'), []
    except UnicodeDecodeError:
        return content.decode('cp1252', 'replace'), ['read as Windows-1252, as it is not UTF-8']


def _table(labels: Labels, rows: Sequence[Row], number_in: NumberIn) -> None:
    header = [name.strip() for name in rows[0][1]]
    refuse_twins(filter(None, header), 'column', labels.source)
    column = {name: index for index, name in enumerate(header)}
    joints = [n[:-2] for n in header if n.endswith('_x') and n[:-2] + '_y' in column]
    labels.joints = joints = [name for name in joints if name != 'box']
    if not joints:
        raise ValueError(f'the columns are {", ".join(header)}'[:200])
    image = column.get('image', 0)
    boxed = all(name in column for name in _BOX)
    known = {header[image], *(f'{name}_{end}' for name in joints for end in 'xyv')}
    unused = [name for name in header if name and name not in known | set(_BOX if boxed else ())]
    if unused:
        labels.notes.append(f'columns that are not used: {", ".join(unused)}')
    for number, row in _whole_rows(labels, rows[1:], len(header)):
        cells = dict(zip(header, row, strict=True))
        try:
            item = Item(row[image].strip(), {})
            for name in joints:
                item.joints[name] = _joint(number_in, cells, f'{name}_x', f'{name}_y', f'{name}_v')
            if boxed and all(cells[name].strip() for name in _BOX):
                item.box = tuple(number_in(cells, name) for name in _BOX)
        except ValueError as error:
            labels.problems.append(f'line {number}, {row[image]}: {error}')
            continue
        labels.items.append(item)


def _deeplabcut(labels: Labels, rows: Sequence[Row], number_in: NumberIn) -> None:
    heads = {row[0]: row for _, row in rows if row[0] in ('individuals', 'bodyparts', 'coords')}
    parts, coords = heads['bodyparts'], heads['coords']
    index = next(k for k in range(1, len(parts)) if parts[k])  # one column, or folder by folder
    individuals = heads.get('individuals') or [''] * len(parts)
    columns = list(zip(individuals, parts, coords, strict=True))
    refuse_twins((' '.join(filter(None, c)) for c in columns[index:]), 'column', labels.source)
    labels.joints = list(dict.fromkeys(parts[index:]))
    for number, row in _whole_rows(labels, rows[1 + len(heads) :], len(parts)):
        cells = dict(zip(columns[index:], row[index:], strict=True))
        for one in dict.fromkeys(individuals[index:]):
            try:
                joints = {
                    part: _joint(number_in, cells, (one, part, 'x'), (one, part, 'y'))
                    for part in labels.joints
                    if (one, part, 'x') in cells
                }
            except ValueError as error:
                labels.problems.append(f'line {number}: {error}')
                continue
            if any(v for *_, v in joints.values()):
                labels.items.append(Item('/'.join(row[:index]), joints))


def _whole_rows(labels: Labels, rows: Iterable[Row], width: int) -> Iterator[Row]:
    for number, row in rows:
        if len(row) == width:
            yield number, row
        else:
            labels.problems.append(f'line {number} has {len(row)} columns, expected {width}')


def _joint(number_in: NumberIn, cells: Mapping[Any, str], x: Any, y: Any, v: Any = None) -> Joint:
    place = number_in(cells, x), number_in(cells, y)
    if any(map(math.isnan, place)):
        return 0.0, 0.0, 0.0
    return *place, number_in(cells, v) if cells.get(v, '').strip() else 2.0


def _number(cells: Mapping[Any, str], column: Any, decimal_comma: bool) -> float:
    text = cells[column].strip() or 'nan'
    try:
        return float(text.replace(',', '.') if decimal_comma else text)
    except ValueError:
        name = column if isinstance(column, str) else ' '.join(filter(None, column))
        raise ValueError(f'{name} is {text!r}, expected a number') from None
