"""Several processes agree on the statistics of an averaged model too."""

from __future__ import annotations

from mmengine.dist import all_reduce_params
from mmengine.hooks import EMAHook, SyncBuffersHook
from mmengine.runner import Runner

from rlepose_ext.registry import HOOKS


@HOOKS.register_module()
class SyncAllBuffersHook(SyncBuffersHook):
    """MMEngine's ``SyncBuffersHook``, for the buffers of the model's moving average too.

    It averages the buffers over the processes at the end of an epoch. Without those of
    ``EMAHook``, running mean and variance of batch norm stay what each process has seen, and
    evaluation and checkpoint use the first one's.
    """

    def after_train_epoch(self, runner: Runner) -> None:
        super().after_train_epoch(runner)
        if self.distributed:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    all_reduce_params(hook.ema_model.module.buffers(), op='mean')
