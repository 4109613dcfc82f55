"""A resumed training goes on as if it had never stopped.

MMEngine resumes at the start of an epoch only, with all random generators as at the start of
a run: augmentation, dropout and, where the config names no seed, the order of samples differ
from those of an undisturbed run. A validation that was cut short is not repeated. With
another number of processes there is no warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from rlepose_ext.engine import resumable
from rlepose_ext.engine.cpu_speed import TrainsInBfloat16
from rlepose_ext.engine.resumable import SeededBatches, make_resumable, sampler_of
from rlepose_ext.engine.resume_state import Layout, Position, carry_over, pack, stretch, unpack
from rlepose_ext.registry import HOOKS

KEY = 'rlepose_resume'


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Keeps in each checkpoint what MMEngine leaves out.

    That is, under a key of its own: the place in the epoch, whether the validation is done,
    the seeds of sampler and augmentation, and of each process the random generators and the
    buffers that differ from the first one's (statistics of BatchNorm within an epoch).

    Every run has one; :mod:`rlepose_ext.engine.equip` calls it where MMEngine has no hook.
    Validations leave the random generators as they found them,
    so a training does not depend on how often it is validated.
    """

    # The last one: others have had their turn, and CheckpointHook its own.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.loaded: dict[str, Any] | None = None
        # batches of the epoch at hand that an earlier process has done
        self.first_batch = 0
        # iteration after which the last validation was finished, the last checkpoint written
        self.validated_at: int | None = None
        self.saved_at: int | None = None
        self.validating = False
        self._training = False
        self._epoch: int | None = None
        self._epoch_start = 0
        # of the moment before the validation at hand, or to begin with
        self._random: dict[str, Any] | None = None
        self._validate_first = False
        self._collected: dict[str, Any] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self.loaded = checkpoint.get(KEY)

    def resume(self, runner: Runner, filename: str, load: Callable[[], Any]) -> None:
        """Put a runner where a checkpoint says it was.

        Args:
            runner: the runner.
            filename: the checkpoint, for the log.
            load: resumes as MMEngine does.
        """
        built = [dict(schedule.state_dict()) for schedule in _schedules(runner)]
        load()
        if self.loaded is None:
            runner.logger.info(
                f'{filename} has neither random state nor a place in the epoch: augmentation and '
                'dropout begin anew'
            )
        else:
            self._go_on(runner, self.loaded, built)

    def _go_on(self, runner: Runner, saved: dict[str, Any], built: list[dict[str, Any]]) -> None:
        """Put a runner that MMEngine has resumed where it was.

        Args:
            runner: the runner.
            saved: what a checkpoint has under ``KEY``.
            built: the states of the runner's schedules before the checkpoint was loaded.
        """
        loop = runner.train_loop
        old = unpack(Layout, saved['layout'])
        position = unpack(Position, saved['position'])
        new = layout_of(runner)
        if position.batch and not getattr(type(loop).run_epoch, 'goes_on_within', False):
            runner.logger.warning(
                f'{type(loop).__name__} has a run_epoch of its own: the epoch begins anew, and '
                f'{position.batch} iterations are done again'
            )
            position = Position(
                position.epoch, position.iteration - position.batch, 0, position.validated
            )
        position, notes = carry_over(position, old, new)
        before, now = saved.get('precision'), precision_of(runner)
        if before not in (None, now):
            notes.append(f'{before} then, {now} now: losses differ by rounding')
        for note in notes:
            runner.logger.warning(f'resumed differently: {note}')
        if new.batches and old.batches and new.batches != old.batches:
            for schedule, state in zip(_schedules(runner), built, strict=False):
                state = stretch(schedule.state_dict(), state, new.batches / old.batches)
                schedule.load_state_dict(state)
        loop._epoch, loop._iter = position.epoch, position.iteration

        make_resumable(loop.dataloader, runner.seed, runner.rank, runner.world_size)
        sampler = sampler_of(loop.dataloader)
        if saved['sampler_seed'] is not None and hasattr(sampler, 'seed'):
            sampler.seed = saved['sampler_seed']
        own = None
        if new.processes == old.processes and len(saved['processes']) == new.processes:
            own = saved['processes'][runner.rank]
            load_buffers(runner, own['buffers'])
        batches = getattr(loop.dataloader, 'batch_sampler', None)
        if isinstance(batches, SeededBatches):
            batches.seed = own['seed'] if own else saved['seed']
            resumable.replay(loop.dataloader, position.epoch)
        for other in runner.hooks:
            # mmengine's own forgets it, and then notes a new best score in no checkpoint
            if isinstance(other, CheckpointHook) and other.last_ckpt is None:
                other.last_ckpt = runner.message_hub.get_info('last_ckpt')
        self.first_batch = position.batch
        self.validated_at = position.iteration if position.validated else None
        self._random = own and own['random']
        self._validate_first = _validation_is_missing(runner, position)
        runner.logger.info(
            f'going on after iteration {position.iteration}'
            + (f', {position.batch} of {new.batches} of the epoch' if position.batch else '')
        )

    def run_epoch(self, loop: EpochBasedTrainLoop) -> None:
        """Run what is left of an epoch; stands for ``EpochBasedTrainLoop.run_epoch``."""
        done = self.first_batch
        # What hooks draw at the start of an epoch has been drawn already.
        with resumable.kept_cpu_state() if done else nullcontext():
            loop.runner.call_hook('before_train_epoch')
        loop.runner.model.train()
        for number, batch in enumerate(_batches(loop.dataloader, done), start=done):
            loop.run_iter(number, batch)
        self.first_batch = 0
        loop.runner.call_hook('after_train_epoch')
        loop._epoch += 1

    def before_train(self, runner: Runner) -> None:
        self._training = True
        if runner.iter >= runner.max_iters:
            runner.logger.info(
                f'all {runner.max_iters} iterations are done: nothing is left to train'
            )
        random, self._random = self._random, None
        if random is not None:
            resumable.restore(random)
        if self._validate_first:
            self._validate_first = False
            runner.logger.info(f'making up for the validation after iteration {runner.iter}')
            runner.val_loop.run()

    def after_train(self, runner: Runner) -> None:
        self._training = False

    def before_train_epoch(self, runner: Runner) -> None:
        self._epoch, self._epoch_start = runner.epoch, runner.iter - self.first_batch
        loader = runner.train_loop.dataloader
        make_resumable(loader, runner.seed, runner.rank, runner.world_size)
        if isinstance(getattr(loader, 'batch_sampler', None), SeededBatches):
            loader.batch_sampler.begin(runner.epoch, self.first_batch)

    def before_val(self, runner: Runner) -> None:
        if self._training:
            self.validating = True
            self._random = resumable.capture()

    def after_val(self, runner: Runner) -> None:
        if self.validating:
            resumable.restore(self._random)
            self.validating, self._random = False, None
            self.validated_at = runner.iter

    def is_validated(self, iteration: int) -> bool:
        """Whether the validation after an iteration is done, for hooks that run at its end."""
        return self.validating or self.validated_at == iteration

    def collect(self, runner: Runner, validated: bool | None = None) -> None:
        """Get ready for the next ``runner.save_checkpoint``. To be called by all processes.

        Args:
            runner: the runner.
            validated: whether the validation that is due is done; found out by default.
        """
        own = {
            'seed': _seed(runner),
            'random': self._random or resumable.capture(),
            'buffers': _buffers(runner) if runner.world_size > 1 else {},
        }
        everyone = all_gather_object(own)
        first = everyone[0]['buffers']
        for other in everyone:
            other['buffers'] = {
                name: value
                for name, value in other['buffers'].items()
                if other is not everyone[0] and not torch.equal(value, first[name])
            }
        self._collected = {'processes': everyone, 'validated': validated}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if 'optimizer' not in checkpoint:  # the best one so far: to use, not to go on from
            return
        if self._collected is None and runner.world_size == 1:  # saved by another hook
            self.collect(runner)
        collected, self._collected = self._collected or {}, None
        sampler = sampler_of(runner.train_loop.dataloader)
        checkpoint[KEY] = {
            'version': 1,
            'layout': pack(layout_of(runner)),
            'position': pack(self._position(runner, checkpoint['meta'], collected)),
            'seed': _seed(runner),
            'sampler_seed': getattr(sampler, 'seed', None),
            'precision': precision_of(runner),
            'processes': collected.get('processes', []),
        }

    def _position(self, runner: Runner, meta: dict, collected: dict) -> Position:
        epoch, iteration = meta['epoch'], meta['iter']
        validated = collected.get('validated')
        if validated is None:
            validated = self.is_validated(iteration)
        # `epoch` counts finished epochs, so one that just ended has no batches of its own
        within = epoch == self._epoch and isinstance(runner.train_loop, EpochBasedTrainLoop)
        return Position(epoch, iteration, iteration - self._epoch_start if within else 0, validated)


