"""Hooks that MMPose lacks, registered under ``rlepose_ext.registry.HOOKS``."""

from rlepose_ext.engine.hooks.bad_loss_hook import BadLossHook
from rlepose_ext.engine.hooks.exact_resume_hook import ExactResumeHook
from rlepose_ext.engine.hooks.interrupt_hook import InterruptHook
from rlepose_ext.engine.hooks.out_of_range_labels_hook import OutOfRangeLabelsHook
from rlepose_ext.engine.hooks.pipeline_switch_hook import PipelineSwitchHook

__all__ = [
    'BadLossHook',
    'ExactResumeHook',
    'InterruptHook',
    'OutOfRangeLabelsHook',
    'PipelineSwitchHook',
]
