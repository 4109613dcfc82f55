"""``rlepose train`` and ``rlepose test``: what each launcher starts, and what is refused first."""

import os
import runpy
import shlex
import socket
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from rlepose_ext import gpus
from rlepose_ext.cli import launch, main, slurm

OPTIONS = ['--work-dir', 'a b', '--cfg-options', 'a=1', 'b="c d"']
PYTORCH = '--launcher pytorch'
TWO_MACHINES = f'{PYTORCH} --nnodes 2'
SLURM = '--launcher slurm --partition debug'
TORCHRUN = {'TORCHELASTIC_RUN_ID': 'x', 'LOCAL_RANK': '1', 'WORLD_SIZE': '2'}


def srun(tasks):
    """The environment of a task of an srun."""
    return {'SLURM_JOB_ID': '7', 'SLURM_STEP_ID': '0', 'SLURM_PROCID': '1', 'SLURM_NTASKS': tasks}


@pytest.fixture(autouse=True)
def programs(monkeypatch, tmp_path):
    """Started by neither Slurm nor torchrun; an srun, and a sinfo that knows two partitions."""
    for name in os.environ:
        if name.startswith(('SLURM_', 'TORCHELASTIC_')):
            monkeypatch.delenv(name)
    for name in ('LOCAL_RANK', 'WORLD_SIZE', 'CUDA_VISIBLE_DEVICES', 'MASTER_PORT'):
        monkeypatch.setenv(name, '')  # so that what a test sets goes away, too
        monkeypatch.delenv(name)
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name, lines in (('srun', ''), ('sinfo', 'echo debug\necho long\n')):
        (folder / name).write_text(f'#!/bin/sh\n{lines}')
        (folder / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}:/bin:/usr/bin')
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(autouse=True)
def no_gpu_seen(monkeypatch, tmp_path):
    """As where torch sees none, whatever this machine has; returns the folder of its devices."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    devices = tmp_path / 'dev'
    devices.mkdir()
    monkeypatch.setattr(gpus, '_DEVICES', devices)
    return devices


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'a config.py'
    path.write_text('model = dict()\n')
    for name in ('epoch 1.pth', 'epoch_1.pth'):
        (tmp_path / name).touch()
    return str(path)


@pytest.fixture
def started(monkeypatch):
    """Command lines that would have been started: MMPose's script here, torchrun, or srun."""
    lines = []
    monkeypatch.setattr(launch, 'run_script', lambda command: lines.append(command) or 0)
    monkeypatch.setattr(launch.os, 'execvp', lambda file, argv: lines.append(argv))
    return lines


def status(*words):
    try:
        return main.main([*words])
    except SystemExit as stop:  # of argparse
        return stop.code


# --- what is started --------------------------------------------------------------------


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (['train', 'CONFIG', '--amp', '--resume', *OPTIONS], ['--amp', '--resume', *OPTIONS]),
        (['train', 'CONFIG', '--resume', 'auto'], ['--resume', 'auto']),
        (['train', 'CONFIG', '--resume', 'https://host/a.pth'], ['--resume', 'https://host/a.pth']),
        (['train', 'CONFIG', '--resume', 'epoch 1.pth'], ['--resume', 'epoch 1.pth']),
        (['train', '--cfg_file', 'CONFIG'], []),  # as MMPose_Clean has it
        (['test', 'CONFIG', '-C', 'epoch 1.pth', '--dump', 'out.pkl'], ['--dump', 'out.pkl']),
    ],
)
def test_mmposes_script_gets_its_arguments(config, started, words, expected):
    assert main.main([config if word == 'CONFIG' else word for word in words]) == 0
    (command,) = started
    assert command[0].endswith(f'mmpose/.mim/tools/{words[0]}.py')
    checkpoint = ['epoch 1.pth'] if words[0] == 'test' else []
    assert command[1:] == [config, *checkpoint, '--launcher', 'none', *expected]


