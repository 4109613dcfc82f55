"""``rlepose train`` and ``rlepose test`` hand over what mim would, after checks."""

import os
import runpy
import shlex

import pytest
import torch

from rlepose_ext import gpus
from rlepose_ext.cli import launch, main

TWO_MACHINES = ['--launcher', 'pytorch', '--nnodes', '2']


@pytest.fixture(autouse=True)
def _started_by_nobody(monkeypatch):
    """As on a machine without Slurm and torchrun, whatever started these tests."""
    for name in os.environ:
        if name.startswith(('SLURM_', 'TORCHELASTIC_')) or name in ('LOCAL_RANK', 'WORLD_SIZE'):
            monkeypatch.delenv(name)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'a config.py'
    path.write_text('model = dict()\n')
    return str(path)


@pytest.fixture
def handed_over(monkeypatch):
    """The command line that MMPose's script would get."""
    commands = []
    monkeypatch.setattr(launch, 'run_script', lambda command: commands.append(command) or 0)
    return commands


def test_train_forwards_mmpose_arguments(config, handed_over):
    options = ['--work-dir', 'a b', '--amp', '--resume', '--cfg-options', 'a=1', 'b="c d"']
    assert main.main(['train', config, *options]) == 0
    (command,) = handed_over
    assert command[0].endswith('mmpose/.mim/tools/train.py')
    assert command[1:] == [config, '--launcher', 'none', *options]


def test_test_takes_mims_checkpoint_option(config, handed_over, tmp_path):
    checkpoint = tmp_path / 'epoch_1.pth'
    checkpoint.touch()
    assert main.main(['test', config, '-C', str(checkpoint), '--dump', 'out.pkl']) == 0
    (command,) = handed_over
    assert command[0].endswith('mmpose/.mim/tools/test.py')
    assert command[1:] == [config, str(checkpoint), '--launcher', 'none', '--dump', 'out.pkl']


