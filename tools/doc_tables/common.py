"""What all tables share: Markdown, JSON results, and the line that says how they were made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

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


def result(name: str) -> dict[str, Any] | None:
    """The content of ``benchmarks/results/<name>.json``, if it was measured."""
    path = RESULTS / f'{name}.json'
    return json.loads(path.read_text()) if path.is_file() else None


def how(content: dict[str, Any]) -> str:
    """One line on how the figures of a JSON file came about."""
    machine, versions = content.get('machine', {}), content.get('versions', {})
    place = machine.get('gpu') or machine.get('cpu') or machine.get('platform') or 'machine unknown'
    if machine.get('gpu') and machine.get('cpu'):
        place = f'{machine["gpu"]} and {machine["cpu"]}'
    parts = [place]
    if 'cores' in machine:
        used = machine.get('used_cores') or machine.get('threads')
        cores = f'{machine["cores"]} core' + ('s' if machine['cores'] != 1 else '')
        parts.append(f'{cores}, {used} in use' if used and used != machine['cores'] else cores)
    parts += [f'{name} {versions[name]}' for name in ('python', 'torch') if name in versions]
    if 'commit' in content:
        commit, plus, _ = content['commit'].partition('+')
        parts.append(f'commit {commit[:10]}' + (' with changes' if plus else ''))
    return f'*Measured by this project: `{content.get("command", "?")}`; {", ".join(parts)}.*'


def measured(name: str, script: str, make: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
    """A block made of one JSON file, or of a line that says how to get the file."""

    def block() -> str:
        content = result(name)
        if content is None:
            return f'*Not measured yet; `{script}` does it.*'
        return make(content) + '\n\n' + how(content)

    return block


def number(value: Any, digits: int | None = None) -> str:
    """A figure, or a dash where there is none."""
    if value is None:
        return NONE
    return f'{value:,}' if digits is None else f'{value:,.{digits}f}'
