"""Run a long command: everything into a log file, the essence onto the screen."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlepose_ext.errors import UserError

# MMEngine's line after some iterations, and after an evaluation.
_TRAIN = re.compile(
    r'Epoch\(train\) +\[(?P<epoch>\d+)\]\[ *(?P<it>\d+)/(?P<its>\d+)\]'
    r'.* eta: (?P<eta>\S+).* time: (?P<time>\S+).* loss: (?P<loss>\S+)'
)
_METRIC = re.compile(r'Epoch\((?:val|test)\).* (?P<name>coco/AP): (?P<value>\S+)')


def essence(line: str) -> str | None:
    """What a reader needs of one line of MMEngine's log, or ``None``."""
    train = _TRAIN.search(line)
    if train:
        return (
            f'epoch {train["epoch"]:>2}, iteration {train["it"]:>3}/{train["its"]}, '
            f'loss {float(train["loss"]):8.2f}, {float(train["time"]):.2f} s each, '
            f'{train["eta"]} left'
        )
    metric = _METRIC.search(line)
    if metric:
        return f'{metric["name"]} {float(metric["value"]):.3f}'
    return None


def watch(command: Sequence[str | Path], log: Path, env: Mapping[str, str]) -> None:
    """Run ``command`` to its end, printing :func:`essence` of what it says.

    Args:
        command: program and arguments.
        log: file that gets the whole output.
        env: variables on top of this process's own.

    Raises:
        UserError: it failed; the message holds the end of its output.
    """
    tail: list[str] = []
    with (
        log.open('w') as record,
        subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, 'PYTHONUNBUFFERED': '1', **env},
        ) as process,
    ):
        for line in process.stdout:
            record.write(line)
            tail = [*tail[-14:], line.rstrip()]
            short = essence(line)
            if short:
                print(f'      {short}', flush=True)
    if process.returncode:
        raise UserError(
            f'this command failed (status {process.returncode}), whole output in {log}:\n'
            f'  {" ".join(map(str, command))}\n' + '\n'.join(f'  | {text}' for text in tail)
        )
