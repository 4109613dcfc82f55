"""Several processes agree on the statistics of an averaged model too.

Without it mmengine's ``SyncBuffersHook`` averages the buffers of the model over the processes
at the end of an epoch, but not those of the model's moving average (``EMAHook``): running mean
and variance of batch norm there stay what each process has seen, and evaluation and checkpoint
use the first one's. Can go when mmengine averages both.
"""

from __future__ import annotations

import functools
from types import ModuleType

from rlepose_ext.compat._imports import Patch, when_imported


def _patch(module: ModuleType) -> None:
    hook_class = module.SyncBuffersHook
    after_train_epoch = hook_class.after_train_epoch

    @functools.wraps(after_train_epoch)
    def average_all(self, runner):
        from mmengine.dist import all_reduce_params
        from mmengine.hooks import EMAHook

        after_train_epoch(self, runner)
        if self.distributed:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    all_reduce_params(hook.ema_model.module.buffers(), op='mean')

    hook_class.after_train_epoch = average_all


PATCH = Patch(
    name='averaged_buffers',
    breaks='on several processes an averaged model (EMA) has the batch norm statistics of rank 0',
    since='always',
    until="mmengine's SyncBuffersHook averages the buffers of the moving average too",
    install=lambda: when_imported('mmengine.hooks.sync_buffer_hook', _patch),
)