def test_seed_and_compile_are_overrides_of_the_config(config, started, monkeypatch):
    assert (
        main.main(['train', config, '--cfg-options', 'a=1', '--seed', '7', '--compile', '--amp'])
        == 0
    )
    # as MMPose's own script reads it
    parse_args = runpy.run_path(started[0][0])['parse_args']
    monkeypatch.setattr('sys.argv', started[0])
    monkeypatch.setenv('LOCAL_RANK', '0')
    assert parse_args().cfg_options == {
        'a': 1,
        'randomness.seed': 7,
        'compile_backbone': True,
    }


def test_torchrun_starts_this_command_again_for_each_rank(config, started):
    launcher = [*PYTORCH.split(), '--gpus', '2']
    main.main(['train', config, *launcher, '--port', '29501', *OPTIONS])
    main.main(
        ['train', config, *launcher, *['--nnodes', '2', '--node-rank', '1', '--master-addr', 'h']]
    )
    torchrun = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2']
    again = ['-m', 'rlepose_ext.cli.main', 'train', config, '--launcher', 'pytorch']
    nodes = ['--nnodes=2', '--node_rank=1', '--master_addr=h', '--master_port=29500']
    assert started == [
        [*torchrun, '--master_port=29501', *again, *OPTIONS],
        [*torchrun, *nodes, *again],
    ]


def test_srun_line(config, started):
    numbers = ['--gpus', '4', '--gpus-per-node', '2', '--cpus-per-task', '3']
    more = ['--srun-args', '--comment="a b" --gres=gpu:a100:2', '--job-name', 'my job']
    main.main(['train', config, *SLURM.split(), *numbers, *more, *OPTIONS])
    assert started == [[
        'srun', '--partition=debug', '--gres=gpu:2', '--ntasks=4', '--ntasks-per-node=2',
        '--cpus-per-task=3', '--kill-on-bad-exit=1', '--job-name=my job', '--comment=a b',
        '--gres=gpu:a100:2',
        sys.executable, '-u', '-m', 'rlepose_ext.cli.main', 'train', config,
        '--launcher', 'slurm', *OPTIONS,
    ]]  # fmt: skip


def test_defaults_of_srun(config, started, monkeypatch):
    """One GPU, at most eight on a node; no partition inside an allocation."""
    main.main(['test', config, '-C', 'epoch 1.pth', *SLURM.split(), '--port', '12345'])
    assert started[0][2:5] == ['--gres=gpu:1', '--ntasks=1', '--ntasks-per-node=1']
    assert '--job-name=a config_test' in started[0]
    assert started[0][-6:] == ['test', config, '-C', 'epoch 1.pth', '--launcher', 'slurm']
    assert os.environ['MASTER_PORT'] == '12345'
    main.main(['train', config, *SLURM.split(), '--gpus', '16'])
    assert started[1][2:5] == ['--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8']
    monkeypatch.setenv('SLURM_JOB_ID', '7')
    main.main(['train', config, '--launcher', 'slurm'])
    assert not [word for word in started[2] if word.startswith('--partition')]


@pytest.mark.parametrize('value', ['', '--exclusive', '--exclusive --nice', '-x host1'])
def test_srun_args_as_mim_takes_them(config, started, value):
    main.main(['train', config, *SLURM.split(), '--srun-args', value, '--work-dir', 'w'])
    assert started[0][8:-10] == value.split()
    assert started[0][-2:] == ['--work-dir', 'w']


@pytest.mark.parametrize('text', ['#!/bin/sh\nexit 1\n', '#!/bin/sh\n'])
def test_a_silent_sinfo_decides_nothing(config, started, programs, text):
    (programs / 'sinfo').write_text(text)
    main.main(['train', config, '--launcher', 'slurm', '--partition', 'nowhere'])
    assert len(started) == 1


