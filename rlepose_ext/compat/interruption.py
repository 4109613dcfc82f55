"""SIGTERM and Slurm's warning save a checkpoint before the process ends.

Without it both end a training at once, wherever it is, and all since the last checkpoint is
lost; a signal that reaches a loader's worker ends the training with a misleading error.
With it every run has a :class:`rlepose_ext.engine.hooks.InterruptHook`, and workers of
loaders outlive such a signal. Can go when mmengine handles signals.
"""

from __future__ import annotations

import functools
from types import ModuleType

from rlepose_ext.compat._hooks import hook_of, register_everywhere
from rlepose_ext.compat._imports import Patch, when_imported
from rlepose_ext.compat._runners import patch_runners


def _patch_runner(runner: type) -> None:
    train = runner.train

    @functools.wraps(train)
    def train_and_put_handlers_back(self):
        try:
            return train(self)
        finally:
            hook = hook_of(self, 'InterruptHook')
            if hook is not None:
                hook.stop.uninstall()

    runner.train = train_and_put_handlers_back


def _patch_loop(module: ModuleType) -> None:
    init = module.BaseLoop.__init__

    @functools.wraps(init)
    def init_and_guard_workers(self, runner, dataloader):
        from rlepose_ext.engine.interrupt import GuardedWorker

        init(self, runner, dataloader)
        hook = hook_of(runner, 'InterruptHook')
        loader = self.dataloader
        if hook is None or isinstance(getattr(loader, 'worker_init_fn', None), GuardedWorker):
            return
        if getattr(loader, 'num_workers', 0) > 0 and hook.stop.signals:
            loader.worker_init_fn = GuardedWorker(hook.stop.signals, loader.worker_init_fn)

    module.BaseLoop.__init__ = init_and_guard_workers


def _install() -> None:
    register_everywhere('InterruptHook')
    patch_runners(_patch_runner)
    when_imported('mmengine.runner.base_loop', _patch_loop)


PATCH = Patch(
    name='interruption',
    breaks='SIGTERM, and the signal before a job ends, lose all since the last checkpoint',
    since='always',
    until='mmengine saves a checkpoint when it is told to stop',
    install=_install,
)
