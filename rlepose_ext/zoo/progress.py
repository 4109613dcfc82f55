"""What a download tells the person who waits: on stderr, so that stdout has the result only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# rich shows one live display at a time in a process
_SHOWN = threading.Lock()


def say(text: str) -> None:
    """One line for the user."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on a terminal; one line when it begins, in a log.

    Yields:
        A function of the bytes that are there and of all bytes, None if not known.
    """
    if not sys.stderr.isatty() or not _SHOWN.acquire(blocking=False):
        yield _one_line(name)
        return
    try:
        with _rich_bar(name) as update:
            yield update
    finally:
        _SHOWN.release()


def _one_line(name: str) -> Callable[[int, int | None], None]:
    said = False

    def update(done: int, total: int | None) -> None:
        nonlocal said
        if not said:
            size = f'{total / 1e6:.1f} MB' if total is not None else 'size not known'
            say(f'{name}: {size}' + (f', {done / 1e6:.1f} MB are there' if done else ''))
            said = True

    return update


@contextmanager
def _rich_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
