"""Rates in the first iterations are on a line to the schedule's, which goes on unchanged."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from rlepose_ext.engine.hooks import BiasWarmUpHook
from rlepose_ext.errors import UserError

ITERATIONS, EPOCHS = 5, 4


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x, mode='loss'):
        return {'loss': self.norm(self.conv(x)).square().mean()}


class Watch(Hook):
    """What the optimizer's groups are in each step, and what is left after it."""

    priority = 'NORMAL'

    def __init__(self):
        self.used, self.left = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.used.append([(g['lr'], g['momentum']) for g in runner.optim_wrapper.param_groups])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.left.append([(g['lr'], g['momentum']) for g in runner.optim_wrapper.param_groups])


def train(folder, hook, paramwise=True):
    samples = [{'x': torch.randn(1, 4, 4)} for _ in range(2 * ITERATIONS)]
    optimizer = {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9, 'weight_decay': 1e-4}
    runner = Runner(
        Model(),
        work_dir=str(folder),
        train_dataloader=DataLoader(samples, batch_size=2),
        train_cfg={'by_epoch': True, 'max_epochs': EPOCHS},
        optim_wrapper={
            'optimizer': optimizer,
            'paramwise_cfg': {'bias_decay_mult': 0.0} if paramwise else None,
        },
        param_scheduler={'type': 'MultiStepLR', 'milestones': [1], 'gamma': 0.5},
        default_hooks={'checkpoint': None, 'logger': None},
        custom_hooks=[hook] if hook else [],
        experiment_name=f'{folder.name}_{hook is None}_{paramwise}',
    )
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    return runner, watch


def test_rates_of_each_iteration(tmp_path):
    hook = BiasWarmUpHook(epochs=1.6, min_iters=3, bias_factor=10, momentum=0.5)
    runner, watch = train(tmp_path / 'with', hook)
    _, plain = train(tmp_path / 'without', None)
    names = [name for name, _ in runner.model.named_parameters()]
    assert hook.iters == 8
    for i in range(ITERATIONS * EPOCHS):
        share = min(i / 8, 1)
        scheduled = 0.01 if i < ITERATIONS else 0.005
        # behind them stands MMEngine's group of no parameter, for the log
        for name, (rate, momentum) in zip(names, watch.used[i][:-1], strict=True):
            start = 0.1 if name.endswith('.bias') else 0.0
            assert rate == pytest.approx(start + share * (scheduled - start)), (i, name)
            assert momentum == pytest.approx(0.5 + share * 0.4)
    # What a checkpoint would have, and what the schedule goes on from.
    assert watch.left == plain.left


def test_at_least_so_many_iterations(tmp_path):
    hook = BiasWarmUpHook(epochs=1, min_iters=12)
    _, watch = train(tmp_path, hook)
    assert hook.iters == 12
    assert watch.used[11][0][0] < 0.005
    assert watch.used[12][0] == (0.005, 0.9)


def test_biases_among_weights_are_an_error(tmp_path):
    with pytest.raises(UserError, match='paramwise_cfg'):
        train(tmp_path, BiasWarmUpHook(), paramwise=False)
