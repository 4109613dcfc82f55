"""Stop a training whose loss is no longer a number, and name the samples."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from rlepose_ext.engine.bad_loss import (
    LossWatch,
    all_finite,
    describe,
    number,
    sample_origins,
    total_loss,
)
from rlepose_ext.engine.checkpoint_files import latest_whole
from rlepose_ext.engine.hooks.interrupt_hook import accumulates
from rlepose_ext.errors import UserError
from rlepose_ext.registry import HOOKS

SWITCH = 'RLEPOSE_BAD_LOSS'


@HOOKS.register_module()
class BadLossHook(Hook):
    """Ends a run with a loss that is NaN, infinite or exploding, by an error that helps.

    Every run has one (:mod:`rlepose_ext.compat.bad_loss`). It looks at each iteration:
    MMEngine's ``RuntimeInfoHook`` has by then waited for the device and read the same
    values for the log, so nothing waits twice. Weights that are not finite are not saved.

    A loss may be finite and its gradient not, as that of a root or a logarithm at 0. That breaks
    the weights, and shows in the next loss, which knows other samples. So the batches of the
    optimizer's last step are kept, and named too where they may be at fault.

    The loss is that of this process. Among several, the one whose samples are at fault
    stops first and the launcher ends the others; a gradient that is not finite has reached all
    of them, and each names its own samples.

    Args:
        enabled: whether to look at all. ``RLEPOSE_BAD_LOSS=0`` in the environment switches
            it off too.
        factor: see :class:`rlepose_ext.engine.bad_loss.LossWatch`, as for the next two.
        window: iterations to compare with.
        patience: losses in a row, under a ``GradScaler``.

    Raises:
        UserError: an argument, or the environment variable, makes no sense.
    """

    # After RuntimeInfoHook (10), and before any hook that saves.
    priority = 'HIGH'

    def __init__(
        self,
        enabled: bool = True,
        factor: float = 1000.0,
        window: int = 50,
        patience: int = 10,
    ) -> None:
        value = os.environ.get(SWITCH, '1')
        if value not in ('0', '1'):
            raise UserError(f'{SWITCH} must be 0 or 1, got {value!r}')
        self.enabled = enabled and value == '1'
        self.watch = LossWatch(factor, window, patience)
        # Batches since the last step but one; whether the last of them brought a step.
        self._before: list[Any] = []
        self._stepped = False

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at the loss of an iteration.

        Raises:
            UserError: it is bad.
        """
        if not self.enabled or not isinstance(outputs, dict):
            return
        loss = total_loss(outputs)
        problem = None if loss is None else self.watch.see(loss, _is_scaled(runner))
        if problem is not None:
            origins = sample_origins(data_batch)
            before = self._suspects(runner, origins)
            raise UserError(_report(runner, batch_idx, problem, outputs, origins, before))
        if self._stepped:
            self._before.clear()
        self._before.append(data_batch)
        self._stepped = not accumulates(runner)

    def _suspects(self, runner: Runner, origins: list[dict]) -> list[dict]:
        """Samples of the step before, if that may have broken the weights.

        By now this batch has made a step too. So weights that are not finite may be its own work,
        but those that are finite have been so all along.
        """
        at_fault = any('not_finite' in origin for origin in origins)
        if at_fault or not self._stepped or all_finite(runner.model.parameters()):
            return []
        return _origins(self._before)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep broken weights from becoming the checkpoint that a run goes on from.

        Raises:
            UserError: a parameter of the model is NaN or infinite.
        """
        if self.enabled and not all_finite(runner.model.parameters()):
            names = [n for n, p in runner.model.named_parameters() if not all_finite([p])]
            origins, iterations = _origins(self._before), checkpoint['meta']['iter']
            file = f'bad_weights_iter_{iterations}_rank_{runner.rank}.json'
            listed = _write(runner, file, {'parameters': names, 'samples': origins})
            raise UserError(
                f'{len(names)} parameters of the model are NaN or infinite, among them {names[0]}, '
                f'after {iterations} iterations; they were not saved. The last loss was finite, '
                f'its gradient may not be. Samples of the last step{_process(runner)}: '
                f'{describe(origins)}.{listed} {_remedy(runner)}'
            )


def _is_scaled(runner: Runner) -> bool:
    scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def _origins(batches: list[Any]) -> list[dict]:
    return [origin for batch in batches for origin in sample_origins(batch)]


def _report(
    runner: Runner, batch_idx: int, problem: str, outputs: dict, origins: list, before: list
) -> str:
    iteration = runner.iter + 1
    terms = {name: number(value) for name, value in outputs.items() if 'loss' in name}
    place = f'iteration {iteration} (epoch {runner.epoch + 1}, batch {batch_idx + 1})'
    content = {'problem': f'the loss {problem}', 'terms': terms, 'samples': origins}
    earlier = ''
    if before:
        content['samples_of_the_step_before'] = before
        earlier = (
            ' Or the gradient of the step before has broken the weights, which are not finite; '
            f'its samples: {describe(before)}.'
        )
    listed = _write(runner, f'bad_loss_iter_{iteration}_rank_{runner.rank}.json', content)
    values = ', '.join(f'{key} {value:.6g}' for key, value in terms.items())
    return (
        f'the loss {problem}, at {place}{_process(runner)}: {values}. '
        f'Samples of that batch: {describe(origins)}.{earlier}{listed} {_remedy(runner)}'
    )


def _process(runner: Runner) -> str:
    several = runner.world_size > 1
    return f' in process {runner.rank} of {runner.world_size}' if several else ''


def _write(runner: Runner, name: str, content: dict) -> str:
    """Put all that is known into the work directory; returns a sentence that says so."""
    file = Path(runner.work_dir) / name
    try:
        file.write_text(json.dumps(content, indent=1, default=str))
    except OSError:
        return ''
    return f' All are in {file}.'


def _remedy(runner: Runner) -> str:
    last = latest_whole(runner.work_dir, warn=lambda text: None)
    return (
        f'The last good checkpoint is {last or "none"}. Check the annotations of these samples, '
        'lower the learning rate or clip gradients (optim_wrapper.clip_grad), and go on with '
        f'--resume. {SWITCH}=0 switches this check off.'
    )
