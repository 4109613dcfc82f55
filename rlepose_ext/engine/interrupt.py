"""Save a checkpoint and exit on a signal; several processes agree on the iteration.

Slurm warns a job before its time is up with a signal of choice (``--signal=USR1@180``) and
ends one that is preempted with SIGTERM, as do torchrun and most machines. A signal may come
at any moment, in the middle of an update of the weights too. So the handler only records it,
and the training checks the record between two iterations.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from rlepose_ext.checkpoints.files import INTERRUPTED, write_atomically
from rlepose_ext.engine import hook_of
from rlepose_ext.engine.exact_resume import ExactResumeHook
from rlepose_ext.errors import UserError
from rlepose_ext.registry import HOOKS

# Seconds after which a second signal ends the process at once. Earlier ones are ignored:
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

    They exchange the signals that they received in one small collective call every few
    iterations. The interval is agreed on as well, from the time of an iteration.

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
        # sigwaitinfo tells the sender of a signal, Python's handlers do not.
        if hasattr(signal, 'sigwaitinfo'):
            signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
            threading.Thread(target=self._obey_parent, daemon=True).start()
        return self.inner(worker_id) if self.inner is not None else None

    def _obey_parent(self) -> None:
        while True:
            info = signal.sigwaitinfo(self.signals)
            if info.si_signo == signal.SIGTERM and info.si_pid == os.getppid():
                os._exit(0)


@HOOKS.register_module()
class InterruptHook(Hook):
    """Saves ``interrupted.pth`` in the middle of an epoch and ends the process.

    Every run has one (:mod:`rlepose_ext.engine.equip`). All processes stop after the
    same iteration, in a validation too; ``last_checkpoint`` names the file, ``--resume``
    goes on from it, and the next regular checkpoint replaces it. The exit status is 128 +
    the number of the signal: 143 for SIGTERM, 138 for SIGUSR1 on Linux. A second signal, two
    seconds or more after the first, ends the process at once.

    Args:
        signals: names of the signals; none switches it off.
        seconds: how often several processes ask each other.
    """

    # After all others, so that what is saved is a finished iteration.
    priority = 'LOWEST'

    def __init__(
        self, signals: Sequence[str] = ('SIGTERM', 'SIGUSR1'), seconds: float = 2.0
    ) -> None:
        self.stop = StopSignal(signals)
        self.seconds = seconds
        self._agreement: Agreement | None = None
        # batches of a validation that all processes have
        self._common = 0
        self._validating = False

    def before_train(self, runner: Runner) -> None:
        if not self.stop.signals:
            return
        for loop in (runner.train_loop, runner.val_loop):
            self._guard_workers(getattr(loop, 'dataloader', None))
        if not self.stop.install():
            runner.logger.warning('Not in the main thread: signals do not save a checkpoint')
        self._agreement = Agreement(runner.world_size, self.seconds, _maximum)

    def _guard_workers(self, loader: Any) -> None:
        """Let the workers of a loader that has not begun outlive the signals."""
        init = getattr(loader, 'worker_init_fn', None)
        if getattr(loader, 'num_workers', 0) > 0 and not isinstance(init, GuardedWorker):
            loader.worker_init_fn = GuardedWorker(self.stop.signals, init)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self._agreement is None or accumulates(runner):
            return
        received = self._agreement.ask(self.stop.received)
        if received is not None:
            self._leave(runner, received, runner.epoch, runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        if self._agreement is None:
            return
        self._ask_between(runner)
        self._validating = True
        # A collective call after the last batch of some process would wait for it forever.
        self._common = -round(_maximum([-float(_length(runner.val_dataloader))])[0])

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if not self._validating or batch_idx >= self._common:
            return
        received = self._agreement.ask(self.stop.received)
        if received is not None:
            # During a validation the weights are those of the average.
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)
            self._leave(runner, received, runner.epoch, runner.iter, validated=False)

    def after_val(self, runner: Runner) -> None:
        if self._validating:
            self._validating = False
            # After the last one there is nothing left to stop.
            if runner.iter < runner.max_iters:
                self._ask_between(runner)

    def after_train(self, runner: Runner) -> None:
        self._agreement = None

    def _ask_between(self, runner: Runner) -> None:
        received = self._agreement.ask(self.stop.received)
        if received is not None:
            self._leave(runner, received, runner.epoch, runner.iter)

    def _leave(
        self,
        runner: Runner,
        received: int,
        epoch: int,
        iteration: int,
        validated: bool | None = None,
    ) -> None:
        """Save, and end this process.

        Args:
            runner: the runner.
            received: number of the signal.
            epoch: finished epochs.
            iteration: finished iterations.
            validated: whether the validation that is due is done; found out by default.

        Raises:
            SystemExit: always.
        """
        name = signal.Signals(received).name
        runner.logger.warning(f'{name}: stopping after iteration {iteration}')
        resume = hook_of(runner, ExactResumeHook)
        path = Path(runner.work_dir) / INTERRUPTED
        if resume is not None:
            validated = resume.is_validated(iteration) if validated is None else validated
            resume.collect(runner, validated)
        if resume is not None and resume.saved_at == iteration and not validated:
            saved = 'the last checkpoint is of this iteration'
        else:
            saved = _save(runner, path, {'epoch': epoch, 'iter': iteration})
        # When one process exits, the launcher ends the others.
        dist.barrier()
        runner.logger.warning(f'{name}: {saved}; --resume goes on there')
        runner.visualizer.close()
        # At exit torch waits five seconds for workers that were not told to stop.
        for child in multiprocessing.active_children():
            if child.daemon:
                child.terminate()
        if runner.world_size > 1:
            torch.distributed.destroy_process_group()
        raise SystemExit(128 + received)


def _save(runner: Runner, path: Path, meta: dict[str, int]) -> str:
    """Write the checkpoint and ``last_checkpoint``; returns a clause for the log."""
    try:
        runner.save_checkpoint(str(path.parent), path.name, meta=meta, by_epoch=False)
        if runner.rank == 0:
            write_atomically(str(path).encode(), path.with_name('last_checkpoint'))
    except OSError as error:
        runner.logger.log(
            logging.ERROR, f'{path} was NOT saved: {error.strerror or error}. Free space there.'
        )
        return 'the checkpoint before is what is left'
    return f'saved {path}'


def accumulates(runner: Runner) -> bool:
    """Whether gradients are being accumulated; a checkpoint does not contain them."""
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return not all(wrapper.should_update() for wrapper in wrappers)


def _length(loader: Any) -> int:
    try:
        return len(loader)
    except TypeError:
        return 0


def _maximum(values: list[float]) -> list[float]:
    """The greatest of each number over all processes."""
    if dist.get_world_size() == 1:
        return values
    together = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(together, 'max')
    return together.tolist()
