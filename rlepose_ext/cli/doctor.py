"""``rlepose doctor``: can this environment train, and if not, what to do."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from typing import Any


def add_parser(subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        'doctor', help='check versions, devices and patches; status 1 if training cannot work'
    )
    parser.add_argument('--json', action='store_true', help='print the report as JSON')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report.

    Returns:
        0, or 1 when training could not work here.
    """
    from rlepose_ext import programs
    from rlepose_ext.environment import collect
    from rlepose_ext.quiet import without_logs

    # what upstream says while it is imported is not part of the report
    with without_logs(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        report = {**collect(), 'programs': programs.report()}
    print(json.dumps(report, indent=2) if args.json else as_text(report))
    return 0 if report['ok'] else 1


def as_text(report: dict[str, Any]) -> str:
    """The report of :func:`rlepose_ext.environment.collect`, and ``'programs'``, for people."""
    lines = ['Versions']
    lines += [
        f'  {name:<12} {version or "missing"}' for name, version in report['versions'].items()
    ]
    lines += ['', 'Devices', *(f'  {line}' for line in _devices(report['devices']))]
    lines += ['', 'Patches and stand-ins']
    for patch in report['patches']:
        lines.append(f'  {patch["name"]:<16} {patch["status"]}')
        lines.append(f'  {"":<16} without it: {patch["breaks"]}')
    lines += ['', 'Features of every training']
    for feature in report['features']:
        lines.append(f'  {feature["name"]:<20} {feature["status"]}: {feature["gives"]}')
    lines += ['', 'What some commands use']
    for row in report['programs']:
        lines.append(f'  {row["name"]:<12} {row["status"]}')
        if row['status'] == 'missing' or 'without' in row['status']:
            lines.append(f'  {"":<12} so {row["lost"]}')
    lines += ['', 'Problems']
    for problem in report['problems']:
        lines.append(f'  {problem["level"]}: {problem["what"]}')
        lines.append(f'    -> {problem["remedy"]}')
    if not report['problems']:
        lines.append('  none')
    lines += ['', 'Training can work here.' if report['ok'] else 'Training cannot work here.']
    return '\n'.join(lines)


def _devices(devices: dict[str, Any]) -> list[str]:
    bf16 = {True: 'bfloat16 in hardware', False: 'no bfloat16', None: 'bfloat16 unknown'}
    cpu = f'CPU: {devices["cpu_cores"]} cores'
    if 'threads' in devices:
        cpu += f', {devices["threads"]} torch threads'
    lines = [f'{cpu}, {bf16[devices["cpu_bf16"]]}']
    for i, gpu in enumerate(devices['gpus']):
        lines.append(f'GPU {i}: {gpu["name"]}, {gpu["memory_gib"]} GiB, {bf16[gpu["bf16"]]}')
    if not devices['gpus']:
        lines.append('GPU: none; training uses the CPU')
    return lines
