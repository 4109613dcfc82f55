"""Processes one after the other: signals are handed on, and the folder is locked."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from rlepose_ext.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = 'chain.lock'
# After Ctrl-C the training has this long to end by itself.
_PATIENCE = 30.0


class Processes:
    """Runs commands in turn, and holds a lock on a folder while it, or a command, lives.

    SIGTERM and SIGUSR1 go to the command at hand, which saves and leaves
    (:mod:`rlepose_ext.engine.interrupt`); after that none begins.

    Args:
        folder: what to lock; it must exist.
        only_sigterm: torchrun hands SIGTERM on and dies of SIGUSR1, so it gets the former.
    """

    def __init__(self, folder: Path, only_sigterm: bool = False) -> None:
        self.folder = folder
        self.only_sigterm = only_sigterm
        self.received: int | None = None
        self._child: subprocess.Popen | None = None
        self._lock: Any = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Processes:
        """Lock and listen.

        Raises:
            UserError: another process has the folder.
        """
        self._lock = _lock(self.folder / LOCK)
        for name in ('SIGTERM', 'SIGUSR1'):
            if hasattr(signal, name):
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()
        if self._lock is not None:
            self._lock.close()

    def run(self, command: Sequence[str]) -> int:
        """Run a command to its end.

        Returns:
            Its exit status, as a shell would give it: 128 + the signal that ended it.
        """
        if self.received is not None:
            return 128 + self.received
        # The lock's descriptor goes along: a training that outlives this process keeps it.
        files = () if self._lock is None else (self._lock.fileno(),)
        self._child = child = subprocess.Popen(command, pass_fds=files)
        if self.received is not None:
            self._hand_on()
        try:
            status = child.wait()
        except KeyboardInterrupt:
            # The terminal has told the training too.
            try:
                child.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                child.terminate()
                child.wait()
            raise
        finally:
            self._child = None
        return status if status >= 0 else 128 - status

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._hand_on()

    def _hand_on(self) -> None:
        if self._child is not None:
            number = signal.SIGTERM if self.only_sigterm else self.received
            self._child.send_signal(number)


def _lock(path: Path) -> Any:
    """An open file that is locked, or None where there are no locks.

    Raises:
        UserError: another process has it.
    """
    if fcntl is None:
        return None
    stream = path.open('w')
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.close()
        raise UserError(
            f'another `rlepose chain`, or a training that it began, works in {path.parent}. Wait '
            'for it, end it, or give another --work-dir.'
        ) from error
    except OSError:  # a network file system without locks
        stream.close()
        return None
    return stream
