"""Checkpoints of mmengine load safely; everything that could run code is refused."""

import hashlib
import os
import pickle
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from attack import malicious
from mmengine.config import ConfigDict
from mmengine.infer import BaseInferencer
from mmengine.model import BaseModel
from mmengine.optim.scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingMomentum,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolyLR,
    ReduceOnPlateauLR,
    StepLR,
)
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn
from torch.utils.data import Dataset

from rlepose_ext.checkpoints.safe_load import TRUST, load_file
from rlepose_ext.errors import UserError


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 2)

    def forward(self, inputs, mode='tensor'):
        out = self.head(self.backbone(torch.stack(inputs)))
        return {'loss': out.square().mean()} if mode == 'loss' else out


class Inferencer(BaseInferencer):
    _init_pipeline = postprocess = visualize = None


class Points(Dataset):
    metainfo = {
        'dataset_name': 'points',
        'sigmas': np.array([0.026, 0.025], np.float32),
        'weights': np.array([1, 1.5], np.float32),
        'flip_indices': [1, 0],
        'names': np.array(['left', 'right']),
        'mask': np.array([True, False]),
        'classes': ConfigDict(person=ConfigDict(id=1)),
        'best': np.float64(0.25),
        'ids': {1, 2},
    }

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {'inputs': torch.full((3,), float(index))}


