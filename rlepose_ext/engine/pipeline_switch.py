"""Train the last epochs with another pipeline, usually one that augments less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmengine.dataset import Compose
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from rlepose_ext.errors import UserError
from rlepose_ext.registry import HOOKS


def pipeline_owners(dataset: object) -> Iterator[object]:
    """The data sets whose ``pipeline`` makes the final samples.

    That is the outermost one with a pipeline of at least one step. Pipelines inside it
    are left alone: those in a ``CombinedDataset`` bring the joints of each part into
    one order. Wrappers without a pipeline (``RepeatDataset``, ``ConcatDataset``,
    ``ClassBalancedDataset``) are looked through, and so is a ``CombinedDataset`` whose
    parts do all the work.
    """
    pipeline = getattr(dataset, 'pipeline', None)
    if getattr(pipeline, 'transforms', None):
        yield dataset
        return
    inner = getattr(dataset, 'datasets', None)
    if inner is None:
        inner = [dataset.dataset] if hasattr(dataset, 'dataset') else []
    for part in inner:
        yield from pipeline_owners(part)


def switch_pipeline(loader: DataLoader, pipeline: Compose) -> int:
    """Give the data set of a loader a new pipeline, from the next epoch on.

    Persistent workers hold a copy of the data set with the old pipeline, so they are
    stopped; the loader starts new ones when it is next iterated.

    Returns:
        The number of data sets changed.
    """
    owners = list(pipeline_owners(loader.dataset))
    for owner in owners:
        owner.pipeline = pipeline
    workers = getattr(loader, '_iterator', None)
    if workers is not None:
        workers._shutdown_workers()
        loader._iterator = None
    return len(owners)


@HOOKS.register_module()
class PipelineSwitchHook(Hook):
    """Switch the training pipeline at the start of an epoch.

    Also in a resumed run: one that starts beyond ``switch_epoch`` begins with the second
    pipeline. mmdet's hook of the same name does not reach a data set inside a wrapper.

    Args:
        switch_epoch: 0-based epoch from which on the second pipeline is used, so that
            ``max_epochs - 30`` stands for the last 30 epochs.
        switch_pipeline: the second pipeline, as a list of transform configs.

    Raises:
        ValueError: ``switch_epoch`` is negative or the pipeline is empty.
    """

    def __init__(self, switch_epoch: int, switch_pipeline: Sequence[dict]) -> None:
        if switch_epoch < 0:
            raise ValueError(f'switch_epoch must not be negative, got {switch_epoch}')
        if not switch_pipeline:
            raise ValueError('switch_pipeline is empty')
        self.switch_epoch = switch_epoch
        self.switch_pipeline = list(switch_pipeline)
        self._pipeline: Compose | None = None
        self._switched = False

    def before_train(self, runner: Runner) -> None:
        """Build the second pipeline now: a mistake in it must not show after days.

        Raises:
            UserError: the loop counts iterations instead of epochs, or the training
                data has no pipeline to switch.
        """
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise UserError(
                'PipelineSwitchHook counts epochs, and this run counts iterations: use '
                "train_cfg=dict(type='EpochBasedTrainLoop', ...) or remove the hook"
            )
        if not any(True for _ in pipeline_owners(runner.train_dataloader.dataset)):
            raise UserError(
                'PipelineSwitchHook found no pipeline in '
                f'{type(runner.train_dataloader.dataset).__name__}; set train_dataloader.dataset'
            )
        if self.switch_epoch >= runner.max_epochs:
            runner.logger.warning(
                f'PipelineSwitchHook: switch_epoch {self.switch_epoch} is never reached, '
                f'max_epochs is {runner.max_epochs}'
            )
        self._pipeline = Compose(self.switch_pipeline)
        self._switched = False

    def before_train_epoch(self, runner: Runner) -> None:
        if self._switched or runner.epoch < self.switch_epoch:
            return
        changed = switch_pipeline(runner.train_dataloader, self._pipeline)
        self._switched = True
        runner.logger.info(
            f'PipelineSwitchHook: second pipeline from epoch {runner.epoch + 1} on '
            f'({changed} data set{"s" if changed > 1 else ""})'
        )
