"""Save and leave when asked to: SIGTERM, and the signal before a job's time is up."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from rlepose_ext.engine.checkpoint_files import INTERRUPTED, write_atomically
from rlepose_ext.engine.hooks.exact_resume_hook import ExactResumeHook
from rlepose_ext.engine.interrupt import Agreement, StopSignal
from rlepose_ext.registry import HOOKS


@HOOKS.register_module()
class InterruptHook(Hook):
    """Saves ``interrupted.pth`` in the middle of an epoch and ends the process.

    Every run has one (:mod:`rlepose_ext.compat.interruption`). All processes stop after the
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
        if not self.stop.install():
            runner.logger.warning('Not in the main thread: signals do not save a checkpoint')
        self._agreement = Agreement(runner.world_size, self.seconds, _maximum)

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
        resume = next((hook for hook in runner.hooks if isinstance(hook, ExactResumeHook)), None)
        path = Path(runner.work_dir) / INTERRUPTED
        if resume is not None:
            validated = resume.is_validated(iteration) if validated is None else validated
            resume.collect(runner, validated)
        if resume is not None and resume.saved_at == iteration and not validated:
            saved = 'the last checkpoint is of this iteration'
        else:
            saved = _save(runner, path, {'epoch': epoch, 'iter': iteration})
        # Whoever leaves first makes the launcher end the others.
        dist.barrier()
        runner.logger.warning(f'{name}: {saved}; --resume goes on there')
        runner.visualizer.close()
        # At exit torch waits five seconds for workers that nobody has told.
        for child in multiprocessing.active_children():
            if child.daemon:
                child.terminate()
        if runner.world_size > 1:
            torch.distributed.destroy_process_group()
        raise SystemExit(128 + received)


def _save(runner: Runner, path: Path, meta: dict[str, int]) -> str:
    """Write the checkpoint and the note that names it; says what came of it."""
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
    """Whether gradients wait for more of their kind; they would be lost, no checkpoint has them."""
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