def precision_of(runner: Runner) -> str:
    """In which arithmetic a training multiplies."""
    if isinstance(runner.optim_wrapper, AmpOptimWrapper):
        return str(runner.optim_wrapper.cast_dtype or 'float16').removeprefix('torch.')
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    backbone = getattr(model, 'backbone', None)
    return 'bfloat16 in the backbone' if isinstance(backbone, TrainsInBfloat16) else 'float32'


def layout_of(runner: Runner) -> Layout:
    """How the samples of a training are dealt out; zeros for what cannot be known."""
    loop, loader = runner.train_loop, runner.train_loop.dataloader
    batches = getattr(loader, 'batch_sampler', None)
    size = getattr(loader, 'batch_size', None) or getattr(batches, 'batch_size', None) or 0
    counts_epochs = isinstance(loop, EpochBasedTrainLoop)
    return Layout(
        processes=runner.world_size,
        batch_size=size,
        batches=_length(loader) if counts_epochs else 0,
        samples=_length(getattr(loader, 'dataset', None)),
    )


def load_buffers(runner: Runner, values: dict[str, torch.Tensor]) -> None:
    """Put back buffers of this process that differed from the first one's."""
    buffers = dict(_named_buffers(runner))
    for name, value in values.items():
        if name in buffers:
            buffers[name].copy_(value)


