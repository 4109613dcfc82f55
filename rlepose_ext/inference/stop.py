"""Ctrl-C and SIGTERM end the demo between two frames, and what it has is completed."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any

from rlepose_ext.engine.interrupt import StopSignal


class StopRun(StopSignal):
    """Notes the first Ctrl-C or SIGTERM of a block; called, says whether one came.

    Further ones do nothing, however late: finishing a long video takes its time.
    """

    def __init__(self) -> None:
        super().__init__(('SIGINT', 'SIGTERM'))

    def __enter__(self) -> StopRun:
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.uninstall()

    def __call__(self) -> bool:
        """Whether the run is to end."""
        return self.received is not None

    def _handle(self, number: int, frame: Any) -> None:
        if self.received is None:
            self.received = number
            if sys.stderr is not None:
                # Not print: the signal may have come in the middle of one.
                os.write(2, b'\nstopping: what is done is being completed\n')
