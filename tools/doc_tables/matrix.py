"""What every config did in miniature, and as ONNX."""

from __future__ import annotations

from typing import Any

from doc_tables.common import NONE, number, table

# Configs that train for 8 bit.
QUANTISED = ('rle-ptq', 'rle-lsq', 'rle-qat', 'simcc-lsq', 'simcc-qat')


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


def export_matrix(content: dict[str, Any]) -> str:
    """How many configs are exported, how far their points are, and which are not, and why."""
    rows = content['rows']
    exported = [row for row in rows if row['status'] == 'exported']
    points = {row['name']: row['largest']['keypoints'] for row in exported}
    # Of integers rounding decides, see the text.
    compared = {name: far for name, far in points.items() if not name.startswith(QUANTISED)}
    farthest = max(compared, key=compared.get)
    equal = sum(far == 0 for far in compared.values())
    text = (
        f'{len(exported)} of {len(rows)} configs are exported at their full size. Keypoints are '
        f'{compared[farthest]:.2g} px from those of the checkpoint at most ({farthest}), and equal '
        f'to the last bit in {equal} configs.'
    )
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row['status'] != 'exported':
            reasons.setdefault(row['why'].removeprefix(row['config']), []).append(row['name'])
    others = [f'- {", ".join(names)}:{why}' for why, names in reasons.items()]
    return '\n\n'.join([text, '\n'.join(others)] if others else [text])