@pytest.mark.parametrize(('launcher', 'env'), [('pytorch', TORCHRUN), ('slurm', srun('2'))])
def test_a_rank_runs_the_script(config, started, monkeypatch, launcher, env):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert main.main(['train', config, '--launcher', launcher]) == 0
    assert started[0][1:] == [config, '--launcher', launcher]
    if launcher == 'slurm':
        assert os.environ['MASTER_PORT'] == str(slurm.step_port(env))


@pytest.mark.parametrize('step', [None, '4294967291', '4294967290'], ids=['-', 'batch', 'shell'])
def test_job_scripts_and_shells_are_no_tasks(step):
    assert not slurm.in_step({'SLURM_PROCID': '0', **({'SLURM_STEP_ID': step} if step else {})})


def test_jobs_that_follow_each_other_use_other_ports():
    ports = {
        slurm.step_port({'SLURM_JOB_ID': str(job), 'SLURM_STEP_ID': str(step)})
        for job in range(1000, 1200)
        for step in range(3)
    }
    assert len(ports) == 600
    assert 20000 <= min(ports) <= max(ports) < 30000


def test_dry_run_prints_a_command_for_the_shell(config, started, capsys):
    assert main.main(['train', config, *OPTIONS, '--dry-run']) == 0
    python, *words = shlex.split(capsys.readouterr().out)
    assert python == sys.executable
    assert words == ['-m', 'rlepose_ext.cli.main', 'train', config, '--launcher', 'none', *OPTIONS]
    assert started == []


def test_data_that_is_not_there_is_told_first(tmp_path, started, capsys, monkeypatch):
    """Before MMPose prints its config, under the overrides and the folder that the run has."""
    path, one = tmp_path / 'c.py', "dict(data_root='data/a/', ann_file='{}.json', bbox_file={})"
    path.write_text(
        'model = dict()\n'
        f'train_dataloader = dict(dataset=dict(datasets=[{one.format("train", None)}]))\n'
        f'val_dataloader = dict(dataset={one.format("val", "None")})\n'
        f'test_dataloader = dict(dataset={one.format("test", repr("data/boxes.json"))})\n'
    )
    data = tmp_path / 'elsewhere'
    (data / 'a').mkdir(parents=True)
    monkeypatch.setenv('RLEPOSE_DATA', str(data))
    train, test = ['train', str(path)], ['test', str(path), '-C', 'epoch_1.pth']
    (tmp_path / 'epoch_1.pth').touch()
    for command, name in (
        (train, 'a/train.json'),
        (train, 'a/val.json'),
        (test, 'a/test.json'),
        (test, 'boxes.json'),
    ):
        assert main.main(command) == 2
        said = capsys.readouterr()
        assert f'{data}/{name} does not exist' in said.err
        assert said.out == ''
        (data / name).touch()
    assert started == []
    (data / 'a/val.json').unlink()
    assert main.main([*train, '--no-validate']) == 0
    assert len(started) == 1
    assert main.main(train) == 2
    assert f'{data}/a/val.json does not exist' in capsys.readouterr().err
    override = '--cfg-options', 'val_dataloader.dataset.ann_file=train.json'
    assert main.main([*train, *override]) == 0
    # where the job runs the data may be, even if it is not here
    for name in ('a/train.json', 'a/test.json'):
        (data / name).unlink()
    assert main.main([*train, *SLURM.split()]) == 0


# --- GPUs, or the CPU -------------------------------------------------------------------


