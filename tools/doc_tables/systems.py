"""Tables of what this project trained or timed of its own systems."""

from __future__ import annotations

import re
import statistics
from typing import Any

from doc_tables.common import NONE, number, table
from doc_tables.configs import models


def hrnet_lite_variants(content: dict[str, Any]) -> str:
    """What each variant costs, with the quoted AP beside it, cheapest first."""
    quoted = {
        re.split(r'_\d+xb', model['Name'])[0]: model['Results'][0]['Metrics']['AP']
        for model in models('hrnet_lite')
        if model.get('Results')
    }
    rows = [
        (
            row['name'],
            number(row['parameters']),
            number(row['gmacs'], 2),
            number(row['gflops'], 2),
            f'{row["milliseconds"]["median"]:.0f}',
            f'{row["times_simcc"]["median"]:.2f}',
            f'{100 * quoted[row["name"]]:.1f}' if row['name'] in quoted else NONE,
        )
        for row in sorted(content['rows'], key=lambda row: row['gmacs'])
    ]
    head = ('variant', 'parameters:', 'GMACs:', 'GFLOPs:', 'CPU, ms a picture:')
    return table((*head, f'times {content["peer"]}:', 'quoted AP, boxes uncertain:'), rows)


def family_budget(content: dict[str, Any]) -> str:
    """PCK of every variant after the same few steps: mean, and the seeds that it is of."""
    names = dict.fromkeys(row['name'] for row in content['rows'])
    rows, left_out = [], []
    for name in names:
        runs = [row for row in content['rows'] if row['name'] == name]
        finished = [row for row in runs if 'pck' in row]
        if not finished:
            left_out.append((name, runs[0]['left_out']))
            continue
        scores = {thr: [100 * row['pck'][thr] for row in finished] for thr in finished[0]['pck']}
        rows.append(
            (
                -statistics.mean(scores['0.2']),
                name,
                number(finished[0]['parameters'] or None),
                f'{statistics.mean(scores["0.2"]):.1f}',
                ', '.join(f'{score:.1f}' for score in scores['0.2']),
                f'{statistics.mean(scores["0.1"]):.1f}',
            )
        )
    head = ('variant', 'parameters at 64x64:', 'PCK@0.2, mean:', 'by seed:')
    text = table((*head, 'PCK@0.1, mean:'), [row[1:] for row in sorted(rows)])
    trained = [
        [
            100 * row['pck']['0.2']
            for row in content['rows']
            if row['name'] == name and 'seed' in row
        ]
        for name in names
    ]
    groups = [group for group in trained if len(group) > 1]
    if groups:
        spread = statistics.mean(statistics.variance(group) for group in groups) ** 0.5
        text += (
            f'\n\nStandard deviation between seeds, pooled over {len(groups)} variants: '
            f'{spread:.1f} points. Two means of two seeds may differ by {2 * spread:.1f} by chance.'
        )
        if any(len(group) == 1 for group in trained):
            text += f' Where there is one seed, by {2 * 2**0.5 * spread:.1f}.'
    if left_out:
        named = '; '.join(f'{name} ({reason})' for name, reason in left_out)
        text += f'\n\nNot trained here: {named}.'
    return text


def posefix(content: dict[str, Any]) -> str:
    """AP of each kind of poses before the correction, and after it with each seed."""
    rows = content['rows']
    kinds = [kind for kind, value in rows[0].items() if isinstance(value, dict)]
    ways = ('after', 'all moved')
    cells = [
        (
            kind,
            f'{rows[0][kind]["before"]:.3f}',
            *(f'{row[kind][way]:.3f}' for way in ways for row in rows),
        )
        for kind in kinds
        if 'before' in rows[0][kind]
    ]
    columns = [f'{way}, seed {row["seed"]}:' for way in ways for row in rows]
    return table(('poses', 'before:', *columns), cells)


def overfit(content: dict[str, Any]) -> str:
    """Steps until each system knows eight persons by heart, and the error then."""
    rows = [
        (
            row['name'],
            number(row['parameters']),
            f'{row["lr"]:g}',
            number(row['steps_to_limit']) if row['steps_to_limit'] else 'not reached',
            f'{100 * row["error"]:.2f}',
            f'{100 * row["error_running_statistics"]:.2f}',
        )
        for row in content['rows']
    ]
    head = ('system', 'parameters at 64x64:', 'learning rate:', 'steps:', 'error, %:')
    return table((*head, 'by running statistics, %:'), rows)


def lsp_finetune(content: dict[str, Any]) -> str:
    """PCK of each side on lsp_val after the same minutes: the mean, and each seed where several."""
    body = []
    for name in dict.fromkeys(row['name'] for row in content['rows']):
        rows = [row for row in content['rows'] if row['name'] == name]
        cells = []
        for limit in rows[0]['lsp_val_pck']:
            pck = [row['lsp_val_pck'][limit] for row in rows]
            each = f' ({", ".join(f"{value:.3f}" for value in pck)})' if len(pck) > 1 else ''
            cells.append(f'**{statistics.mean(pck):.3f}**{each}')
        minutes = statistics.mean(row['cpu_seconds'] for row in rows) / 60
        epochs = ', '.join(dict.fromkeys(str(row['epochs']) for row in rows))
        body.append((name, number(rows[0]['parameters']), epochs, f'{minutes:.0f}', *cells))
    head = ('side', 'parameters:', 'epochs:', 'core minutes:')
    return table((*head, 'PCK@0.2:', 'PCK@0.1:', 'PCK@0.05:'), body)


def faces68(content: dict[str, Any]) -> str:
    """Held-out error of the heads on faces68: each seed, and their mean."""
    rows = content['rows']
    seeds = sorted({row['seed'] for row in rows})
    body = []
    for name in dict.fromkeys(row['name'] for row in rows):
        side = {row['seed']: row for row in rows if row['name'] == name}
        nme = [100 * row['nme'] for row in side.values()]
        body.append(
            (
                name,
                number(next(iter(side.values()))['parameters']),
                next(iter(side.values()))['epochs'],
                *(number(100 * side[s]['nme'] if s in side else None, 2) for s in seeds),
                f'**{statistics.mean(nme):.2f}**',
            )
        )
    columns = [f'NME %, seed {seed}:' for seed in seeds]
    head = ('head', 'parameters:', 'epochs:', *columns)
    return table((*head, 'mean:'), body)
