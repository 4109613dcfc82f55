"""Where the time goes: seconds added up by stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up seconds by the name of a stage, from any thread.

    >>> clock = Clock()
    >>> with clock('crop'):
    ...     pass
    >>> list(clock.seconds)
    ['crop']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, other: Clock) -> None:
        """Add the times of another clock to these."""
        with self._lock:
            for stage, passed in other.seconds.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + passed

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                passed = time.perf_counter() - start
                self.seconds[stage] = self.seconds.get(stage, 0.0) + passed
