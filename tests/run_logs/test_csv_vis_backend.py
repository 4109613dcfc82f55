"""What a run logs: CSV by config, images per second, remaining time, TensorBoard."""

import csv
import json
import re
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from rlepose_ext.errors import UserError
from rlepose_ext.registry import VISBACKENDS
from rlepose_ext.run_logs import CSVVisBackend
from rlepose_ext.run_logs.curves import read_run

BACKENDS = [{'type': 'LocalVisBackend'}, {'type': 'rlepose_ext.CSVVisBackend'}]


@DATASETS.register_module()
class SixNumbers(BaseDataset):
    def load_data_list(self):
        return [{'x': float(index)} for index in range(6)]

    def __getitem__(self, index):
        return {'x': torch.tensor([float(index)])}


@METRICS.register_module()
class MeanNumber(BaseMetric):
    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results += [float(x) for x in data_samples]

    def compute_metrics(self, results):
        return {'AP': float(np.mean(results))}


class Scale(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, x, mode='loss'):
        if mode == 'predict':
            return list(x * self.weight)
        self.calls += 1
        # a term that joins in later, as out_of_range_labels does
        extra = {'late': torch.tensor(1.0)} if self.calls > 3 else {}
        return {'loss': (x * self.weight).square().mean(), **extra}


def train(tmp_path, epochs, backends=BACKENDS, hooks=None, **options):
    loader = {'batch_size': 2, 'num_workers': 0, 'dataset': {'type': 'SixNumbers'}}
    loader['sampler'] = {'type': 'DefaultSampler', 'shuffle': False}
    loader['collate_fn'] = {'type': 'default_collate'}
    name = f'{tmp_path.name}_{epochs}_{np.random.default_rng().integers(10**9)}'
    runner = Runner(
        Scale(),
        str(tmp_path),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator={'type': 'MeanNumber'},
        val_cfg={},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}},
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}, **(hooks or {})},
        visualizer={'type': 'Visualizer', 'vis_backends': deepcopy(backends), 'name': name},
        experiment_name=name,
        default_scope='mmpose',
        **options,
    )
    runner.train()
    return runner


def rows_of(path):
    with path.open(newline='') as stream:
        return list(csv.DictReader(stream))


def test_a_run_and_its_continuation_are_one_table(tmp_path):
    runner = train(tmp_path, 2)
    first = (tmp_path / 'train.csv').read_text()
    # two starts within one second would share the folder
    (tmp_path / runner.timestamp).rename(tmp_path / '20200101_000000')
    runner = train(tmp_path, 3, resume=True)
    assert len(list(tmp_path.glob('*/vis_data/scalars.json'))) == 2

    rows = rows_of(tmp_path / 'train.csv')
    assert [row['step'] for row in rows] == [str(step) for step in range(1, 10)]
    assert (tmp_path / 'train.csv').read_text().startswith(first.partition('\n')[0])
    assert rows[0]['late'] == ''
    assert rows[5]['late'] == '1.0'
    assert {'loss', 'lr', 'time', 'epoch', 'images/s'} <= set(rows[0])
    val = rows_of(tmp_path / 'val.csv')
    assert [row['step'] for row in val] == ['1', '2', '3']
    assert all(row['toy/AP'] for row in val)
    # the same numbers as MMEngine's own log
    lines = (tmp_path / runner.timestamp / 'vis_data/scalars.json').read_text().split('\n')
    logged = [json.loads(line) for line in lines if 'loss' in line]
    assert [row['loss'] for row in logged] == [float(row['loss']) for row in rows[6:]]


def test_log_has_rate_and_remaining_time(tmp_path):
    runner = train(tmp_path, 2)
    run = read_run(tmp_path)
    assert len(run.train) == 6
    for row in run.train:
        assert row['images/s'] == pytest.approx(2 / row['time'])
    lines = (tmp_path / runner.timestamp / f'{runner.timestamp}.log').read_text().splitlines()
    lines = [line for line in lines if 'Epoch(train)' in line]
    assert len(lines) == 6
    for line in lines:
        assert re.search(r'eta: \d:\d\d:\d\d .*loss: .*images/s: \d+\.\d$', line)


def test_rate_with_hierarchy(tmp_path):
    train(tmp_path, 1, log_processor={'type': 'LogProcessor', 'log_with_hierarchy': True})
    rows = rows_of(tmp_path / 'train.csv')
    assert len(rows) == 3
    for row in rows:
        assert float(row['train/images/s']) == pytest.approx(2 / float(row['train/time']))
    assert 'val/toy/AP' in rows_of(tmp_path / 'val.csv')[0]


def test_no_rate_where_nothing_measures_time(tmp_path):
    train(tmp_path, 1, hooks={'timer': None})
    (first, *_) = rows_of(tmp_path / 'train.csv')
    assert float(first['loss']) == 0.5
    assert 'images/s' not in first


def test_only_numbers_are_written(tmp_path):
    backend = VISBACKENDS.build({'type': 'rlepose_ext.CSVVisBackend', 'save_dir': str(tmp_path)})
    assert isinstance(backend, CSVVisBackend)
    assert backend.experiment is backend
    scalars = {'tensor': torch.tensor(2.5), 'array': np.array([3]), 'np': np.float32(0.5)}
    backend.add_scalars({**scalars, 'text': 'a', 'map': np.ones(2), 'step': 7}, step=1)
    backend.add_scalars({'text': 'a'}, step=2)
    assert (tmp_path / 'val.csv').read_text() == 'step,tensor,array,np\n1,2.5,3,0.5\n'
    assert not (tmp_path / 'train.csv').exists()


def test_full_disk_costs_rows_and_not_the_run(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda text, *_: said.append(text))
    backend = CSVVisBackend(str(tmp_path))
    # a folder where the file should be
    (tmp_path / '.train.csv.part').mkdir()
    for step in (1, 2):
        backend.add_scalars({'iter': step, 'loss': 1.0}, step=step)
    assert len(said) == 1
    assert 'train.csv' in said[0]
    (tmp_path / '.train.csv.part').rmdir()
    backend.add_scalars({'iter': 3, 'loss': 1.0}, step=3)
    assert (tmp_path / 'train.csv').read_text() == 'step,iter,loss\n3,3,1.0\n'


TENSORBOARD = [{'type': 'LocalVisBackend'}, {'type': 'TensorboardVisBackend'}]


def test_what_would_fail_later_is_said_before_the_training(tmp_path, monkeypatch):
    (tmp_path / 'val.csv').write_text('mine\n1\n')
    with pytest.raises(UserError, match=r'val\.csv'):
        train(tmp_path, 1)
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)
    with pytest.raises(ImportError, match=r'pip install .*tensorboard'):
        train(tmp_path, 1, backends=TENSORBOARD)
    assert not (tmp_path / 'epoch_1.pth').exists()


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip('tensorboard', reason='optional: pip install tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runner = train(tmp_path, 1, backends=TENSORBOARD)
    events = EventAccumulator(str(tmp_path / runner.timestamp / 'vis_data'))
    events.Reload()
    run = read_run(tmp_path)
    for name in ('loss', 'images/s'):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        expected = [(row['step'], pytest.approx(row[name], rel=1e-6)) for row in run.train]
        assert found == expected
    assert [event.step for event in events.Scalars('toy/AP')] == [1]
    assert isinstance(runner.visualizer, Visualizer)
