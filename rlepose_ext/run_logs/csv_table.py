"""A CSV file that grows by rows and by columns, and goes on after a kill."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from rlepose_ext.errors import UserError

STEP = 'step'


class CSVTable:
    """Rows of numbers by name, in the order of their ``step``.

    The file is a valid table after every :meth:`append`. A new column rewrites it, under
    another name that is then moved into place; rows before have an empty cell there. Half
    a row at the end, left by a kill, is dropped when the file is opened again.

    Args:
        path: the file. One that exists is continued: its rows from the first new step on
            are replaced, since a resumed run goes through these steps again.

    Raises:
        UserError: the file exists and its first column is not ``step``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] | None = None
        if path.exists():
            self._read()

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add one row.

        Args:
            step: iteration or epoch.
            values: numbers by column; columns may be missing or new.

        Raises:
            OSError: the row could not be written. The next call starts from what is on
                the disk then.
        """
        try:
            self._append({**values, STEP: step})
        except OSError:
            self._columns = None
            raise

    def _append(self, row: dict[str, float]) -> None:
        if self._columns is None:
            columns, rows = self._read()
            kept = [old for old in rows if float(old[STEP]) < row[STEP]]
            columns += [name for name in row if name not in columns]
            self._rewrite(columns, [*kept, row])
        elif new := [name for name in row if name not in self._columns]:
            columns, rows = self._read()
            self._rewrite(columns + new, [*rows, row])
        else:
            with self.path.open('a', encoding='utf-8', newline='') as stream:
                stream.write(_text(self._columns, [row]))

    def _rewrite(self, columns: list[str], rows: list[Mapping[str, object]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f'.{self.path.name}.part')
        draft.write_text(
            _text(columns, [dict(zip(columns, columns, strict=True)), *rows]), encoding='utf-8'
        )
        os.replace(draft, self.path)
        self._columns = columns

    def _read(self) -> tuple[list[str], list[dict[str, str]]]:
        """Columns and whole rows of the file; a new table's if it is missing or empty."""
        text = self.path.read_text(encoding='utf-8') if self.path.exists() else ''
        whole = text[: text.rfind('\n') + 1]
        header, *rows = list(csv.reader(io.StringIO(whole))) or [[STEP]]
        if header[:1] != [STEP]:
            raise UserError(
                f"{self.path}: expected a table of this project, whose first column is '{STEP}', "
                f'got {",".join(header)[:80]!r}. Move the file away, or take another --work-dir.'
            )
        # a block of zeros after a power cut, say
        good = [row for row in rows if len(row) == len(header) and _is_number(row[0])]
        return header, [dict(zip(header, row, strict=True)) for row in good]


def _text(columns: list[str], rows: list[Mapping[str, object]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval='', lineterminator='\n')
    writer.writerows(rows)
    return stream.getvalue()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