def make_runner(work_dir, epochs=2, **kwargs):
    return Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader={
            'dataset': Points(),
            'batch_size': 4,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'pseudo_collate'},
        },
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}},
        param_scheduler=[
            {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 2},
            {'type': 'MultiStepLR', 'milestones': [1], 'by_epoch': True},
            {'type': 'CosineAnnealingMomentum', 'T_max': 2},
        ],
        custom_hooks=[{'type': 'EMAHook'}],
        default_scope='mmengine',
        experiment_name=f'toy_{work_dir.name}_{epochs}_{len(kwargs)}',
        **kwargs,
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A runner that has trained two epochs, and its last checkpoint."""
    torch.manual_seed(0)
    runner = make_runner(tmp_path_factory.mktemp('toy'))
    runner.message_hub.update_info('best_score', np.float32(0.5))
    runner.train()
    return runner, os.path.join(runner.work_dir, 'epoch_2.pth')


# ------------------------------------------------------------- what mmengine writes


def test_torch_alone_refuses_what_mmengine_writes(trained):
    # the reason for the patch: red here means that it can be deleted
    with pytest.raises(pickle.UnpicklingError):
        torch.load(trained[1], weights_only=True)


def test_runner_checkpoint_loads_and_is_equal(trained):
    _, file = trained
    checkpoint = CheckpointLoader.load_checkpoint(file, map_location='cpu')
    expected = torch.load(file, weights_only=False)
    assert checkpoint.keys() == expected.keys()
    assert {'optimizer', 'param_schedulers', 'message_hub', 'ema_state_dict'} <= set(checkpoint)
    assert pickle.dumps(checkpoint['meta']['dataset_meta']) == pickle.dumps(Points.metainfo)
    logged = checkpoint['message_hub']['log_scalars']['train/loss']
    np.testing.assert_array_equal(
        logged.data[0], expected['message_hub']['log_scalars']['train/loss'].data[0]
    )
    assert logged.statistics('mean', 2) == logged.data[0].mean()
    assert checkpoint['message_hub']['runtime_info']['best_score'] == np.float32(0.5)


def test_resume_goes_on_where_training_stopped(trained, tmp_path):
    before, file = trained
    runner = make_runner(tmp_path, epochs=3, resume=True, load_from=file)
    runner.load_or_resume = partial(_resume_and_check, runner, before)
    runner.train()
    assert runner.epoch == 3
    assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 3


def _resume_and_check(runner, before):
    Runner.load_or_resume(runner)
    assert (runner.epoch, runner.iter) == (2, 2)
    ours = runner.optim_wrapper.optimizer.state_dict()['state'][0]['momentum_buffer']
    theirs = before.optim_wrapper.optimizer.state_dict()['state'][0]['momentum_buffer']
    assert torch.equal(ours, theirs)
    assert ours.abs().sum() > 0


@pytest.mark.parametrize(('scheduler', 'options'), [
    (ConstantLR, {}),
    (CosineAnnealingLR, {'T_max': 3}),
    (CosineAnnealingMomentum, {'T_max': 3}),
    (ExponentialLR, {'gamma': 0.9}),
    (LinearLR, {}),
    (MultiStepLR, {'milestones': [1, 2]}),
    (OneCycleLR, {'eta_max': 1.0, 'total_steps': 5}),
    (OneCycleLR, {'eta_max': 1.0, 'total_steps': 5, 'anneal_strategy': 'linear'}),
    (PolyLR, {}),
    (ReduceOnPlateauLR, {'monitor': 'loss'}),
    (StepLR, {'step_size': 2}),
])  # fmt: skip
def test_scheduler_states_are_on_the_list(tmp_path, scheduler, options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
    state = scheduler(optimizer, **options).state_dict()
    torch.save(state, tmp_path / 'state.pth')
    assert load_file(tmp_path / 'state.pth') == state


@pytest.mark.parametrize('core', ['numpy.core', 'numpy._core'])
def test_arrays_of_both_numpy_generations(tmp_path, core):
    file = tmp_path / 'array.pth'
    values = {
        'array': np.arange(6, dtype='>i2').reshape(2, 3),
        'columns': np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        'texts': np.array([['left', ''], ['right', 'ä']]),
        'bytes': np.array([b'a', b'bc']),
        'complex': np.array(1 + 2j),
        'mask': np.array([True, False]),
        'scalar': np.float16(0.5),
        'name': np.str_('left'),
        'nothing': np.str_(''),
    }
    torch.save(values, file, _use_new_zipfile_serialization=False)
    ours = np.empty(0).__reduce__()[0].__module__.removesuffix('.multiarray').encode()
    data = file.read_bytes()
    assert ours in data
    file.write_bytes(data.replace(ours + b'.', core.encode() + b'.'))
    loaded = load_file(file)
    for name, value in values.items():
        assert type(loaded[name]) is type(value)
        # numpy itself turns arrays into the machine's byte order
        assert loaded[name].dtype == value.dtype.newbyteorder('=')
        np.testing.assert_array_equal(loaded[name], value)
    loaded['array'][0, 0] = 7  # memory of its own
    assert loaded['columns'].flags.f_contiguous


# ------------------------------------------------------------------------- refusals


@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_refused_and_not_run(tmp_path, monkeypatch, zipped):
    file, executed = malicious(tmp_path, _use_new_zipfile_serialization=zipped)
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(UserError) as error:
        CheckpointLoader.load_checkpoint(str(file))
    message = str(error.value)
    assert str(file) in message
    assert 'posix.mkdir' in message
    assert f'{TRUST}={hashlib.sha256(file.read_bytes()).hexdigest()}' in message
    assert not executed.exists()


def test_trusted_by_its_sum_it_loads(tmp_path, monkeypatch):
    file, executed = malicious(tmp_path)
    sums = ['0' * 64, hashlib.sha256(file.read_bytes()).hexdigest().upper()]
    monkeypatch.setenv(TRUST, ', '.join(sums))
    checkpoint = CheckpointLoader.load_checkpoint(str(file), map_location='cpu')
    assert torch.equal(checkpoint['state_dict']['w'], torch.ones(2))
    assert executed.is_dir()


def test_trust_in_another_file_does_not_help(tmp_path, monkeypatch):
    file, executed = malicious(tmp_path)
    monkeypatch.setenv(TRUST, hashlib.sha256(b'another').hexdigest())
    with pytest.raises(UserError, match='was not loaded'):
        load_file(file)
    monkeypatch.setenv(TRUST, '1')
    with pytest.raises(UserError, match='64 hexadecimal'):
        load_file(file)
    assert not executed.exists()


@pytest.fixture
def elsewhere(monkeypatch):
    """A function that lets mmengine's backends of other services find a local file."""

    def offer(file):
        content = file.read_bytes()
        entry = f'{{"model": "{file}"}}'
        (file.parent / 'open_mmlab.json').write_text(entry)
        monkeypatch.setenv('MMENGINE_HOME', str(file.parent))
        # the clients of the other two are not public
        download = SimpleNamespace(
            name='model.pth', download=lambda path: Path(path).write_bytes(content)
        )
        pavi = ModuleType('pavi')
        pavi.modelcloud = SimpleNamespace(get=lambda path: download)
        petrel = ModuleType('petrel_client.client')
        petrel.Client = lambda **_: SimpleNamespace(Get=lambda path: content)
        modules = {
            'pavi': pavi,
            'petrel_client': ModuleType('petrel_client'),
            'petrel_client.client': petrel,
        }
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)

    return offer


