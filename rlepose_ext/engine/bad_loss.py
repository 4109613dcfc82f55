"""Stop a training whose loss is NaN, infinite or exploding, and name the samples of the batch."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner

from rlepose_ext.checkpoints.files import latest_whole
from rlepose_ext.engine.interrupt import accumulates
from rlepose_ext.errors import UserError
from rlepose_ext.registry import HOOKS

SWITCH = 'RLEPOSE_BAD_LOSS'
# What MMPose's PackPoseInputs keeps of a sample's origin, and the name we give it.
_ORIGIN = {'img_path': 'image', 'img_id': 'image_id', 'id': 'annotation_id'}


class LossWatch:
    """Decides from the losses of a run whether the training is broken.

    A loss is bad if it

    - is NaN or infinite. Under a ``GradScaler`` overflows are expected: the step is
      skipped and the scale halved. There only ``patience`` such losses in a row are bad;
    - explodes: its absolute value exceeds ``factor`` times the greatest one of the last
      ``window`` iterations, and 1. Absolute, since a negative log-likelihood is negative in
      a good training. Nothing explodes in the first ``window`` iterations.

    Args:
        factor: how many times larger; infinity switches the second rule off.
        window: iterations to compare with.
        patience: losses in a row, under a ``GradScaler``.

    Raises:
        UserError: a number is out of range.
    """

    def __init__(self, factor: float = 1000.0, window: int = 50, patience: int = 10) -> None:
        if not factor > 1 or window < 1 or patience < 1:
            raise UserError(
                'expected factor > 1, window >= 1 and patience >= 1, got '
                f'factor={factor}, window={window}, patience={patience}'
            )
        self.factor = factor
        self.window = window
        self.patience = patience
        self._recent: deque[float] = deque(maxlen=window)
        self._in_a_row = 0

    def see(self, loss: float, scaled: bool = False) -> str | None:
        """Take the loss of an iteration.

        Args:
            loss: its value.
            scaled: whether a ``GradScaler`` is at work.

        Returns:
            What is wrong, as the end of a sentence, or None.
        """
        if not math.isfinite(loss):
            self._in_a_row += 1
            if scaled and self._in_a_row < self.patience:
                return None
            row = f', the {self._in_a_row}th time in a row' if self._in_a_row > 1 else ''
            return f'is {loss}{row}'
        self._in_a_row = 0
        size = abs(loss)
        if len(self._recent) == self.window:
            greatest = max(self._recent)
            if size > max(self.factor * greatest, 1.0):
                return (
                    f'exploded to {loss:.4g}; in the last {self.window} iterations it was at most '
                    f'{greatest:.4g} in size'
                )
        self._recent.append(size)
        return None


def total_loss(terms: Mapping[str, Any]) -> float | None:
    """The loss of an iteration: ``loss``, or the sum of all terms that are named so.

    Args:
        terms: what ``train_step`` returns: names to scalars.

    Returns:
        The value; None if there is no such term.
    """
    if 'loss' in terms:
        return number(terms['loss'])
    values = [number(value) for name, value in terms.items() if 'loss' in name]
    return sum(values) if values else None


def number(value: Any) -> float:
    """A scalar, with or without a gradient, as a Python number."""
    return float(value.item() if hasattr(value, 'item') else value)


def sample_origins(batch: Any) -> list[dict[str, Any]]:
    """Where the samples of a batch come from.

    Args:
        batch: of MMPose's loaders: ``{'inputs': [...], 'data_samples': [...]}``. Of others
            nothing is known.

    Returns:
        For each sample ``image``, ``image_id`` and ``annotation_id`` as far as it has them,
        and ``not_finite``: names of what holds NaN or infinity.
    """
    if not isinstance(batch, Mapping):
        return []
    samples = batch.get('data_samples') or []
    inputs = batch.get('inputs')
    origins = []
    for number, sample in enumerate(samples):
        known = getattr(sample, 'metainfo', sample if isinstance(sample, Mapping) else {})
        origin = {name: _plain(known[key]) for key, name in _ORIGIN.items() if key in known}
        parts = dict(_tensors(sample))
        if isinstance(inputs, (Sequence, torch.Tensor)) and number < len(inputs):
            parts['inputs'] = inputs[number]
        bad = sorted(name for name, value in parts.items() if not _is_finite(value))
        origins.append({**origin, **({'not_finite': bad} if bad else {})})
    return origins


def describe(origins: Sequence[Mapping[str, Any]], most: int = 16) -> str:
    """The samples in words, those with values that are not finite first."""
    ordered = sorted(origins, key=lambda origin: 'not_finite' not in origin)
    texts = [', '.join(f'{key} {value}' for key, value in origin.items()) for origin in ordered]
    shown = '; '.join(f'({text or "unknown"})' for text in texts[:most])
    more = f'; and {len(texts) - most} more' if len(texts) > most else ''
    return (shown + more) or 'unknown (the batch is not of the kind that MMPose makes)'


def all_finite(parameters: Iterable[torch.Tensor]) -> bool:
    """Whether no value is NaN or infinite. Waits for the device once."""
    flags = [torch.isfinite(parameter.detach()).all() for parameter in parameters]
    return not flags or bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all())


def _tensors(sample: Any) -> Iterable[tuple[str, Any]]:
    """Targets and labels of a data sample."""
    for part in ('gt_instance_labels', 'gt_fields', 'gt_instances'):
        content = getattr(sample, part, None)
        yield from content.items() if content is not None else ()


def _is_finite(value: Any) -> bool:
    try:
        value = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return True
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def _plain(value: Any) -> Any:
    """A number or text that JSON takes."""
    return value.item() if hasattr(value, 'item') and getattr(value, 'size', 1) == 1 else value


@HOOKS.register_module()
class BadLossHook(Hook):
    """Ends a run with a loss that is NaN, infinite or exploding, by an error that helps.

    Every run has one (:mod:`rlepose_ext.engine.equip`). It looks at each iteration:
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
        UserError: an argument is out of range, or the environment variable not 0 or 1.
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
    mixed = isinstance(runner.optim_wrapper, AmpOptimWrapper)
    return (
        f'The last good checkpoint is {last or "none"}. Check the annotations of these samples, '
        f'{"train without --amp, " if mixed else ""}'
        'lower the learning rate or clip gradients (optim_wrapper.clip_grad), and go on with '
        f'--resume. {SWITCH}=0 switches this check off.'
    )
