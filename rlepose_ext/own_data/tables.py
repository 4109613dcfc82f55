"""Labels as csv: a table of one's own, or DeepLabCut's.

A table has one header row. Its first column is the image; ``NAME_x`` and ``NAME_y`` are a joint's
place in image px, ``NAME_v`` its visibility (2 visible, 1 hidden, 0 not labelled; default 2);
``box_x, box_y, box_width, box_height`` are an object's box. An empty place, or NaN, is a joint
that is not labelled.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlepose_ext.errors import UserError
from rlepose_ext.own_data.labels import Item, Joint, Labels, refuse_twins

EXPECTED = "the columns image, NAME_x, NAME_y, ..., or DeepLabCut's three or four header rows"
_BOX = ('box_x', 'box_y', 'box_width', 'box_height')


def read_csv(path: Path) -> Labels:
    """Read one file."""
    with path.open(newline='', encoding='utf-8-sig') as file:
        text = file.read()
    dialect = ';' if ';' in text.partition('\n')[0] else ','
    rows = [row for row in csv.reader(text.splitlines(), delimiter=dialect) if any(row)]
    if not rows:
        raise UserError(f'{path} is empty, expected {EXPECTED}.')
    if rows[0][0] == 'scorer':
        return _deeplabcut(path, rows)
    header = [name.strip() for name in rows[0]]
    refuse_twins(filter(None, header), 'column', path)
    column = {name: index for index, name in enumerate(header)}
    joints = [n[:-2] for n in header if n.endswith('_x') and n[:-2] + '_y' in column]
    joints = [name for name in joints if name != 'box']
    if not joints:
        raise ValueError(f'the columns are {", ".join(header)}'[:200])
    labels = Labels(path, 'csv', joints=joints)
    for number, row in _whole_rows(labels, rows[1:], len(header)):
        try:
            item = Item(row[0].strip().replace('\\', '/'), {})
            for name in joints:
                v = row[column[f'{name}_v']] if f'{name}_v' in column else ''
                item.joints[name] = _cell(row[column[f'{name}_x']], row[column[f'{name}_y']], v)
            if all(name in column and row[column[name]].strip() for name in _BOX):
                item.box = tuple(float(row[column[name]]) for name in _BOX)
        except ValueError as error:
            labels.problems.append(f'row {number}: {error}')
            continue
        labels.items.append(item)
    return labels


def _deeplabcut(path: Path, rows: list[list[str]]) -> Labels:
    heads = {row[0]: row for row in rows if row[0] in ('individuals', 'bodyparts', 'coords')}
    parts, coords = heads['bodyparts'], heads['coords']
    index = next(k for k in range(1, len(parts)) if parts[k])  # one column, or folder by folder
    individuals = heads.get('individuals') or [''] * len(parts)
    columns = list(zip(individuals, parts, coords, strict=True))
    refuse_twins((' '.join(filter(None, c)) for c in columns[index:]), 'column', path)
    labels = Labels(path, 'csv', joints=list(dict.fromkeys(parts[index:])))
    for number, row in _whole_rows(labels, rows[1 + len(heads) :], len(parts)):
        cells = dict(zip(columns[index:], row[index:], strict=True))
        for one in dict.fromkeys(individuals[index:]):
            try:
                joints = {
                    part: _cell(cells[one, part, 'x'], cells[one, part, 'y'])
                    for part in labels.joints
                    if (one, part, 'x') in cells
                }
            except ValueError as error:
                labels.problems.append(f'row {number}: {error}')
                continue
            if any(v for *_, v in joints.values()):
                labels.items.append(Item('/'.join(row[:index]), joints))
    return labels


def _whole_rows(
    labels: Labels, rows: Iterable[list[str]], width: int
) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(rows, 1):
        if len(row) == width:
            yield number, row
        else:
            labels.problems.append(f'row {number} has {len(row)} columns, expected {width}')


def _cell(x: str, y: str, v: str = '') -> Joint:
    numbers = [float(text) if text.strip() else math.nan for text in (x, y)]
    if any(map(math.isnan, numbers)):
        return 0.0, 0.0, 0.0
    return numbers[0], numbers[1], float(v) if v.strip() else 2.0
