"""A file of results that grows by one row at a time, and from which a run can go on."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from _record import WHICH_ROWS, command_line, origin, record

from rlepose_ext.errors import UserError


class Results:
    """Rows of a JSON file, in a fixed order.

    A row has a ``name`` and may have a ``seed``; the two together are there once. Rows may be
    added from several threads. An interrupted write leaves the file as it was.

    Args:
        path: the JSON file; continued where it exists.
        order: names of rows, as they are to stand in it.
        setting: what all rows have in common; part of the file.
        code: as of :func:`_record.record`.
        show: makes the line that is printed for a row.
        **extra: further entries of the file, which may differ from one run to the next.

    Raises:
        UserError: the file was made with another setting.
    """

    def __init__(
        self,
        path: Path,
        order: Sequence[str],
        setting: Mapping[str, Any],
        code: Sequence[str],
        show: Callable[[Mapping[str, Any]], Any] = dict,
        **extra: Any,
    ) -> None:
        self.path, self.order, self.setting, self.extra = path, list(order), dict(setting), extra
        self.code = list(code)
        self.show = show
        self.lock = threading.Lock()
        found = json.loads(path.read_text()) if path.exists() else {'rows': []}
        self.rows: list[dict[str, Any]] = found['rows']
        before = {key: found.get(key) for key in setting}
        if self.rows and before != self.setting:
            raise UserError(
                f'{path} was made with {before}, not {self.setting}. Name another --out.'
            )

    def has(self, name: str, seed: int | None = None) -> bool:
        """Whether there is such a row; with a seed, one that was made with it."""
        return any(
            row['name'] == name and (seed is None or row.get('seed') == seed) for row in self.rows
        )

    def drop(self, unwanted: Callable[[Mapping[str, Any]], bool]) -> None:
        """Forget rows; the file changes with the next row that is added."""
        with self.lock:
            self.rows = [row for row in self.rows if not unwanted(row)]

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row and write the file; it replaces a row of that name without a seed."""
        with self.lock:
            replaced = (None, row.get('seed'))
            kept = [
                old
                for old in self.rows
                if old['name'] != row['name'] or old.get('seed') not in replaced
            ]
            self.rows = sorted(
                [*kept, {**row, **origin(self.code)}],
                key=lambda row: (self._rank(row['name']), row.get('seed', 0)),
            )
            unfinished = self.path.with_name(f'.{self.path.name}.{os.getpid()}')
            how = {'code': self.code, 'command': command_line(WHICH_ROWS), **self.extra}
            record(unfinished, self.rows, **how, **self.setting)
            os.replace(unfinished, self.path)
            print(self.show(row), flush=True)

    def _rank(self, name: str) -> int:
        return self.order.index(name) if name in self.order else len(self.order)
