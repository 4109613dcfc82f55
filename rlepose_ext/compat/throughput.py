"""The log says how long an iteration takes, not how many images a second that is.

Without it a log line has ``time: 0.31``, and whoever compares two runs looks up batch
size and number of processes for each. With it the line ends in ``images/s: 412.9``, and
JSON, CSV and TensorBoard logs have the number under that name. Every run gets it, because
it comes with the import and not with a config. MMEngine's remaining time, ``eta``, stands
in the same line already.

    images/s = samples of a process's batch * processes / seconds of an iteration

Seconds are MMEngine's ``time``, its mean over the window of the log (waiting for data is
part of it). All processes wait for each other in each iteration, so one clock counts for
all. In top-down training a sample is the crop of one person.

All versions of mmengine need it; it can go when mmengine logs a rate.
"""

from __future__ import annotations

import functools
from types import ModuleType

from rlepose_ext.compat._imports import Patch, when_imported

NAME = 'images/s'


def images_per_second(batch_size: int, world_size: int, seconds: float) -> float:
    """Samples that all processes together handle in a second.

    Args:
        batch_size: samples of one process in one iteration.
        world_size: number of processes.
        seconds: length of one iteration, positive.
    """
    return batch_size * world_size / seconds


def batch_size_of(loader: object) -> int | None:
    """Samples a loader of this process gives at once; ``None`` if it does not say."""
    size = getattr(loader, 'batch_size', None)
    if size is None:
        size = getattr(getattr(loader, 'batch_sampler', None), 'batch_size', None)
    return size


def _patch_log_processor(module: ModuleType) -> None:
    get_log_after_iter = module.LogProcessor.get_log_after_iter

    @functools.wraps(get_log_after_iter)
    def get_log_with_rate(self, runner, batch_idx, mode):
        from mmengine.dist import get_world_size

        tag, line = get_log_after_iter(self, runner, batch_idx, mode)
        # log_with_hierarchy writes train/time
        prefix = f'{mode}/' if self.log_with_hierarchy else ''
        seconds = tag.get(f'{prefix}time')
        size = batch_size_of(getattr(runner, f'{mode}_dataloader'))
        if seconds and size:
            rate = images_per_second(size, get_world_size(), seconds)
            tag[prefix + NAME] = rate
            line = f'{line.rstrip()}  {NAME}: {rate:.1f}'
        return tag, line

    module.LogProcessor.get_log_after_iter = get_log_with_rate


PATCH = Patch(
    name='throughput',
    breaks='the log has no rate: compare runs by batch size, processes and seconds by hand',
    since='always',
    until='mmengine logs images per second',
    install=lambda: when_imported('mmengine.runner.log_processor', _patch_log_processor),
)
