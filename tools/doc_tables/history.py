"""Table of all records, with the number of commits that have changed their code since.

That number changes with every commit. So the page is true of one commit, which it names: the
table is made as of the commit that stands in it, until ``AS_OF=HEAD make docs`` names another.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from doc_tables import common
from doc_tables.common import NONE, ROOT, number, place, table

sys.path.insert(0, str(ROOT / 'benchmarks'))
from _history import changes, dated, in_history, no_history

PAGE = ROOT / 'docs' / 'records.md'
AS_OF = re.compile(r'As of commit ([0-9a-f]{10})\b')


class Made(NamedTuple):
    """Rows of a file that were made at one commit.

    Attributes:
        file: name of the JSON file.
        count: of rows.
        commit: ``None`` where it is not known.
        date: ISO, ``None`` where it was not recorded.
        machine: in words, or its kind.
        code: paths that the rows depend on.
    """

    file: str
    count: int
    commit: str | None
    date: str | None
    machine: str
    code: list[str]

    def changes(self, until: str = 'HEAD') -> int | None:
        """Commits since that changed the code, ``None`` where that is not known."""
        return changes(self.commit, self.code, until) if self.commit else None


def made(folder: Path | None = None) -> Iterator[Made]:
    """Every record, a file that grew row by row once for each of its commits."""
    for path in sorted((folder or common.RESULTS).glob('*.json')):
        content = json.loads(path.read_text())
        whole = (content['commit'], content['date'], place(content['machine']))
        groups = Counter(
            (row['commit'], row['date'], row['machine'] or 'not recorded')
            if 'commit' in row
            else whole
            for row in content['rows']
        )
        for (commit, date, machine), count in groups.items():
            yield Made(path.name, count, commit, date, machine, content['code'])


def records() -> str:
    """The table, as of the commit ``AS_OF`` of the environment.

    Without it, as of the one in the page, or of ``HEAD`` where that is not in the history. Where
    there is no history to look into, the page stays as it is.
    """
    page = PAGE.read_text() if PAGE.is_file() else ''
    if no_history():
        return page.partition("show('records') ]]] -->\n")[2].partition('<!-- [[[end]]]')[0]
    before = AS_OF.search(page)
    as_of = os.environ.get('AS_OF')
    if not as_of:
        as_of = before[1] if before and in_history(before[1]) else 'HEAD'
    commit, day = dated(as_of)
    rows = []
    for each in made():
        since = each.changes(commit)
        rows.append(
            (
                f'[{each.file}](../benchmarks/results/{each.file})',
                number(each.count),
                each.date or NONE,
                (each.commit or NONE)[:10],
                'not known' if since is None else f'**{since}**' if since else 0,
                each.machine,
            )
        )
    head = ('record', 'rows:', 'date', 'commit', 'commits to its code since:', 'machine')
    return f'As of commit {commit[:10]} of {day}:\n\n{table(head, rows)}'
