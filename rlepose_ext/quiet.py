"""Running something without its log messages."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_logs(level: int) -> Iterator[None]:
    """Meanwhile nothing of this level or below is logged; MMEngine's loggers included.

    A logger remembers which levels are on, and ``logging.disable`` makes those forget that it
    knows. It does not know MMEngine's, so one that spoke meanwhile would be silent for good.
    """
    before = logging.root.manager.disable
    _disable(level)
    try:
        yield
    finally:
        _disable(before)


def _disable(level: int) -> None:
    logging.disable(level)
    if 'mmengine.logging' in sys.modules:
        from mmengine.logging import MMLogger

        for logger in MMLogger._instance_dict.values():
            logger._cache.clear()
