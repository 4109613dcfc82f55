"""``--resume`` goes on as if the run had never stopped.

Without it mmengine resumes at the start of an epoch only, with all random generators as at
the start of a run: augmentation, dropout and, where the config names no seed, the order of
samples differ from those of an undisturbed run. A validation that was cut short is never
made up for. On another number of processes it goes on without a word.

With it every run has a :class:`rlepose_ext.engine.hooks.ExactResumeHook`; each sample brings
its seed along (:mod:`rlepose_ext.engine.resumable`); an epoch goes on where it stopped; and
the log names what is different. Can go when mmengine does the same.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from rlepose_ext.compat._hooks import hook_of, register_everywhere
from rlepose_ext.compat._imports import Patch, when_imported
from rlepose_ext.compat._runners import patch_runners
from rlepose_ext.engine.checkpoint_files import INTERRUPTED
from rlepose_ext.errors import UserError

_HOOK = 'ExactResumeHook'


def _patch_loops(module: ModuleType) -> None:
    from mmengine.runner.base_loop import BaseLoop

    init = BaseLoop.__init__
    counting_loops = (module.EpochBasedTrainLoop, module.IterBasedTrainLoop)

    @functools.wraps(init)
    def init_resumable(self, runner, dataloader):
        init(self, runner, dataloader)
        if isinstance(self, counting_loops) and hook_of(runner, _HOOK) is not None:
            from rlepose_ext.engine.resumable import make_resumable

            make_resumable(self.dataloader, runner.seed, runner.rank, runner.world_size)

    @functools.wraps(module.EpochBasedTrainLoop.run_epoch)
    def run_epoch(self):
        hook = hook_of(self.runner, _HOOK)
        done = hook.first_batch if hook is not None else 0
        # What hooks draw at the start of an epoch has been drawn already.
        with _random_state_kept() if done else nullcontext():
            self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for number, batch in enumerate(_batches(self.dataloader, done), start=done):
            self.run_iter(number, batch)
        if hook is not None:
            hook.first_batch = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    run_epoch.goes_on_within = True
    BaseLoop.__init__ = init_resumable
    module.EpochBasedTrainLoop.run_epoch = run_epoch

    class LateIterator(module._InfiniteDataloaderIterator):
        """Begins when it is first asked: after a resume, which sets the seeds."""

        def __init__(self, dataloader):
            self._dataloader = dataloader
            self._iterator = None
            self._epoch = 0

        def __next__(self):
            # Beginning anew draws a seed for workers; a resume does it more often.
            with _random_state_kept():
                if self._iterator is None:
                    self._iterator = iter(self._dataloader)
                return super().__next__()

    module._InfiniteDataloaderIterator = LateIterator


def _random_state_kept():
    from rlepose_ext.engine.random_state import kept_cpu_state

    return kept_cpu_state()


def _batches(loader: Any, done: int) -> Iterator[Any]:
    """The batches of an epoch without the first ``done``."""
    from rlepose_ext.engine.resumable import SeededBatches

    if isinstance(getattr(loader, 'batch_sampler', None), SeededBatches):
        if done and done >= len(loader):
            return
        # A loader draws a seed for its workers, unless they are still there.
        with _random_state_kept():
            batches = iter(loader)
    else:
        batches = iter(loader)
        for _ in range(done):
            next(batches)
    yield from batches


def _patch_runner(runner: type) -> None:
    resume = runner.resume

    @functools.wraps(resume)
    def resume_exactly(self, filename, *args, **kwargs):
        hook = hook_of(self, _HOOK)
        built = [dict(schedule.state_dict()) for schedule in _schedules(self)]
        resume(self, filename, *args, **kwargs)
        if hook is None:
            return
        if hook.loaded is None:
            self.logger.info(
                f'{filename} has neither random state nor a place in the epoch: augmentation and '
                'dropout begin anew'
            )
            return
        _go_on(self, hook, built)

    runner.resume = resume_exactly


def _patch_saving(module: ModuleType) -> None:
    """Let FlexibleRunner save under the epoch and iteration that it is given, as Runner does."""
    from mmengine.hooks import Hook

    class Place(Hook):
        def __init__(self, meta: dict[str, Any]) -> None:
            self.place = {key: meta[key] for key in ('epoch', 'iter') if key in meta}

        def before_save_checkpoint(self, runner, checkpoint):
            checkpoint['meta'].update(self.place)

    save_checkpoint = module.FlexibleRunner.save_checkpoint

    @functools.wraps(save_checkpoint)
    def save_checkpoint_as_told(self, *args, **kwargs):
        place = Place(kwargs.get('meta') or {})
        self.hooks.insert(0, place)
        try:
            save_checkpoint(self, *args, **kwargs)
        finally:
            self.hooks.remove(place)

    module.FlexibleRunner.save_checkpoint = save_checkpoint_as_told


def _choose_together(module: ModuleType) -> None:
    """Let the processes of a run go on from one file, also where their folders differ."""
    find = module.find_latest_checkpoint

    def find_latest_checkpoint(path: str) -> str | None:
        """The newest whole checkpoint that the first process finds in its work directory.

        To be called by all processes.

        Raises:
            UserError: this process does not have that file.
        """
        from mmengine.dist import broadcast_object_list, get_rank

        rank = get_rank()
        found = find(path) if rank == 0 else None
        chosen = [found and str(found)]
        broadcast_object_list(chosen)
        if rank == 0 or chosen[0] is None:
            return found
        if not os.path.isfile(chosen[0]):
            raise UserError(
                f'process 0 resumes from {chosen[0]}, which process {rank} on '
                f'{socket.gethostname()} cannot see. All processes need the same --work-dir, on a '
                'file system that their machines share.'
            )
        return chosen[0]

    module.find_latest_checkpoint = find_latest_checkpoint


def _schedules(runner: Any) -> list[Any]:
    schedules = runner.param_schedulers or []
    if isinstance(schedules, dict):
        schedules = [schedule for group in schedules.values() for schedule in group]
    # Not built yet, if somebody resumes without training.
    return [schedule for schedule in schedules if hasattr(type(schedule), 'load_state_dict')]


def _go_on(runner: Any, hook: Any, built: list[dict[str, Any]]) -> None:
    """Put a runner that mmengine has resumed where the checkpoint says it was.

    Args:
        runner: the runner.
        hook: its ExactResumeHook.
        built: the states of its schedules before the checkpoint was loaded.
    """
    from mmengine.hooks import CheckpointHook

    from rlepose_ext.engine import resumable, resume_state
    from rlepose_ext.engine.hooks.exact_resume_hook import layout_of, load_buffers

    saved, loop = hook.loaded, runner.train_loop
    old = resume_state.unpack(resume_state.Layout, saved['layout'])
    position = resume_state.unpack(resume_state.Position, saved['position'])
    new = layout_of(runner)
    if position.batch and not getattr(type(loop).run_epoch, 'goes_on_within', False):
        runner.logger.warning(
            f'{type(loop).__name__} has a run_epoch of its own: the epoch begins anew, and '
            f'{position.batch} iterations are done again'
        )
        position = resume_state.Position(
            position.epoch, position.iteration - position.batch, 0, position.validated
        )
    position, notes = resume_state.carry_over(position, old, new)
    for note in notes:
        runner.logger.warning(f'resumed differently: {note}')
    if new.batches and old.batches and new.batches != old.batches:
        for schedule, state in zip(_schedules(runner), built, strict=False):
            state = resume_state.stretch(schedule.state_dict(), state, new.batches / old.batches)
            schedule.load_state_dict(state)
    loop._epoch, loop._iter = position.epoch, position.iteration

    sampler = resumable.sampler_of(loop.dataloader)
    if saved['sampler_seed'] is not None and hasattr(sampler, 'seed'):
        sampler.seed = saved['sampler_seed']
    own = None
    if new.processes == old.processes and len(saved['processes']) == new.processes:
        own = saved['processes'][runner.rank]
        load_buffers(runner, own['buffers'])
    batches = getattr(loop.dataloader, 'batch_sampler', None)
    if isinstance(batches, resumable.SeededBatches):
        batches.seed = own['seed'] if own else saved['seed']
        resumable.replay(loop.dataloader, position.epoch)
    for other in runner.hooks:
        # mmengine's own forgets it, and then notes a new best score in no checkpoint
        if isinstance(other, CheckpointHook) and other.last_ckpt is None:
            other.last_ckpt = runner.message_hub.get_info('last_ckpt')
    hook.go_on(position, own and own['random'], _validation_is_missing(runner, position))
    runner.logger.info(
        f'going on after iteration {position.iteration}'
        + (f', {position.batch} of {new.batches} of the epoch' if position.batch else '')
    )


def _validation_is_missing(runner: Any, position: Any) -> bool:
    """Whether the run was stopped between the end of an epoch and that of its validation."""
    from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

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


def _patch_checkpoint_hook(module: ModuleType) -> None:
    hook_class = module.CheckpointHook
    save = hook_class._save_checkpoint_with_step

    @functools.wraps(save)
    def save_with_state(self, runner, step, meta):
        hook = hook_of(runner, _HOOK)
        if hook is None:
            return save(self, runner, step, meta)
        hook.collect(runner)
        save(self, runner, step, meta)
        name = self.filename_tmpl.format(step)
        if self.last_ckpt is not None and Path(self.last_ckpt).name == name:
            hook.saved_at = meta['iter']
            if runner.rank == 0:
                (Path(runner.work_dir) / INTERRUPTED).unlink(missing_ok=True)

    hook_class._save_checkpoint_with_step = save_with_state


def _install() -> None:
    register_everywhere(_HOOK)
    when_imported('mmengine.runner.loops', _patch_loops)
    patch_runners(_patch_runner)
    for module in ('runner', '_flexible_runner'):
        when_imported(f'mmengine.runner.{module}', _choose_together)
    when_imported('mmengine.runner._flexible_runner', _patch_saving)
    when_imported('mmengine.hooks.checkpoint_hook', _patch_checkpoint_hook)


PATCH = Patch(
    name='exact_resume',
    breaks='a resumed run differs from an undisturbed one, and repeats what it did of an epoch',
    since='always',
    until='mmengine restores random state and the place in the epoch',
    install=_install,
)