def _seed(runner: Runner) -> int:
    """Of augmentation in this process."""
    batches = getattr(runner.train_loop.dataloader, 'batch_sampler', None)
    return batches.seed if isinstance(batches, SeededBatches) else runner.seed


def _buffers(runner: Runner) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in _named_buffers(runner)}


def _named_buffers(runner: Runner):
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    modules = {'model': model}
    for number, hook in enumerate(hook for hook in runner.hooks if isinstance(hook, EMAHook)):
        modules[f'ema{number}'] = hook.ema_model
    for prefix, module in modules.items():
        for name, value in module.named_buffers():
            yield f'{prefix}.{name}', value


def _length(sized: Any) -> int:
    try:
        return len(sized)
    except TypeError:
        return 0


class Place(Hook):
    """Saves checkpoints under an epoch and an iteration, as ``Runner.save_checkpoint`` does.

    Args:
        meta: may have ``epoch`` and ``iter``.
    """

    def __init__(self, meta: dict[str, Any]) -> None:
        self.place = {key: meta[key] for key in ('epoch', 'iter') if key in meta}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['meta'].update(self.place)


def _batches(loader: Any, done: int) -> Iterator[Any]:
    """The batches of an epoch without the first ``done``."""
    if isinstance(getattr(loader, 'batch_sampler', None), SeededBatches):
        if done and done >= len(loader):
            return
        # A loader draws a seed for its workers, unless they are still there.
        with resumable.kept_cpu_state():
            batches = iter(loader)
    else:
        batches = iter(loader)
        for _ in range(done):
            next(batches)
    yield from batches


def _schedules(runner: Any) -> list[Any]:
    schedules = runner.param_schedulers or []
    if isinstance(schedules, dict):
        schedules = [schedule for group in schedules.values() for schedule in group]
    # They are not built yet if a run resumes without training.
    return [schedule for schedule in schedules if hasattr(type(schedule), 'load_state_dict')]


def _validation_is_missing(runner: Any, position: Any) -> bool:
    """Whether the run was stopped between the end of an epoch and that of its validation."""
    loop = runner.train_loop
    if position.validated or position.batch or not position.iteration or runner.val_loop is None:
        return False
    if isinstance(loop, EpochBasedTrainLoop):
        done, last = position.epoch, loop.max_epochs
    elif isinstance(loop, IterBasedTrainLoop):
        done, last = position.iteration, loop.max_iters
    else:
        return False
    loop._decide_current_val_interval()
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)
