"""Tables of what was timed."""

from __future__ import annotations

import statistics
from typing import Any

from doc_tables.common import NONE, number, table


def rle_loss(content: dict[str, Any]) -> str:
    """Forward plus backward of the loss, MMPose's and ours."""
    rows = []
    for row in content['rows']:
        ratio = row['times_faster']
        rows.append(
            (
                row['device'] + (', autocast' if row['autocast'] else ''),
                number(row['batch']),
                f'{row["visible"]:.0%}',
                f'{row["mmpose_ms"]["median"]:.4g}',
                f'{row["ours_ms"]["median"]:.4g}',
                f'**{ratio["median"]:.2f}** ({ratio["q25"]:.2f} to {ratio["q75"]:.2f})',
            )
        )
    head = ('device', 'batch:', 'visible joints:', 'MMPose ms:', 'ours ms:', 'times faster:')
    return table(head, rows)


def cpu_training(content: dict[str, Any]) -> str:
    """Images a second in training on the CPU."""
    rows = [
        (
            row['name'],
            number(row['images_per_second'], 1),
            _ratio(row),
            number(row['peak_memory_gb'], 1),
        )
        for row in content['rows']
    ]
    return table(('side', 'images a second:', 'times stock:', 'peak memory, GB:'), rows)


def data_path(content: dict[str, Any]) -> str:
    """Training samples a second of one core, by method."""
    rows = []
    for row in content['rows']:
        rate = number(row['samples_per_second'], 0)
        rows.append((row['method'], row['side'], rate, spread(row['times_stock'])))
    return table(('method', 'side', 'samples a second:', 'times stock:'), rows)


def machine(content: dict[str, Any]) -> str:
    """What one machine does, and how many times as fast as stock, or as the first of a kind."""
    rows = []
    for row in content['rows']:
        rows.append(
            (row['part'], row['what'], f'{row["ours"]:g} {row["unit"]}', spread(row['ratio']))
        )
    return table(('part', 'what', 'ours', 'ratio:'), rows)


def training_steps(content: dict[str, Any]) -> str:
    """Steps plain, compiled and in mixed precision; of a GPU also other parts."""
    rows = [
        (
            row['config'],
            row['side'],
            number(row.get('batch')),
            number(row.get('images_per_second'), 1),
            spread(row.get('times_plain') or row.get('times_faster')),
            number(row.get('first_step_seconds') or row.get('seconds'), 0),
            number(row.get('gpu_memory_gib'), 1),
        )
        for row in content['rows']
    ]
    head = ('config', 'side', 'batch:', 'images a second:', 'times plain:', 'first step, s:')
    return table((*head, 'GPU memory, GiB:'), rows)


def spread(ratio: dict[str, float] | None) -> str:
    """Median and quartiles, or a dash."""
    return f'{ratio["median"]:.2f} ({ratio["q25"]:.2f} to {ratio["q75"]:.2f})' if ratio else NONE


def _ratio(row: dict[str, Any]) -> str:
    """``3.14 (2.95 to 3.54)``: of the medians, and of single rounds."""
    low, high = row['ratio_range'] or (1, 1)
    spread = '' if low == high else f' ({low:.2f} to {high:.2f})'
    return f'{row["ratio_to_stock"]:.2f}{spread}'


def cpu_training_accuracy(content: dict[str, Any]) -> str:
    """PCK on lsp_val after the same epochs, by seed, and the mean of each side."""
    thresholds = ('0.2', '0.1', '0.05')
    rows, means = [], {}
    for row in content['rows']:
        rows.append((row['name'], row['seed'], *(row['lsp_val_pck'][t] for t in thresholds)))
    for name in dict.fromkeys(row['name'] for row in content['rows']):
        side = [row['lsp_val_pck'] for row in content['rows'] if row['name'] == name]
        means[name] = [statistics.mean(pck[t] for pck in side) for t in thresholds]
        rows.append((f'**{name}**', f'mean of {len(side)}', *means[name]))
    if {'ours', 'stock'} <= set(means):
        pairs = zip(means['ours'], means['stock'], strict=True)
        rows.append(('ours less stock', '', *(f'{a - b:+.4f}' for a, b in pairs)))
    rows = [[f'{v:.4f}' if isinstance(v, float) else v for v in row] for row in rows]
    return table(('side', 'seed', *(f'PCK@{t}:' for t in thresholds)), rows)


def quickstart(content: dict[str, Any]) -> str:
    """What ``make demo`` reached, one row per machine."""
    rows = []
    for row in content['rows']:
        metrics = row.get('metrics', {})
        rows.append(
            (
                row.get('device', NONE),
                f'{number(row.get("num_train"))} / {number(row.get("num_val"))}',
                number(metrics.get('coco/AP'), 3),
                number(row.get('mean_pose_ap'), 3),
                number(row.get('train_seconds'), 0),
                number(row.get('total_seconds'), 0),
                number(row.get('samples_per_second'), 0),
            )
        )
    head = ('device', 'images, train / held out:', 'AP:', 'AP of the mean pose:')
    return table((*head, 'training s:', 'in all s:', 'samples a second:'), rows)


def synthetic(content: dict[str, Any]) -> str:
    """Images drawn and written in a second."""
    rates = content['rows'][0]['repeats']
    head = ('images a second, median:', 'lowest:', 'highest:', 'repeats:')
    middle = number(statistics.median(rates), 0)
    return table(head, [(middle, number(min(rates), 0), number(max(rates), 0), len(rates))])


def skps_codec(content: dict[str, Any]) -> str:
    """Encoding faces one by one and decoding a batch, the usual way and ours."""
    rows = []
    for row in content['rows']:
        ratio = row['times_faster']
        rows.append(
            (
                row['what'],
                number(row['joints']),
                f'{row["peer_ms"]["median"]:.3g}',
                f'{row["ours_ms"]["median"]:.3g}',
                f'**{ratio["median"]:.1f}** ({ratio["q25"]:.1f} to {ratio["q75"]:.1f})',
                f'{row["max_difference"]:.1e}',
            )
        )
    head = ('what', 'landmarks:', 'peer, ms a face:', 'ours, ms a face:')
    return table((*head, 'times faster:', 'largest difference:'), rows)
