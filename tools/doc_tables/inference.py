"""Tables of the demo: speed against MMPose's, stages, memory, drawings, smoothing."""

from __future__ import annotations

import statistics
from typing import Any

from doc_tables.common import NONE, number, table

# Person size, px, for which lags are shown.
SIZE = 329


def inference(content: dict[str, Any]) -> str:
    """Milliseconds a frame of the demo's loop, MMPose's and ours, and how far keypoints differ."""
    rows = [
        (
            row['model'],
            row['persons'],
            row['dtype'],
            f'{row["stock_ms"]:.4g}',
            f'{row["ours_ms"]:.4g}',
            _times(row['times_stock']),
            f'{row["total_by_network"]:.2f}',
            _pixels(row['median_difference_px']),
            _pixels(row['largest_difference_px']),
        )
        for row in content['rows']
    ]
    head = ('model', 'persons:', 'ours in', 'MMPose ms:', 'ours ms:', 'times faster:')
    return table((*head, 'total / network:', 'median px:', 'largest px:'), rows)


def photographs(content: dict[str, Any]) -> str:
    """Whom each detector and model finds on photographs, and where they put the joints."""
    rows = []
    for row in content['rows']:
        if 'left_out' in row:
            rows.append((row['chain'], *[NONE] * 4))
            continue
        near = f'{row["closeups_found"]} of {row["closeups"]}'
        values = (number(row[name], 3) for name in ('recall', 'precision', 'oks'))
        rows.append((row['chain'], *values, near))
    head = ('detector + pose model', 'recall:', 'precision:', 'mean OKS:', 'close-ups found:')
    return table(head, rows)


def first_picture(content: dict[str, Any]) -> str:
    """Seconds from the shell to a written picture, beside Ultralytics' command."""
    rows = [
        (
            row['name'],
            f'{row["seconds"]["median"]:.2f}',
            f'{row["seconds"]["q25"]:.2f} to {row["seconds"]["q75"]:.2f}',
            _times(row['times_yolo']) if 'times_yolo' in row else NONE,
        )
        for row in content['rows']
    ]
    return table(('command', 's, median:', 'quartiles:', 'times as fast:'), rows)


def inference_stages(content: dict[str, Any]) -> str:
    """Milliseconds a frame of each stage of a whole run over a video."""
    names = list(dict.fromkeys(name for row in content['rows'] for name in row['stages_ms']))
    rows = [
        (
            row['model'],
            row['persons'],
            row['detector'] + _every(row.get('det_interval', 1)),
            _rate(row),
            f'{row["total_ms"]:.1f}',
            *(f'{row["stages_ms"].get(name, 0):.1f}' for name in names),
        )
        for row in content['rows']
    ]
    head = ('model', 'persons:', 'boxes of', 'frames a second:', 'ms a frame:')
    return table((*head, *(f'{name}:' for name in names)), rows)


def street_video(content: dict[str, Any]) -> str:
    """Frames of a street a second by default, beside HOG's."""
    rows = []
    for row in content['rows']:
        low, high = sorted(row['frames_per_second_range'])
        rate = f'{row["frames_per_second"]:.1f} ({low:.1f} to {high:.1f})'
        ratio = row['times_hog']
        times = f'**{ratio["median"]:.2f}** ({ratio["q25"]:.2f} to {ratio["q75"]:.2f})'
        rows.append((row['side'], rate, times, f'{row["seconds_of_60_frames"]:.1f}'))
    return table(('side', 'frames a second:', 'times HOG:', '60 frames with start, s:'), rows)


def _every(interval: int) -> str:
    return '' if interval == 1 else f', every {interval} frames'


def deploy(content: dict[str, Any]) -> str:
    """Milliseconds of one and of eight persons, by what runs the network."""
    rows = [
        (
            row['model'],
            row['persons'],
            row['runtime'],
            *(_spread(row[name]) for name in ('network_ms', 'total_ms')),
            f'{row["total_by_network"]:.2f}',
            _times(row['times_ours']),
        )
        for row in content['rows']
    ]
    head = ('model', 'persons:', 'runs in', 'network, ms:', 'total, ms:', 'total / network:')
    return table((*head, 'times as fast as ours in PyTorch:'), rows)


def _spread(values: dict[str, float]) -> str:
    median, *quartiles = (
        f'{values[name]:,.0f}' if values[name] >= 100 else f'{values[name]:.3g}'
        for name in ('median', 'q25', 'q75')
    )
    return f'{median} ({quartiles[0]} to {quartiles[1]})'


EIGHT_BIT = {
    'float': 'float',
    'ptq-original': "MMPose_Clean's ranges, not trained",
    'ptq': 'stage `ptq`: our ranges, not trained',
    'ptq-onnx': '`rlepose export --int8`',
    'lsq': "MMPose_Clean's LSQ+",
    'lsq-onnx': 'the same by `rlepose export`',
    'qat': "MMPose_Clean's QAT",
    'qat-onnx': 'the same by `rlepose export`',
    'qat-integer-original': 'the same as integers, by its export',
    'qat-integer': 'the same as integers, by `rlepose export --integer`',
}