ELSEWHERE = ['open-mmlab://model', 'openmmlab://model', 's3://bucket/model.pth', 'pavi://model']


@pytest.mark.parametrize('address', ELSEWHERE)
def test_other_backends_of_mmengine_use_the_list_too(
    trained, tmp_path, monkeypatch, elsewhere, address
):
    good = tmp_path / 'good.pth'
    good.write_bytes(Path(trained[1]).read_bytes())
    elsewhere(good)
    checkpoint = CheckpointLoader.load_checkpoint(address)
    assert isinstance(checkpoint['meta']['dataset_meta']['sigmas'], np.ndarray)
    bad, executed = malicious(tmp_path)
    elsewhere(bad)
    with pytest.raises(UserError, match=r'posix\.mkdir'):
        CheckpointLoader.load_checkpoint(address)
    assert not executed.exists()


def test_config_text_in_a_checkpoint_is_not_executed(trained, tmp_path):
    # mmengine's resume() would run meta['config'] as a Python file
    executed = tmp_path / 'executed'
    checkpoint = load_file(trained[1])
    checkpoint['meta']['config'] = f'__import__("os").mkdir({str(executed)!r})\n'
    torch.save(checkpoint, tmp_path / 'text.pth')
    runner = make_runner(tmp_path, epochs=4, resume=True, load_from=str(tmp_path / 'text.pth'))
    runner.train()
    assert runner.epoch == 4
    assert not executed.exists()


def test_inferencer_does_not_execute_the_config_in_its_weights(tmp_path, monkeypatch):
    file, executed = tmp_path / 'weights.pth', tmp_path / 'executed'
    code = f'__import__("os").mkdir({str(executed)!r})\nmodel = 1\n'
    torch.save({'state_dict': {}, 'meta': {}, 'message_hub': {'runtime_info': {'cfg': code}}}, file)
    inferencer = object.__new__(Inferencer)
    with pytest.raises(UserError, match='config is needed'):
        inferencer._init_model(ConfigDict(), str(file))
    assert not executed.exists()
    # the guard is what stood in the way
    monkeypatch.setenv(TRUST, hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(AttributeError, match='get'):
        inferencer._init_model(ConfigDict(), str(file))
    assert executed.exists()


# -------------------------------------------------------------------- damaged files


@pytest.mark.parametrize('keep', [0, 3, 500, -20])
def test_truncated_file_is_named(trained, tmp_path, keep):
    file = tmp_path / 'short.pth'
    with open(trained[1], 'rb') as stream:
        file.write_bytes(stream.read()[:keep])
    with pytest.raises(UserError, match='cannot be read') as error:
        CheckpointLoader.load_checkpoint(str(file))
    assert str(file) in str(error.value)


@pytest.mark.parametrize(('content', 'found'), [
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\n', 'git lfs pull'),
    (b'<!DOCTYPE html><html>404</html>', 'web page'),
    (b'not a checkpoint at all', 'no torch file'),
    (None, 'does not exist'),
])  # fmt: skip
def test_what_is_no_checkpoint(tmp_path, content, found):
    if content:
        (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises(UserError, match=found) as error:
        load_file(tmp_path / 'x.pth')
    assert isinstance(error.value, FileNotFoundError) == (content is None)
