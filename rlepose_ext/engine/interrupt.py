"""Being asked to stop: signals, and the agreement of several processes on when.

Slurm warns a job before its time is up with a signal of choice (``--signal=USR1@180``) and
ends one that is preempted with SIGTERM, as do torchrun and most machines. A signal may come
at any moment, in the middle of an update of the weights too. So it only leaves a note here,
and the training looks at it between two iterations.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rlepose_ext.errors import UserError

# A second signal ends the process at once. Not one that comes on the heels of the first:
# `timeout` and job managers signal a process and then its whole group.
PATIENCE = 2.0


class StopSignal:
    """Notes the first of some signals; a later one, after ``PATIENCE`` seconds, ends the process.

    Args:
        names: such as ``('SIGTERM', 'SIGUSR1')``; those that this system lacks are left out.

    Raises:
        UserError: one is not the name of a signal.
    """

    def __init__(self, names: Sequence[str]) -> None:
        for name in names:
            if not (isinstance(name, str) and name.startswith('SIG') and name.isidentifier()):
                raise UserError(f"signals are named like 'SIGTERM', got {name!r}")
        self.signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
        self.received: int | None = None
        self._time = 0.0
        self._before: dict[int, Any] = {}

    def install(self) -> bool:
        """Listen from now on. Python allows that in the main thread only.

        Returns:
            Whether it listens.
        """
        if threading.current_thread() is not threading.main_thread():
            return False
        self.received = None
        for number in self.signals:
            if number not in self._before:
                self._before[number] = signal.signal(number, self._handle)
        return True

    def uninstall(self) -> None:
        """Put back the handlers that were there before."""
        while self._before:
            number, handler = self._before.popitem()
            # None stands for a handler that Python did not install.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: Any) -> None:
        # Nothing is logged here: the log may be in the middle of a line.
        if self.received is None:
            self.received, self._time = number, time.monotonic()
        elif time.monotonic() - self._time > PATIENCE:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


class Agreement:
    """Lets all processes stop at the same iteration, though only one may have been asked to.

    They compare notes once in a while, with one small collective call. How many iterations
    lie between is agreed on as well, from how long an iteration takes.

    Args:
        processes: how many there are; one need not ask anybody.
        seconds: time between two calls.
        maximum: takes a list of numbers, the same length on all processes, and gives the
            greatest of each over all of them; stands for the collective call.
        clock: seconds.
    """

    def __init__(
        self,
        processes: int,
        seconds: float,
        maximum: Callable[[list[float]], list[float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alone = processes == 1
        self._seconds = seconds
        self._maximum = maximum
        self._clock = clock
        self._interval = 1
        self._passed = 0
        self._asked = clock()

    def ask(self, received: int | None) -> int | None:
        """The signal that some process got, if it is time to ask and one did.

        To be called by all processes at the same points.

        Args:
            received: the signal that this process got.
        """
        if self._alone:
            return received
        self._passed += 1
        if self._passed < self._interval:
            return None
        each = (self._clock() - self._asked) / self._passed
        number, each = self._maximum([float(received or 0), each])
        self._interval = max(1, round(self._seconds / max(each, 1e-6)))
        self._passed = 0
        self._asked = self._clock()
        return int(number) or None


class GuardedWorker:
    """A ``worker_init_fn`` that keeps a worker alive while its process group is signalled.

    A job manager signals workers too, and torch's loader makes an error of a worker's
    death: the training would die of it before it could save. In a worker only the parent's
    SIGTERM counts, by which the loader ends one that hangs.

    Args:
        signals: numbers of the signals.
        inner: the worker's own initialisation.
    """

    def __init__(self, signals: Sequence[int], inner: Callable[[int], Any] | None) -> None:
        self.signals = [int(number) for number in signals]
        self.inner = inner

    def __call__(self, worker_id: int) -> Any:
        # The sender is known to whoever waits for a signal, not to Python's handlers.
        if hasattr(signal, 'sigwaitinfo'):
            signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
            threading.Thread(target=self._obey_parent, daemon=True).start()
        return self.inner(worker_id) if self.inner is not None else None

    def _obey_parent(self) -> None:
        while True:
            info = signal.sigwaitinfo(self.signals)
            if info.si_signo == signal.SIGTERM and info.si_pid == os.getppid():
                os._exit(0)
