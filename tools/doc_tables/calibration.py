"""Tables of benchmarks/calibration.py and benchmarks/simcc_scores.py."""

from __future__ import annotations

import statistics
from typing import Any

from doc_tables.common import NONE, table

LEVELS = (50, 90, 95)
LOSSES = ('L1', 'L2', 'RLE', 'heatmaps+RLE')


def calibration_rows(content: dict[str, Any]) -> str:
    """All rows and columns of the first calibrated model."""
    first = next(row for row in content['rows'] if 'calibration' in row)
    body = []
    for name, numbers in first['calibration'].items():
        cells = [_around(numbers.get(key), 3) for key in ('nll', 'ence', 'ause')]
        cells += [_around(numbers.get(f'coverage_{level}'), 1, 100) for level in LEVELS]
        body.append((name, *cells))
    for name, numbers in first.get('coverage', {}).items():
        cells = [f'{100 * numbers[f"coverage_{level}"]:.1f}' for level in LEVELS[1:]]
        body.append((f'calibrated, {name}', *[NONE] * 4, *cells))
    head = ('', 'NLL:', 'ENCE:', 'AUSE:', *(f'in {level} %, %:' for level in LEVELS))
    return table(head, body)


def calibration(content: dict[str, Any]) -> str:
    """What calibration does for each model, on images that it has not seen."""
    body = []
    for row in content['rows']:
        if 'calibration' not in row:
            continue
        rows = row['calibration']
        before, after = rows.get('uncalibrated', {}), rows['calibrated']
        constant = rows['constant']['ause'][0]
        body.append(
            (
                row['name'],
                row['seed'],
                row['persons'],
                *(
                    f'{_around(before.get(key), 1, 100)} → {_around(after[key], 1, 100)}'
                    for key in ('coverage_90', 'coverage_95')
                ),
                *(_over_splits(rows, level) for level in (90, 95)),
                f'{_around(before.get("ence"), 2)} → {_around(after["ence"], 2)}',
                f'{after["ause"][0]:.3f}',
                f'{constant:.3f}',
                f'{after["ause"][0] / constant:.2f}',
                f'{rows["exact sigma"]["ause"][0]:.3f}' if 'exact sigma' in rows else NONE,
            )
        )
    head = ('model', 'seed:', 'persons:', 'in 90 %, %:', 'in 95 %, %:')
    head += ('in 90 %, 20 splits:', 'in 95 %, 20 splits:', 'ENCE:')
    return table((*head, 'AUSE:', 'of a constant:', 'ratio:', 'if sigma were exact:'), body)


def _over_splits(rows: dict[str, Any], level: int) -> str:
    """Mean coverage over other splits, lowest and highest, %; older records have none."""
    if '20 splits' not in rows:
        return NONE
    return '{:.1f} ({:.1f} to {:.1f})'.format(
        *(100 * value for value in rows['20 splits'][f'coverage_{level}'])
    )


def simcc_scores(content: dict[str, Any]) -> str:
    """AP and AUSE by the score of SimCC's joints."""
    body = [
        (
            row['score'],
            f'{row["mean"]:.2f}',
            f'{100 * row["shown"]:.0f}',
            f'{row["ause"]:.3f}',
            f'{100 * row["ap"]:.1f}',
        )
        for row in content['rows']
    ]
    return table(('score', 'mean:', 'above 0.3, %:', 'AUSE:', 'AP:'), body)


def losses(content: dict[str, Any]) -> str:
    """PCK on LSP by loss, in the same minutes; mean, and each seed."""
    body = []
    for name in LOSSES:
        rows = [row for row in content['rows'] if row['name'] == name]
        if rows:
            scores = {
                t: [100 * row['lsp_val_pck'][t] for row in rows] for t in ('0.2', '0.1', '0.05')
            }
            cells = [
                f'{statistics.mean(each):.1f} ({", ".join(f"{v:.1f}" for v in each)})'
                for each in scores.values()
            ]
            before = f'{rows[0]["heatmap_epochs"]} + ' if 'heatmap_epochs' in rows[0] else ''
            epochs = before + ', '.join(dict.fromkeys(str(row['epochs']) for row in rows))
            body.append((name, f'{rows[0]["minutes"]:g}', epochs, *cells))
    return table(('loss', 'minutes:', 'epochs:', 'PCK@0.2:', 'PCK@0.1:', 'PCK@0.05:'), body)


def _around(value: list[float] | None, digits: int, times: float = 1) -> str:
    """A number and half the width of its interval."""
    if value is None:
        return NONE
    middle, low, high = (times * v for v in value)
    return f'{middle:.{digits}f} ±{(high - low) / 2:.{digits}f}'
