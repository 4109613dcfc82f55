"""Tables of what was injected into trainings and what was lost, and of what saving costs."""

from __future__ import annotations

from typing import Any

from doc_tables.common import table

_PHASES = {
    'start': 'while starting',
    'train': 'in an epoch',
    'validate': 'in a validation',
    'save': 'in a save',
}


def reliability(content: dict[str, Any]) -> str:
    """Injections, how often, and how the finished training differs from an undisturbed one."""
    rows = [(_injected(row), f'{row["times"]}', _again(row), _lost(row)) for row in content['rows']]
    return table(('injected', 'times:', 'done again', 'lost'), rows)


def _injected(row: dict[str, Any]) -> str:
    """What was done, and where it hit."""
    where = row.get('phases') or row.get('kinds')
    parts = [f'{count} {_PHASES.get(name, name)}' for name, count in sorted((where or {}).items())]
    if 'failed_saves' in row:
        parts = [f'{row["failed_saves"]} saves failed']
    return row['injected'] + (f' ({", ".join(parts)})' if parts else '')


def _again(row: dict[str, Any]) -> str:
    if 'iterations_again' not in row:
        return '-'
    return f'{row["iterations_again"]} of {row["iterations"]} iterations'


def _lost(row: dict[str, Any]) -> str:
    if row['different']:
        return f'{len(row["different"])} of {row["tensors"]} tensors differ'
    return f'nothing: {row["tensors"]} tensors equal bit by bit'


def checkpoint_saving(content: dict[str, Any]) -> str:
    """Time and memory of a save, ours beside stock."""

    def spread(row: dict[str, Any], key: str, digits: int) -> str:
        low, middle, high = (f'{row[key][name]:.{digits}f}' for name in ('q25', 'median', 'q75'))
        return f'{middle} ({low} to {high})'

    rows = [
        (
            row['name'],
            spread(row, 'seconds', 1),
            spread(row, 'seconds_on_disk', 1),
            spread(row, 'memory_mb', 0),
        )
        for row in content['rows']
    ]
    size = content['rows'][0]['megabytes']
    head = (
        f'a save of {size} MB',
        'seconds:',
        'seconds until it is on the disk:',
        'more memory, MB:',
    )
    return table(head, rows)
