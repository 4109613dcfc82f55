"""Table of what every config did in miniature."""

from __future__ import annotations

from typing import Any

from doc_tables.common import NONE, number, table


def matrix(content: dict[str, Any]) -> str:
    """One line per config: size, first loss, a metric of the test, time and memory."""
    rows, failed = [], []
    for row in content['rows']:
        if row['status'] != 'ok':
            failed.append(f'{row["name"]} ({"; ".join(row["problems"])})')
            continue
        rows.append(
            (
                f'[{row["name"]}](../{row["config"]})',
                number(row['parameters']),
                row['input'],
                ', '.join(f'{loss:.3g}' for loss in row['losses']),
                next(iter(row['test']), ', '.join(row.get('written', ())) or NONE),
                ', '.join(row['real']) or 'drawn',
                f'{row["seconds"]:.0f}',
                f'{row["peak_gb"]:.1f}',
            )
        )
    head = ('config', 'parameters:', 'input', 'two losses', 'test gives', 'real pictures')
    text = table((*head, 'seconds:', 'peak memory, GB:'), rows)
    families = {row['config'].split('/')[1] for row in content['rows']}
    counted = f'{len(rows)} configs of {len(families)} families.'
    if failed:
        counted += f' Failed: {"; ".join(failed)}.'
    return f'{text}\n\n{counted}'
