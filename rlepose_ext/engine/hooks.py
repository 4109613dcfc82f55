"""The hooks that configs can name, as ``dict(type='rlepose_ext.BadLossHook')``."""

from rlepose_ext.engine.averaged_buffers import SyncAllBuffersHook
from rlepose_ext.engine.bad_loss import BadLossHook
from rlepose_ext.engine.checkpoint_hook import AtomicCheckpointHook
from rlepose_ext.engine.exact_resume import ExactResumeHook
from rlepose_ext.engine.interrupt import InterruptHook
from rlepose_ext.engine.joint_count import JointCountHook
from rlepose_ext.engine.out_of_range_labels import OutOfRangeLabelsHook
from rlepose_ext.engine.pipeline_switch import PipelineSwitchHook

__all__ = [
    'AtomicCheckpointHook',
    'BadLossHook',
    'ExactResumeHook',
    'InterruptHook',
    'JointCountHook',
    'OutOfRangeLabelsHook',
    'PipelineSwitchHook',
    'SyncAllBuffersHook',
]