# What says that there are GPUs: the environment, and files of the driver.
@pytest.mark.parametrize(
    ('env', 'devices'),
    [
        ({'CUDA_VISIBLE_DEVICES': '2,3'}, []),
        ({'SLURM_GPUS_ON_NODE': '2'}, []),
        ({}, ['nvidia0', 'nvidia1', 'nvidiactl']),
    ],
)
@pytest.mark.parametrize('options', [f'{PYTORCH} --gpus 2', '--gpus 1'])
def test_gpus_are_not_exchanged_for_the_cpu(
    config, started, capsys, monkeypatch, no_gpu_seen, env, devices, options
):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for name in devices:
        (no_gpu_seen / name).touch()
    assert main.main(['train', config, *options.split()]) == 2
    assert 'torch sees no GPU' in capsys.readouterr().err
    assert started == []
    # Nothing was asked for: a warning, and stock behaviour.
    assert main.main(['train', config]) == 0
    assert 'warning: torch sees no GPU' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('env', 'devices'),
    [
        ({}, []),
        ({}, ['nvidiactl', 'nvidia-uvm']),  # an installed driver without a GPU
        ({'CUDA_VISIBLE_DEVICES': ''}, ['nvidia0']),
        ({'CUDA_VISIBLE_DEVICES': '-1'}, ['nvidia0']),
        ({'CUDA_VISIBLE_DEVICES': '', 'SLURM_GPUS_ON_NODE': '2'}, []),
        ({'SLURM_JOB_GPUS': '0,1'}, []),  # a step without a GPU, of a job with two
    ],
)
def test_the_cpu_where_it_is_meant(config, capsys, started, monkeypatch, no_gpu_seen, env, devices):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for name in devices:
        (no_gpu_seen / name).touch()
    main.main(['train', config, *PYTORCH.split(), '--gpus', '3'])
    assert '--nproc_per_node=3' in started[0]
    assert capsys.readouterr().err == ''


def test_more_processes_than_gpus(config, started, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert main.main(['train', config, *PYTORCH.split(), '--gpus', '3']) == 2
    assert 'Use --gpus 2' in capsys.readouterr().err
    assert started == []


# --- what is refused before anything starts or queues -----------------------------------

# This base name exists inside mmpose: mim would train that one.
OF_MMPOSE = 'configs/td-reg_res50_rle-8xb64-210e_coco-256x192.py'


@pytest.mark.parametrize(
    ('words', 'env', 'message'),
    [
        (f'train {OF_MMPOSE}', {}, f"'{OF_MMPOSE}' does not exist"),
        (f'train {OF_MMPOSE} {SLURM}', {}, 'does not exist'),
        ('test CONFIG -C nowhere.pth', {}, "'nowhere.pth' does not exist"),
        (f'test CONFIG -C nowhere.pth {SLURM}', {}, 'does not exist'),
        ('train CONFIG --no-validat3', {}, '--no-validat3'),
        ('train CONFIG --cfg_file other.py', {}, 'give one'),
        ('train CONFIG --gpus 8', {}, '--launcher pytorch'),
        ('train CONFIG --gpus 0', {}, 'CUDA_VISIBLE_DEVICES='),
        ('train CONFIG --resume nowhere.pth', {}, "checkpoint 'nowhere.pth' does not exist"),
        ('train CONFIG --resume=', {}, "checkpoint '' does not exist"),
        ('train CONFIG --seed -1', {}, '--seed'),
        (f'train CONFIG --seed {2**32}', {}, '--seed'),
        (f'train CONFIG {PYTORCH} --port 99999', {}, 'from 1 to 65535'),
        (f'train CONFIG {PYTORCH} --port 0', {}, 'Leave it out'),
        (f'train CONFIG {TWO_MACHINES} --node-rank 0', {}, '--master-addr, the address'),
        (f'train CONFIG {TWO_MACHINES} --master-addr h', {}, '--node-rank, its number'),
        (f'train CONFIG {TWO_MACHINES} --master-addr h --node-rank 2', {}, 'numbered from 0'),
        (f'train CONFIG {PYTORCH} --nnodes 0', {}, 'numbered from 0'),
        (f'train CONFIG {PYTORCH} --partition p', {}, 'without --launcher slurm'),
        ('train CONFIG --launcher slurm --nnodes 2', {}, 'without --launcher pytorch'),
        ('train CONFIG --launcher slurm', {}, 'needs --partition'),
        ('train CONFIG --launcher slurm --partition debug,no', {}, "partition 'no'"),
        (f'train CONFIG {SLURM} --gpus 3 --gpus-per-node 2', {}, '4 GPUs would be taken'),
        (f'train CONFIG {SLURM} --gpus 1 --gpus-per-node 2', {}, '2 GPUs would be taken'),
        (f'train CONFIG {SLURM} --gpus-per-node 0', {}, '--srun-args=--gres=none'),
        (f"train CONFIG {SLURM} --srun-args '--comment=\"a'", {}, 'cannot be read'),
        (f'train CONFIG {SLURM}', {'PATH': ''}, '--launcher pytorch'),  # no Slurm here
        ('train CONFIG --launcher slurm --gpus 2', srun('1'), 'an srun of 1 tasks'),
        # each of them would run the whole job into the same folder
        ('train CONFIG', srun('2'), 'one of 2 processes'),
        ('train CONFIG', TORCHRUN, 'one of 2 processes'),
        (f'test CONFIG -C epoch_1.pth {PYTORCH} --boxes gt', TORCHRUN, 'leave out srun or torchr'),
    ],
)  # fmt: skip
def test_mistakes_end_before_anything_starts(
    config, started, capsys, monkeypatch, words, env, message
):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert status(*[config if word == 'CONFIG' else word for word in shlex.split(words)]) == 2
    assert message in capsys.readouterr().err
    assert started == []


# --- configs and outputs, before anything is started --------------------------------------


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('x = (', 'SyntaxError'),
        ("_base_ = 'nothere.py'", 'nothere.py'),
        ("_base_ = 'mmpose::nothere.py'", 'cannot be read as a config'),
        ('model = 3', "there is no 'model'"),
    ],
)
@pytest.mark.parametrize('dry', [['--dry-run'], []], ids=['dry run', 'run'])
def test_a_config_that_cannot_be_read(tmp_path, started, capsys, text, said, dry):
    (tmp_path / 'wrong.py').write_text(text)
    assert status('train', str(tmp_path / 'wrong.py'), *dry) == 2
    assert said in capsys.readouterr().err
    assert started == []


