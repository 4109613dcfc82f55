"""What all tables share: Markdown, JSON results, and the line that says how they were made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rlepose_ext.zoo.measured import files

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'benchmarks' / 'results'
NONE = '-'


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; the first column is text, a head that ends with ``:`` is numbers."""
    lines = [
        '| ' + ' | '.join(cell.removesuffix(':') for cell in head) + ' |',
        '|' + '|'.join('---:' if cell.endswith(':') else '---' for cell in head) + '|',
    ]
    for row in rows:
        lines.append('| ' + ' | '.join(str(cell).replace('|', '\\|') for cell in row) + ' |')
    return '\n'.join(lines)


def results(name: str) -> list[dict[str, Any]]:
    """The contents of a benchmark's files, one for each kind of machine; none if not measured."""
    return [json.loads(path.read_text()) for path in files(name, RESULTS)]


def how(content: dict[str, Any]) -> str:
    """One line on how the figures of a JSON file came about."""
    versions, rows = content.get('versions', {}), content.get('rows', [])
    parts = [place(content.get('machine', {}))]
    parts += [f'{name} {versions[name]}' for name in ('python', 'torch') if name in versions]
    if any('commit' in row for row in rows):
        made = Counter((row['commit'], row['date'], row['machine']) for row in rows)
        mixed = len({machine for *_, machine in made}) > 1
        for (commit, date, machine), count in made.items():
            which = [f'{count} row' + ('s' if count > 1 else '')] if len(made) > 1 else []
            which += [machine or 'machine not recorded'] if mixed else []
            parts.append(made_at(commit, date) + (f' ({", ".join(which)})' if which else ''))
    else:
        parts.append(made_at(content.get('commit'), content.get('date')))
    if content.get('repeats'):
        parts.append(f'{content["repeats"]} repeats' if content['repeats'] > 1 else '1 run')
    command = f'`{content["command"]}`; ' if content.get('command') else ''
    note = f' {content["note"]}.' if content.get('note') else ''
    return f'*Measured by this project: {command}{", ".join(parts)}.{note}*'


def place(machine: dict[str, Any]) -> str:
    """``Some CPU (family 25, model 1, avx2), 2 cores, 1 in use``."""
    names = [machine[key] for key in ('gpu', 'cpu') if machine.get(key)]
    text = ' and '.join(names) or 'machine unknown'
    numbers = [
        f'{name} {machine[f"cpu_{name}"]}'
        for name in ('family', 'model', 'stepping')
        if machine.get(f'cpu_{name}') is not None
    ]
    details = [*(numbers or ['model not recorded']), *(machine.get('cpu_flags') or [])]
    if machine.get('cpu'):
        text += f' ({", ".join(details)})'
    if not machine.get('cores'):
        return text
    cores = f'{machine["cores"]} core' + ('s' if machine['cores'] != 1 else '')
    used = machine.get('threads')
    return f'{text}, {cores}' + (f', {used} in use' if used not in (None, machine['cores']) else '')


def made_at(commit: str | None, date: str | None) -> str:
    """``on 2026-01-31 at commit 0123456789``, where they are known."""
    name, plus, _ = (commit or '').partition('+')
    text = f'commit {name[:10]}' if name else 'commit not known'
    return (f'on {date} at ' if date else '') + text + (' with changes' if plus else '')


def measured(
    name: str,
    script: str,
    make: Callable[[dict[str, Any]], str],
    claim: Callable[[dict[str, Any]], float] = lambda content: 0,
) -> Callable[[], str]:
    """A block made of a benchmark's files, or of a line that says how to get them.

    Args:
        name: of the benchmark.
        script: the command that makes a file.
        make: the table of one file.
        claim: what is better the larger it is; the machine with the worst comes first.
    """

    def block() -> str:
        contents = sorted(results(name), key=claim)
        if not contents:
            return f'*Not measured yet; `{script}` does it.*'
        parts = []
        for content in contents:
            if len(contents) > 1:
                parts.append(f'On {place(content["machine"])}:')
            parts += [make(content), how(content)]
        return '\n\n'.join(parts)

    return block


def lowest(key: str) -> Callable[[dict[str, Any]], float]:
    """A claim for :func:`measured`: the lowest figure, or median, of an entry of the rows."""

    def claim(content: dict[str, Any]) -> float:
        values = [row[key] for row in content['rows']]
        return min(value['median'] if isinstance(value, dict) else value for value in values)

    return claim


def number(value: Any, digits: int | None = None) -> str:
    """A figure, or a dash where there is none."""
    if value is None:
        return NONE
    return f'{value:,}' if digits is None else f'{value:,.{digits}f}'
