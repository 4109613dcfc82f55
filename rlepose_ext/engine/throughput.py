"""Images per second in the log, beside the seconds of an iteration."""

from __future__ import annotations

from mmengine.dist import get_world_size
from mmengine.runner import LogProcessor, Runner

from rlepose_ext.registry import LOG_PROCESSORS

NAME = 'images/s'


@LOG_PROCESSORS.register_module()
class RateLogProcessor(LogProcessor):
    """MMEngine's ``LogProcessor``, whose lines end in ``images/s: 412.9``.

    JSON, CSV and TensorBoard logs have the number under that name.

        images/s = samples of a process's batch * processes / seconds of an iteration

    Seconds are MMEngine's ``time``, its mean over the window of the log (waiting for data is
    part of it). All processes wait for each other in each iteration, so one clock counts for
    all. In top-down training a sample is the crop of one person.
    """

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        tag, line = super().get_log_after_iter(runner, batch_idx, mode)
        # log_with_hierarchy writes train/time
        prefix = f'{mode}/' if self.log_with_hierarchy else ''
        seconds = tag.get(f'{prefix}time')
        size = batch_size_of(getattr(runner, f'{mode}_dataloader'))
        if seconds and size:
            rate = images_per_second(size, get_world_size(), seconds)
            tag[prefix + NAME] = rate
            line = f'{line.rstrip()}  {NAME}: {rate:.1f}'
        return tag, line


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