@pytest.mark.parametrize('checkpoint', ['auto', 'https://host/epoch_1.pth', 'a b.pth'])
def test_a_checkpoint_to_resume_from(config, handed_over, tmp_path, monkeypatch, checkpoint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a b.pth').touch()
    assert main.main(['train', config, '--resume', checkpoint]) == 0
    assert handed_over[0][-2:] == ['--resume', checkpoint]


def test_mmpose_clean_spelling(config, handed_over):
    assert main.main(['train', '--cfg_file', config, '--cfg-options', 'a=1']) == 0
    assert handed_over[0][1] == config


def test_missing_config_is_refused(capsys, handed_over):
    # This base name exists inside mmpose: mim would train that one.
    name = 'configs/td-reg_res50_rle-8xb64-210e_coco-256x192.py'
    assert main.main(['train', name]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert 'does not exist' in error
    assert handed_over == []


def test_missing_checkpoint_is_refused(capsys, config):
    assert main.main(['test', config, '-C', 'nowhere.pth']) == 2
    assert 'nowhere.pth' in capsys.readouterr().err


def test_unknown_option_is_refused(config, handed_over):
    with pytest.raises(SystemExit) as stop:
        main.main(['train', config, '--no-validat3'])
    assert stop.value.code == 2
    assert handed_over == []


def test_more_processes_than_gpus_is_refused(config, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert main.main(['train', config, '--launcher', 'pytorch', '--gpus', '3']) == 2
    error = capsys.readouterr().err
    assert '--gpus 3' in error
    assert '--gpus 2' in error


@pytest.mark.parametrize(
    ('options', 'remedy'),
    [
        (['--gpus', '8'], '--launcher pytorch'),
        (['--gpus', '0'], 'CUDA_VISIBLE_DEVICES='),
        (['--launcher', 'pytorch', '--gpus', '-1'], 'CUDA_VISIBLE_DEVICES='),
        (['--cfg_file', 'other.py'], 'give one'),
        (['--port', '99999'], 'from 1 to 65535'),
        (['--resume', 'nowhere.pth'], "checkpoint 'nowhere.pth' does not exist"),
        (['--resume='], "checkpoint '' does not exist"),
    ],
)
def test_what_would_silently_do_something_else_is_refused(
    config, handed_over, capsys, options, remedy
):
    assert main.main(['train', config, *options]) == 2
    assert remedy in capsys.readouterr().err
    assert handed_over == []


@pytest.fixture
def no_gpu_seen(monkeypatch, tmp_path):
    """As where torch sees none, whatever this machine has; returns the folder of its devices."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    devices = tmp_path / 'dev'
    devices.mkdir()
    monkeypatch.setattr(gpus, '_DEVICES', devices)
    return devices


# What says that there are GPUs: the environment, and files of the driver.
GPUS_THERE = [
    ({'CUDA_VISIBLE_DEVICES': '2,3'}, []),
    ({'SLURM_GPUS_ON_NODE': '2'}, []),
    ({}, ['nvidia0', 'nvidia1', 'nvidiactl']),
]


@pytest.mark.parametrize(('env', 'devices'), GPUS_THERE)
@pytest.mark.parametrize('options', [['--launcher', 'pytorch', '--gpus', '2'], ['--gpus', '1']])
def test_gpus_are_not_exchanged_for_the_cpu(
    config, handed_over, became, capsys, monkeypatch, no_gpu_seen, env, devices, options
):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for name in devices:
        (no_gpu_seen / name).touch()
    assert main.main(['train', config, *options]) == 2
    assert 'torch sees no GPU' in capsys.readouterr().err
    assert handed_over == became == []
    # Nothing was asked for: a warning, and stock behaviour.
    assert main.main(['train', config]) == 0
    assert 'warning: torch sees no GPU' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('env', 'devices'),
    [
        ({}, []),
        # An installed driver without a GPU.
        ({}, ['nvidiactl', 'nvidia-uvm']),
        ({'CUDA_VISIBLE_DEVICES': ''}, ['nvidia0']),
        ({'CUDA_VISIBLE_DEVICES': '-1'}, ['nvidia0']),
        ({'CUDA_VISIBLE_DEVICES': '', 'SLURM_GPUS_ON_NODE': '2'}, []),
        # A step without a GPU, of a job with two.
        ({'SLURM_JOB_GPUS': '0,1'}, []),
    ],
)
def test_the_cpu_where_it_is_meant(config, capsys, became, monkeypatch, no_gpu_seen, env, devices):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for name in devices:
        (no_gpu_seen / name).touch()
    main.main(['train', config, '--launcher', 'pytorch', '--gpus', '3'])
    assert '--nproc_per_node=3' in became[0]
    assert capsys.readouterr().err == ''


@pytest.fixture
def became(monkeypatch):
    """The command lines that would replace this process."""
    commands = []
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    monkeypatch.setattr(launch.os, 'execvp', lambda file, argv: commands.append(argv))
    return commands


def test_torchrun_starts_this_command_again_for_each_rank(config, became):
    options = ['--work-dir', 'a b', '--cfg-options', 'a=1', 'b="c d"']
    main.main(
        ['train', config, '--launcher', 'pytorch', '--gpus', '2', '--port', '29501', *options]
    )
    (argv,) = became
    assert argv[1:5] == ['-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=29501']
    assert argv[5:] == [
        '-m', 'rlepose_ext.cli.main', 'train', config, '--launcher', 'pytorch', *options
    ]  # fmt: skip


def test_a_rank_of_torchrun_runs_the_script(config, handed_over, became, monkeypatch):
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'x')
    monkeypatch.setenv('LOCAL_RANK', '1')
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert main.main(['train', config, '--launcher', 'pytorch']) == 0
    assert handed_over[0][1:] == [config, '--launcher', 'pytorch']
    assert became == []


def test_several_machines(config, became):
    nodes = ['--nnodes', '2', '--node-rank', '1', '--master-addr', 'host0']
    main.main(['train', config, '--launcher', 'pytorch', '--gpus', '4', *nodes])
    assert became[0][3:8] == [
        '--nproc_per_node=4', '--nnodes=2', '--node_rank=1', '--master_addr=host0',
        '--master_port=29500',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ([*TWO_MACHINES, '--node-rank', '0'], '--master-addr, the address'),
        ([*TWO_MACHINES, '--master-addr', 'h'], '--node-rank, its number'),
        ([*TWO_MACHINES, '--master-addr', 'h', '--node-rank', '2'], 'numbered from 0'),
        (['--launcher', 'pytorch', '--nnodes', '0'], 'numbered from 0'),
        (['--launcher', 'pytorch', '--port', '-1'], 'from 1 to 65535'),
        (['--launcher', 'pytorch', '--port', '0'], 'Leave it out'),
        (['--launcher', 'pytorch', '--node-rank', '1'], '--node-rank 1 of --nnodes 1'),
        (['--launcher', 'pytorch', '--partition', 'p'], 'without --launcher slurm'),
        (['--gpus-per-node', '2'], 'without --launcher slurm'),
        (['--launcher', 'slurm', '--nnodes', '2'], 'without --launcher pytorch'),
    ],
)
def test_options_that_do_not_fit_are_refused(config, became, capsys, options, message):
    assert main.main(['train', config, *options]) == 2
    assert message in capsys.readouterr().err
    assert became == []


@pytest.mark.parametrize(
    'ranks',
    [
        {'SLURM_STEP_ID': '0', 'SLURM_PROCID': '1', 'SLURM_NTASKS': '2'},
        {'TORCHELASTIC_RUN_ID': 'x', 'LOCAL_RANK': '1', 'WORLD_SIZE': '2'},
    ],
    ids=['srun', 'torchrun'],
)
def test_several_processes_without_a_launcher_are_refused(
    config, handed_over, capsys, monkeypatch, ranks
):
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    assert main.main(['train', config]) == 2
    assert 'one of 2 processes' in capsys.readouterr().err
    assert handed_over == []


def test_dry_run_prints_a_command_for_the_shell(config, handed_over, capsys):
    assert main.main(['train', config, '--work-dir', 'a b', '--dry-run']) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[1:] == [config, '--launcher', 'none', '--work-dir', 'a b']
    assert handed_over == []


@pytest.mark.parametrize('command', ['train', 'test', 'doctor', 'convert', 'quickstart'])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main.main([command, '--help'])
    assert stop.value.code == 0
    assert command in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(['--version'])
    assert stop.value.code == 0
    assert 'rlepose_ext' in capsys.readouterr().out


def test_a_seed_is_an_override_of_the_config(config, handed_over, monkeypatch):
    options = ['--cfg-options', 'a=1', '--seed', '7', '--amp']
    assert main.main(['train', config, *options]) == 0
    (command,) = handed_over
    # as MMPose's own script reads it
    parse_args = runpy.run_path(command[0])['parse_args']
    monkeypatch.setattr('sys.argv', command)
    monkeypatch.setenv('LOCAL_RANK', '0')
    assert parse_args().cfg_options == {'a': 1, 'randomness.seed': 7}


@pytest.mark.parametrize('seed', ['-1', str(2**32), 'x'])
def test_what_is_no_seed_is_refused(config, handed_over, seed):
    with pytest.raises(SystemExit) as stop:
        main.main(['train', config, '--seed', seed])
    assert stop.value.code == 2
    assert handed_over == []


def test_a_process_of_a_launcher_does_not_start_tests_itself(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'x')
    monkeypatch.setenv('LOCAL_RANK', '0')
    checkpoint = tmp_path / 'epoch_1.pth'
    checkpoint.touch()
    command = ['test', config, '-C', str(checkpoint), '--launcher', 'pytorch', '--boxes', 'gt']
    assert main.main(command) == 2
    assert 'leave out srun or torchrun' in capsys.readouterr().err
