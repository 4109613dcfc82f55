"""Measure side by side and write down how: shared by all benchmarks.

A time means little on another machine, or on this one an hour later. So a benchmark
compares: all candidates take turns in one run, and the claim is their ratio. It may differ
between kinds of machines too, so each kind has a file of its own (:func:`result_path`).
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from _history import ROOT, commit
from _machine import kind, machine

RESULTS = ROOT / 'benchmarks' / 'results'
# What any training runs through.
TRAINING = tuple(
    f'rlepose_ext/{name}' for name in ('codecs', 'compat', 'datasets', 'engine', 'models')
)
# Options that say which rows to make and where, not how.
WHICH_ROWS = ('--only', '--also', '--seeds', '--jobs', '--again', '--fresh', '--out', '--output')
PACKAGES = ('torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmcv-lite', 'mmdet', 'mmpose')
RUNTIMES = ('onnxruntime', 'openvino', 'rtmlib')


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
    # a single value is its own quartiles
    low, middle, high = statistics.quantiles(
        values if len(values) > 1 else values * 2, n=4, method='inclusive'
    )
    return {
        name: float(f'{value:.{digits}g}')
        for name, value in (('median', middle), ('q25', low), ('q75', high))
    }


def ratios(seconds: Mapping[str, list[float]], peer: str, ours: str) -> list[float]:
    """How many times faster ``ours`` was than ``peer``, round by round (so load cancels)."""
    return [a / b for a, b in zip(seconds[peer], seconds[ours], strict=True)]


def result_path(name: str) -> Path:
    """Where this kind of machine writes a benchmark of speed: ``results/NAME.MACHINE.json``."""
    return RESULTS / f'{name}.{kind()}.json'


def record(
    path: str | Path,
    rows: list[dict[str, Any]],
    *,
    code: Sequence[str] = ('rlepose_ext',),
    repeats: int | None = 1,
    spread: str | None = None,
    seed: int | list[int] | None = None,
    command: str | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Write results as JSON, with all that is needed to judge and to repeat them.

    Args:
        path: the file: :func:`result_path` for speed, ``benchmarks/results/<name>.json`` for
            what does not depend on the machine.
        rows: the measurements. Rows that were added one by one have their :func:`origin`.
        code: files and folders whose change makes the results old, relative to the checkout.
            The running script is one of them without being named.
        repeats: how often each row was measured.
        spread: which entries of the rows tell how far the repeats lie apart.
        seed: of random numbers, where there are any.
        command: if it is not the one that is running.
        **extra: further top-level entries: ``peer``, ``note``, ...

    Returns:
        What was written.
    """
    code = with_script(code)
    content = {
        **extra,
        'seed': seed,
        'repeats': repeats,
        'spread': spread,
        'command': command or command_line(),
        'date': today(),
        'commit': commit(code),
        'code': code,
        'versions': versions(),
        'machine': machine(),
        'rows': rows,
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + '\n')
    return content


def origin(code: Sequence[str] = ('rlepose_ext',)) -> dict[str, Any]:
    """Commit, day and kind of machine of one row, for files that grow row by row.

    Args:
        code: as of :func:`record`.
    """
    return {'commit': commit(with_script(code)), 'date': today(), 'machine': kind()}


def with_script(code: Sequence[str]) -> list[str]:
    """``code`` after the running script, if that lies in the checkout."""
    script = Path(sys.argv[0]).resolve()
    return [str(script.relative_to(ROOT)), *code] if script.is_relative_to(ROOT) else [*code]


def command_line(leave_out: Sequence[str] = ()) -> str:
    """The command that is running, without places on this machine.

    Args:
        leave_out: options to leave out with their values, usually :data:`WHICH_ROWS`.
    """
    words, kept = ['python', _relative(sys.argv[0])], True
    for word in sys.argv[1:]:
        if word.startswith('--'):
            kept = word.partition('=')[0] not in leave_out
        if kept:
            words.append(_relative(word))
    return ' '.join(words)


def today() -> str:
    """The day, UTC: ``2026-01-31``."""
    return datetime.now(UTC).date().isoformat()


def versions() -> dict[str, str]:
    """Python, and the installed packages that matter."""
    found = {'python': platform.python_version()}
    for name in (*PACKAGES, *RUNTIMES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _relative(argument: str) -> str:
    """An argument of the command line; of a path, what is the same on another machine."""
    path = Path(argument)
    if not path.is_absolute():
        return argument
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
