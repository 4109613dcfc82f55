"""Measure side by side and write down how: shared by all benchmarks.

A time means little on another machine, or on this one an hour later. So a benchmark
compares: all candidates take turns in one run, and the claim is their ratio.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ('torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmcv-lite', 'mmdet', 'mmpose')


def interleaved(
    candidates: Mapping[str, Callable[[], Any]],
    repeats: int = 30,
    warmup: int = 3,
    synchronize: Callable[[], Any] | None = None,
) -> dict[str, list[float]]:
    """Time candidates in turn, so that other load on the machine hits all alike.

    Args:
        candidates: name to function without arguments.
        repeats: rounds; in each, every candidate runs once, the first one changing.
        warmup: rounds before, not counted.
        synchronize: waits for the device, such as ``torch.cuda.synchronize``.

    Returns:
        Name to seconds, one value per round.
    """
    wait = synchronize or (lambda: None)
    names = list(candidates)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-warmup, repeats):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            wait()
            start = time.perf_counter()
            candidates[name]()
            wait()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def summary(values: list[float], digits: int = 4) -> dict[str, float]:
    """Median and quartiles of some values."""
    low, middle, high = statistics.quantiles(values, n=4, method='inclusive')
    return {
        name: float(f'{value:.{digits}g}')
        for name, value in (('median', middle), ('q25', low), ('q75', high))
    }


def ratios(seconds: Mapping[str, list[float]], peer: str, ours: str) -> list[float]:
    """How many times faster ``ours`` was than ``peer``, round by round (so load cancels)."""
    return [a / b for a, b in zip(seconds[peer], seconds[ours], strict=True)]


def record(path: str | Path, rows: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    """Write results as JSON, with all that is needed to repeat them.

    Args:
        path: the file, usually ``benchmarks/results/<name>.json``.
        rows: the measurements.
        **extra: further top-level entries: ``seed``, ``peer``, ``note``, ...

    Returns:
        What was written: ``extra``, ``command``, ``commit``, ``versions``, ``machine``, ``rows``.
    """
    content = {
        **extra,
        'command': ' '.join(['python', _relative(sys.argv[0]), *map(_relative, sys.argv[1:])]),
        'commit': commit(),
        'versions': versions(),
        'machine': machine(),
        'rows': rows,
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + '\n')
    return content


def commit() -> str:
    """Hash of the checkout, with ``+changes`` if tracked files differ from it."""
    try:
        name = _git('rev-parse', 'HEAD')
        # Results change while benchmarks run; they are not what is measured.
        changed = _git('status', '--porcelain', '-uno', '--', '.', ':!benchmarks/results')
    except (OSError, subprocess.CalledProcessError):
        return 'unknown (not a git checkout)'
    return name + ('+changes' if changed else '')


def versions() -> dict[str, str]:
    """Python, and the installed packages that matter."""
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, torch's threads, load, and GPU if any."""
    import torch

    found: dict[str, Any] = {
        'cpu': _cpu_model(),
        'cores': len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count(),
        'threads': torch.get_num_threads(),
        'load': round(os.getloadavg()[0], 2) if hasattr(os, 'getloadavg') else None,
        'system': f'{platform.system()} {platform.machine()}',
    }
    if torch.cuda.is_available():
        found['gpu'] = torch.cuda.get_device_name()
        found['cuda'] = torch.version.cuda
    return found


def _cpu_model() -> str:
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or 'unknown'


def _git(*arguments: str) -> str:
    return subprocess.run(
        ['git', *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def _relative(argument: str) -> str:
    """An argument of the command line; paths inside the checkout without its place."""
    path = Path(argument)
    if path.is_absolute() and path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    return argument
