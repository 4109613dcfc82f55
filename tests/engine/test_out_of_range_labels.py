"""How many labels the loss leaves out: in the log of every run, and explained once.

Of several processes: tests/distributed/test_two_ranks.py.
"""

import json
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

from rlepose_ext.models.losses import RLELoss


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.loss_module = RLELoss(use_target_weight=True)

    def forward(self, inputs, weights, mode='loss'):
        zeros = torch.zeros_like(inputs)
        return {'loss': self.loss_module(zeros, zeros, inputs, weights)}


def train(folder, samples):
    """Train on samples one by one; what the log has of them every two iterations, and its text."""
    runner = Runner(
        Net(),
        str(folder),
        train_dataloader={
            'dataset': samples,
            'batch_size': 1,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'default_collate'},
        },
        train_cfg={'by_epoch': True, 'max_epochs': 1},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 1e-3}},
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 2, 'ignore_last': False}},
        # Runs of one second would share a name, and by it a visualizer.
        experiment_name=folder.name,
    )
    runner.train()
    (scalars,) = Path(runner.log_dir).glob('vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    (log,) = Path(runner.log_dir).glob('*.log')
    return [row.get('out_of_range_labels') for row in rows], log.read_text()


def sample(x=0.5, weight=1.0):
    label = torch.full((3, 2), 0.5)
    label[0, 0] = x
    return {'inputs': label, 'weights': torch.full((3,), weight)}


@pytest.mark.parametrize(('samples', 'counts', 'levels'), [
    ([sample()] * 3, [None, None], []),
    ([sample(), sample(99.0), sample(99.0)], [1, 2], ['WARNING']),
    ([sample()] * 4 + [sample(float('nan'), 0.0)], [None, None, 1], ['INFO']),
    ([sample(-99.0, 0.0)] * 2 + [sample(-99.0)], [2, 3], ['INFO', 'WARNING']),
])  # fmt: skip
def test_log(samples, counts, levels, tmp_path):
    found, log = train(tmp_path, samples)
    assert found == counts
    lines = [line for line in log.splitlines() if 'labels so far' in line]
    assert [line.split(' - ')[2].strip() for line in lines] == levels
