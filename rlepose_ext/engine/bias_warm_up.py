"""YOLOv5's warm-up: weights start from a rate of 0, biases from a high one."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from rlepose_ext.checks import check_counts, check_factors
from rlepose_ext.errors import UserError
from rlepose_ext.registry import HOOKS


@HOOKS.register_module()
class BiasWarmUpHook(Hook):
    """Lead learning rates and momentum to what the schedules say, in the first iterations.

    In iteration i of n the rate of a group is on the line from its start at 0 to the scheduled one
    at n. Weights start from 0, biases (those of batch norm too) from ``bias_factor`` times their
    rate: the last layer of a detector has to learn first that nearly all of the picture is empty.

    The schedules do not notice: each iteration the hook puts its values in place before the step
    and the scheduled ones back after it. Checkpoints have the scheduled ones.

    Args:
        epochs: n is so many of them,
        min_iters: but at least this number.
        bias_factor: start of the biases' rate, as a multiple of the rate that they begin with.
        momentum: start of the momentum.
    """

    priority = 'HIGHEST'  # before the log reads the rates, and back before the schedules go on

    def __init__(
        self,
        epochs: float = 3,
        min_iters: int = 1000,
        bias_factor: float = 10.0,
        momentum: float = 0.8,
    ) -> None:
        check_factors('BiasWarmUpHook', epochs=epochs, bias_factor=bias_factor, momentum=momentum)
        check_counts('BiasWarmUpHook', least=0, min_iters=min_iters)
        self.epochs, self.min_iters = epochs, min_iters
        self.bias_factor, self.momentum = bias_factor, momentum
        self.iters = 0
        self._biases: set[int] = set()
        self._scheduled: list[tuple[float, float]] = []

    def before_train(self, runner: Runner) -> None:
        """Find the groups of biases.

        Raises:
            UserError: biases share a group with weights.
        """
        self.iters = max(round(self.epochs * len(runner.train_dataloader)), self.min_iters)
        biases = {id(p) for n, p in runner.model.named_parameters() if n.endswith('.bias')}
        groups = runner.optim_wrapper.param_groups
        shares = [{id(p) in biases for p in group['params']} for group in groups]
        if {True, False} in shares:
            raise UserError(
                'BiasWarmUpHook: biases and weights are one group of the optimizer. Set '
                'optim_wrapper.paramwise_cfg=dict(bias_decay_mult=0.0), which gives each parameter '
                'a group of its own.'
            )
        self._biases = {number for number, share in enumerate(shares) if share == {True}}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Put the values of this iteration in place."""
        if runner.iter >= self.iters:
            return
        share = runner.iter / self.iters
        groups = runner.optim_wrapper.param_groups
        self._scheduled = [(group['lr'], group['momentum']) for group in groups]
        for number, group in enumerate(groups):
            bias = number in self._biases
            start = self.bias_factor * group.get('initial_lr', group['lr']) if bias else 0.0
            group['lr'] = start + share * (group['lr'] - start)
            group['momentum'] = self.momentum + share * (group['momentum'] - self.momentum)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Put the scheduled values back."""
        groups = runner.optim_wrapper.param_groups
        for group, (rate, momentum) in zip(groups, self._scheduled, strict=False):
            group['lr'], group['momentum'] = rate, momentum
        self._scheduled = []