def int8(content: dict[str, Any]) -> str:
    """What 8 bit costs a small RLE model, by the way it was rounded."""
    rows = [
        (
            EIGHT_BIT[row['name']],
            f'{row["oks"]:.3f}',
            f'{100 * row["within"]:.0f}',
            f'{100 * row["sigma_moved"]:.0f}',
            NONE if row['megabytes'] is None else f'{row["megabytes"]:.2f}',
        )
        for row in content['rows']
    ]
    head = ('model', 'mean OKS:', 'errors within sigma, %:', 'sigma moved by, %:', 'file, MB:')
    return table(head, rows)


def int8_lsp(content: dict[str, Any]) -> str:
    """What 8 bit costs on LSP, and what it does to sigma."""
    rows = []
    for row in content['rows']:
        pck = [f'{value:.3f}' for value in row['lsp_val_pck'].values()]
        held, ause = row['coverage_90'][0], row['ause'][0]
        minutes = number(row['core_minutes'], 1)
        rows.append((row['name'], row['seed'], *pck, f'{100 * held:.1f}', f'{ause:.3f}', minutes))
    limits = [f'PCK@{limit}:' for limit in content['rows'][0]['lsp_val_pck']]
    head = ('model', 'seed:', *limits, 'in the 90 % ellipse, %:', 'AUSE:', 'core minutes:')
    return table(head, rows)


def inference_memory(content: dict[str, Any]) -> str:
    """Peak memory along a long video, with a stand-in for the network and with one."""
    columns = {'with stand-ins for detector and network': 'rows'}
    if 'network' in content:
        columns[f'with {content["network"]}'] = 'network_rows'
    first, start = content['rows'], content['from_frame']
    rows = [
        (f'{row["frame"]:,}', *(f'{content[key][at]["peak_mb"]:.1f}' for key in columns.values()))
        for at, row in enumerate(first)
        if row['frame'] % 500 == 0 or row['frame'] == start
    ]
    for name, key, digits in (
        (f'from {start}', 'peak_grew_mb', 1),
        ('per 100 frames, median', 'per_100_frames_mb', 2),
    ):
        grown = [content[at] for at in (key, f'network_{key}') if at in content]
        rows.append((name, *(f'{value:+.{digits}f}' for value in grown)))
    return table(('frame:', *(f'peak memory, MB, {name}:' for name in columns)), rows)


def drawn_chain(content: dict[str, Any]) -> str:
    """RTMDet-tiny on held-out drawings, and the chain on drawn videos, means over the videos."""
    first, *videos = content['rows']
    line = (number(first['box_ap'], 3), number(first['box_ap50'], 3), *[NONE] * 5)
    rows = [(f'{first["images"]} held-out images', NONE, *line)]
    for persons, track in dict.fromkeys((row['persons'], row['track']) for row in videos):
        same = [row for row in videos if (row['persons'], row['track']) == (persons, track)]
        people = [person for row in same for person in row['people']]
        frames = sum(person['frames'] for person in people)
        found = sum(person['found'] * person['frames'] for person in people)
        switches = sum(person['id_switches'] for person in people)
        names = ('box_ap', 'box_ap50', 'keypoint_ap', 'keypoint_ap50')
        rows.append(
            (
                f'{len(same)} videos of {persons} persons',
                track,
                *(number(statistics.mean(row[name] for row in same), 3) for name in names),
                f'{found / frames:.0%}',
                f'{100 * switches / frames:.2f}',
                number(max(row['most_per_100'] for row in same), 2),
            )
        )
    head = ('drawings', 'tracking', 'box AP:', 'box AP .5:', 'keypoint AP:', 'keypoint AP .5:')
    head += ('persons found:', 'id switches in 100 frames of a person:', 'worst person:')
    return table(head, rows)


def smoothing(content: dict[str, Any]) -> str:
    """Lag, error and trembling of each filter and setting; defaults are bold."""
    rows = []
    for row in content['rows']:
        names = ('lag', 'error', 'trembling')
        names += ('trembling_at_rest', *(f'fast_{name}' for name in names))
        cells = (row['filter'], row['setting'], *(f'{SIZE * row[name]:.1f}' for name in names))
        rows.append(tuple(f'**{cell}**' for cell in cells) if row['default'] else cells)
    head = ('filter', 'setting', 'lag px:', 'error px:', 'trembling px:', 'at rest px:')
    return table((*head, 'fast: lag px:', 'error px:', 'trembling px:'), rows)


def _rate(row: dict[str, Any]) -> str:
    spread = row.get('frames_per_second_range')
    text = f'{row["frames_per_second"]:.1f}'
    return text + (f' ({spread[0]:.1f} to {spread[1]:.1f})' if spread else '')


def _times(ratio: dict[str, float]) -> str:
    return f'**{ratio["median"]:.2f}** ({ratio["q25"]:.2f} to {ratio["q75"]:.2f})'


def _pixels(value: float | None) -> str:
    return NONE if value is None else f'{value:.2g}'
