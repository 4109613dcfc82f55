"""The hooks that configs can name, as ``dict(type='rlepose_ext.BadLossHook')``."""

from mmengine.dist import all_reduce_params
from mmengine.hooks import EMAHook, SyncBuffersHook
from mmengine.runner import Runner

from rlepose_ext.engine.bad_loss import BadLossHook
from rlepose_ext.engine.bias_warm_up import BiasWarmUpHook
from rlepose_ext.engine.checkpoint_hook import AtomicCheckpointHook
from rlepose_ext.engine.exact_resume import ExactResumeHook
from rlepose_ext.engine.interrupt import InterruptHook
from rlepose_ext.engine.joint_count import JointCountHook
from rlepose_ext.engine.out_of_range_labels import OutOfRangeLabelsHook
from rlepose_ext.engine.pipeline_switch import PipelineSwitchHook
from rlepose_ext.registry import HOOKS

__all__ = [
    'AtomicCheckpointHook',
    'BadLossHook',
    'BiasWarmUpHook',
    'ExactResumeHook',
    'InterruptHook',
    'JointCountHook',
    'OutOfRangeLabelsHook',
    'PipelineSwitchHook',
    'SyncAllBuffersHook',
]


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
