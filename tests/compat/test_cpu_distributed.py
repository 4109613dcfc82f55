"""Training in several processes without a GPU, and too few GPUs.

Real trainings of two processes are in tests/tools/test_launched_training.py and tests/distributed.
"""

import logging
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as torch_dist
from mmengine.dist import init_dist
from mmengine.dist import utils as dist_utils
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from rlepose_ext.errors import UserError

cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def environment(monkeypatch):
    """One process that a launcher could have started; the group is ended afterwards."""
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    monkeypatch.setenv('MASTER_PORT', free_port())
    # left behind by mmengine's Slurm initialiser
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'SLURM_LOCALID'):
        monkeypatch.setenv(name, '0')
        monkeypatch.delenv(name)
    yield monkeypatch
    if torch_dist.is_initialized():
        torch_dist.destroy_process_group()


@cpu_only
@pytest.mark.parametrize('local_id', ['0', None])
def test_slurm_starts_on_gloo(environment, local_id):
    environment.setenv('SLURM_PROCID', '0')
    environment.setenv('SLURM_NTASKS', '1')
    environment.setenv('SLURM_NODELIST', 'node7')
    if local_id is not None:
        environment.setenv('SLURM_LOCALID', local_id)
    asked = []
    environment.setattr(dist_utils.subprocess, 'getoutput', lambda c: asked.append(c) or 'node7')
    set_device = torch.cuda.set_device
    init_dist('slurm', backend='nccl')
    assert 'node7' in asked[0]
    assert torch_dist.get_backend() == 'gloo'
    assert torch_dist.get_world_size() == 1
    assert os.environ['LOCAL_RANK'] == '0'
    assert torch.cuda.set_device is set_device


@cpu_only
def test_torchrun_starts_on_gloo_and_keeps_other_options(environment):
    for name, value in {'RANK': '0', 'LOCAL_RANK': '0', 'WORLD_SIZE': '1'}.items():
        environment.setenv(name, value)
    init_dist('pytorch', backend='nccl', timeout=60)
    assert torch_dist.get_backend() == 'gloo'


@pytest.mark.parametrize(('launcher', 'variables'), [
    ('pytorch', {'RANK': '0', 'LOCAL_RANK': '0', 'LOCAL_WORLD_SIZE': '3', 'WORLD_SIZE': '3'}),
    ('slurm', {'SLURM_LOCALID': '2', 'SLURM_PROCID': '2', 'SLURM_NTASKS': '3'}),
    ('mpi', {'OMPI_COMM_WORLD_LOCAL_RANK': '2'}),
])  # fmt: skip
def test_more_processes_than_gpus(environment, launcher, variables):
    for name, value in variables.items():
        environment.setenv(name, value)
    environment.setattr(torch.cuda, 'is_available', lambda: True)
    environment.setattr(torch.cuda, 'device_count', lambda: 2)
    with pytest.raises(UserError, match=r'3 processes.*2 GPU.*CUDA_VISIBLE_DEVICES='):
        init_dist(launcher, backend='nccl')
    assert not torch_dist.is_initialized()


# What real Slurm sets, see tests/slurm; the number of GPUs that a task sees, and the one it takes.
@pytest.mark.parametrize(('slurm', 'seen', 'device'), [
    # one task of a job that asked for eight on a node
    ({'NTASKS_PER_NODE': '8', 'STEP_TASKS_PER_NODE': '1', 'LOCALID': '0'}, 1, 0),
    # --gpus-per-task=1: each task sees its own GPU as number 0
    ({'GPUS_ON_NODE': '4', 'STEP_TASKS_PER_NODE': '4', 'LOCALID': '3'}, 1, 0),
    # --gpu-bind=closest: two tasks for each half of a node
    ({'GPUS_ON_NODE': '4', 'STEP_TASKS_PER_NODE': '4', 'LOCALID': '3'}, 2, 1),
    ({'STEP_TASKS_PER_NODE': '4(x2),2', 'NODEID': '2', 'LOCALID': '1'}, 2, 1),
    # the first node of that step, and --gpus=1 for two tasks
    ({'STEP_TASKS_PER_NODE': '4(x2),2', 'NODEID': '0', 'LOCALID': '1'}, 2, None),
    ({'GPUS_ON_NODE': '1', 'STEP_TASKS_PER_NODE': '2', 'LOCALID': '0'}, 1, None),
])  # fmt: skip
def test_the_gpu_of_a_slurm_task(environment, slurm, seen, device):
    slurm = {'PROCID': '0', 'NTASKS': '1', 'NODELIST': 'localhost', **slurm}
    for name, value in slurm.items():
        environment.setenv(f'SLURM_{name}', value)
    environment.setattr(torch.cuda, 'is_available', lambda: True)
    environment.setattr(torch.cuda, 'device_count', lambda: seen)
    chosen = []
    environment.setattr(torch.cuda, 'set_device', chosen.append)
    if device is None:
        with pytest.raises(UserError, match='each needs one of its own'):
            init_dist('slurm', backend='gloo')
    else:
        init_dist('slurm', backend='gloo')
        # mmengine wraps the model for the GPU that this names
        assert chosen == [device] == [int(os.environ['LOCAL_RANK'])]


@cpu_only
@pytest.mark.parametrize(('wrapper', 'unused'), [
    (None, True),
    ({'find_unused_parameters': True}, True),
    ({'type': 'DistributedDataParallel'}, False),
    ({'type': 'MMSeparateDistributedDataParallel'}, None),
])  # fmt: skip
def test_wrappers_take_cpu_modules(environment, wrapper, unused):
    for name, value in {'RANK': '0', 'LOCAL_RANK': '0', 'WORLD_SIZE': '1'}.items():
        environment.setenv(name, value)
    init_dist('pytorch', backend='nccl')
    runner = SimpleNamespace(
        distributed=True,
        world_size=1,
        cfg={'sync_bn': 'torch', 'find_unused_parameters': True},
        logger=logging.getLogger('wrap'),
    )
    model = nn.Sequential(nn.Linear(3, 4), nn.SyncBatchNorm(4))
    wrapped = Runner.wrap_model(runner, wrapper, model)
    assert is_model_wrapper(wrapped)
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in wrapped.modules())
    assert {p.device.type for p in wrapped.parameters()} == {'cpu'}
    if unused is not None:
        assert wrapped.find_unused_parameters is unused
        wrapped(torch.ones(2, 3)).sum().backward()
    assert Runner.wrap_model(runner, None, wrapped) is wrapped


AT_EXIT = """
import atexit
import torch.distributed as dist
# the last one registered is the first one called
atexit.register(lambda: print('group left:', not dist.is_initialized()))
import rlepose_ext
from mmengine.dist import init_dist
init_dist('pytorch', backend='gloo')
print('group started:', dist.is_initialized())
"""


@pytest.mark.slow
@cpu_only
def test_the_group_is_ended_at_exit():
    """Otherwise two processes of gloo abort at about every second exit."""
    place = {'RANK': '0', 'LOCAL_RANK': '0', 'WORLD_SIZE': '1', 'MASTER_ADDR': '127.0.0.1'}
    env = {**os.environ, **place, 'MASTER_PORT': free_port()}
    run = subprocess.run([sys.executable, '-c', AT_EXIT], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.splitlines() == ['group started: True', 'group left: True']