def test_a_checkpoint_is_no_config(tmp_path, started, capsys):
    (tmp_path / 'epoch_1.pth').touch()
    assert status('train', str(tmp_path / 'epoch_1.pth')) == 2
    assert 'cannot be read as a config' in capsys.readouterr().err
    assert started == []


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        (
            'train_cfg.max_epoch=1',
            "there is no 'max_epoch' in the config; did you mean max_epochs?",
        ),
        ('train_cfg.max_epochs=abc', 'the config has a number there, 3'),
        ('train_cfg.max_epochs=None', 'the config has a number there, 3'),
        ('optimizer.lr=0.1', "no run reads 'optimizer'; did you mean optim_wrapper.optimizer?"),
        ('loaders.1.batchsize=2', "no 'batchsize' in the config; did you mean batch_size?"),
    ],
)
def test_odd_overrides_are_named(tmp_path, monkeypatch, capsys, option, said):
    """As a warning, as MMEngine takes them; once more where the run then fails."""
    path = tmp_path / 'config.py'
    path.write_text(
        'model = dict()\ntrain_cfg = dict(max_epochs=3)\nloaders = [1, dict(batch_size=1)]'
    )

    def fail(command):
        raise TypeError('something far away')

    monkeypatch.setattr(launch, 'run_script', fail)
    assert status('train', str(path), '--cfg-options', option) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f'rlepose: warning: --cfg-options {option}: ')
    assert said in lines[0]
    assert said in lines[-1]
    assert 'TypeError: something far away' in lines


