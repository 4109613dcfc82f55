"""Hooks that MMPose lacks, registered under ``rlepose_ext.registry.HOOKS``."""

from rlepose_ext.engine.hooks.pipeline_switch_hook import PipelineSwitchHook

__all__ = ['PipelineSwitchHook']