@pytest.mark.parametrize(
    'option',
    ['train_cfg.max_epochs=4', 'randomness.seed=1', 'model.backbone.depth=18', 'work_dir=a', 'a=1'],
)
def test_plain_overrides_are_not_named(config, started, capsys, option):
    status('train', config, '--cfg-options', option)
    assert ('warning' in capsys.readouterr().err) == (option == 'a=1')
    assert len(started) == 1


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('train_cfg.max_epoch=3', 'did you mean max_epochs?'),
        ('train_cfg.max_epochs=abc', 'the config has a number there, 300'),
    ],
)
def test_an_override_that_ends_the_run(config, monkeypatch, capsys, option, said):
    from mmengine.config import DictAction
    from mmengine.runner import EpochBasedTrainLoop

    def fail(command):
        key, value = option.partition('=')[::2]
        EpochBasedTrainLoop(
            **{'runner': None, 'dataloader': DataLoader([1]), 'max_epochs': 1}
            | {key.rpartition('.')[2]: DictAction._parse_iterable(value)}
        )

    Path(config).write_text('model = dict()\ntrain_cfg = dict(max_epochs=300)\n')
    monkeypatch.setattr(launch, 'run_script', fail)
    assert status('train', config, '--cfg-options', option) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [said in line for line in lines] == [True, True]  # before the run, and at its end


def test_blanks_around_an_override(config, started, capsys):
    assert status('train', config, '--cfg-options', 'train_cfg.max_epochs', '=', '1') == 2
    assert 'expected key=value, without blanks' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--out', '.'], '--out .: expected the name of a file'),
        (['--out', 'metrics.txt'], 'ends in .json'),
        (['--dump', 'found.json'], '--dump found.json: expected'),
        (['--work-dir', 'epoch_1.pth'], 'is a file'),
    ],
)
def test_outputs_that_cannot_be_written(
    config, tmp_path, started, monkeypatch, capsys, words, said
):
    monkeypatch.chdir(tmp_path)
    assert status('test', config, '-C', 'epoch_1.pth', *words) == 2
    assert said in capsys.readouterr().err
    assert started == []


@pytest.mark.parametrize(
    ('head', 'hook', 'refused'),
    [
        ("type='HeatmapHead', loss=dict(type='KeypointMSELoss')", '', False),
        ("type='RLEHead', loss=dict(type='RLELoss')", '', True),
        ("type='HeatmapHead'", '', True),
        ("type='HeatmapHead'", "metric=dict(type='L1Loss')", False),
    ],
)
def test_bad_cases_need_a_loss_of_keypoints(config, started, capsys, head, hook, refused):
    Path(config).write_text(
        f'model = dict(head=dict({head}))\n'
        f"default_hooks = dict(badcase=dict(type='BadCaseAnalysisHook', {hook}))\n"
    )
    assert status('test', config, '-C', 'epoch_1.pth', '--badcase') == (2 if refused else 0)
    assert ("metric=dict(type='L1Loss')" in capsys.readouterr().err) == refused
    assert len(started) == (not refused)


def test_a_folder_of_checkpoints(config, tmp_path, started, capsys):
    (tmp_path / 'last_checkpoint').write_text('runs/epoch_4.pth')
    for words in (
        ['train', config, '--resume', str(tmp_path)],
        ['test', config, '-C', str(tmp_path)],
    ):
        assert status(*words) == 2
        assert 'is a folder: name a file in it, such as runs/epoch_4.pth' in capsys.readouterr().err
    assert started == []


def test_a_checkpoint_as_mmpose_names_it(config, tmp_path, started, capsys):
    checkpoint = str(tmp_path / 'epoch_1.pth')
    assert status('test', config, checkpoint) == 0
    assert started[0][1:3] == [config, checkpoint]
    assert status('test', config, checkpoint, '-C', checkpoint) == 2
    assert status('test', config) == 2
    assert 'a checkpoint is needed: -C FILE' in capsys.readouterr().err


def test_options_of_other_tools(config, capsys):
    assert status('train', config, '--epochs', '3') == 2
    assert 'train_cfg.max_epochs=3' in capsys.readouterr().err


def test_a_port_that_is_in_use(config, started, capsys):
    with socket.socket() as other:
        other.bind(('', 0))
        other.listen()
        port = str(other.getsockname()[1])
        words = ['train', config, '--launcher', 'pytorch', '--gpus', '2', '--port', port]
        assert status(*words) == 2
    assert f'--port {port} is in use' in capsys.readouterr().err
    assert started == []
