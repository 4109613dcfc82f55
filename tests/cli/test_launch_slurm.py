"""``--launcher slurm``: the srun line, and what is refused before anything queues."""

import os
import sys

import pytest

from rlepose_ext.cli import launch, main, slurm

SINFO = '#!/bin/sh\necho debug\necho long\n'


@pytest.fixture(autouse=True)
def _not_in_a_job(monkeypatch):
    for name in os.environ:
        if name.startswith('SLURM_') or name == 'MASTER_PORT':
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'a config.py'
    path.write_text('model = dict()\n')
    return str(path)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder that is all of PATH, with an srun and a sinfo that knows two partitions."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name, text in (('srun', '#!/bin/sh\n'), ('sinfo', SINFO)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}:/bin:/usr/bin')
    return folder


@pytest.fixture
def queued(programs, monkeypatch):
    """The srun lines that would replace this process."""
    lines = []
    monkeypatch.setattr(launch.os, 'execvp', lambda file, argv: lines.append(argv))
    return lines


def in_step(monkeypatch, tasks, **more):
    step = {'JOB_ID': '7', 'STEP_ID': '0', 'PROCID': '1', 'NTASKS': str(tasks), **more}
    for name, value in step.items():
        monkeypatch.setenv(f'SLURM_{name}', value)


def test_srun_line(config, queued):
    options = ['--work-dir', 'a b', '--cfg-options', 'a=1', 'b="c d"']
    numbers = ['--gpus', '4', '--gpus-per-node', '2', '--cpus-per-task', '3']
    more = ['--srun-args', '--comment="a b" --gres=gpu:a100:2', '--job-name', 'my job']
    main.main(
        ['train', config, '--launcher', 'slurm', '--partition', 'debug', *numbers, *more, *options]
    )
    assert queued == [
        [
            'srun', '--partition=debug', '--gres=gpu:2', '--ntasks=4', '--ntasks-per-node=2',
            '--cpus-per-task=3', '--kill-on-bad-exit=1', '--job-name=my job', '--comment=a b',
            '--gres=gpu:a100:2',
            sys.executable, '-u', '-m', 'rlepose_ext.cli.main', 'train', config,
            '--launcher', 'slurm', *options,
        ]
    ]  # fmt: skip


def test_defaults_are_one_gpu_and_at_most_eight_on_a_node(config, queued):
    command = ['train', config, '--launcher', 'slurm', '--partition', 'debug']
    main.main(command)
    main.main([*command, '--gpus', '16'])
    assert queued[0][2:5] == ['--gres=gpu:1', '--ntasks=1', '--ntasks-per-node=1']
    assert '--job-name=a config_train' in queued[0]
    assert queued[1][2:5] == ['--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8']


def test_the_checkpoint_of_a_test_goes_along(config, queued, tmp_path):
    checkpoint = tmp_path / 'epoch 1.pth'
    checkpoint.touch()
    command = ['test', config, '-C', str(checkpoint), '--launcher', 'slurm', '--partition', 'debug']
    main.main([*command, '--port', '12345'])
    assert queued[0][-6:] == ['test', config, '-C', str(checkpoint), '--launcher', 'slurm']
    assert os.environ.pop('MASTER_PORT') == '12345'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ([], 'needs --partition'),
        (['--partition', 'nowhere'], 'which has: debug, long'),
        (['--partition', 'debug,nowhere'], "partition 'nowhere'"),
        (['--partition', 'debug', '--gpus', '3', '--gpus-per-node', '2'], '4 GPUs would be taken'),
        (['--partition', 'debug', '--gpus', '1', '--gpus-per-node', '2'], '2 GPUs would be taken'),
        (['--partition', 'debug', '--gpus-per-node', '0'], '--srun-args=--gres=none'),
        (['--partition', 'debug', '--srun-args', '--comment="a'], 'cannot be read'),
    ],
)
def test_refused_before_it_is_queued(config, queued, capsys, options, message):
    assert main.main(['train', config, '--launcher', 'slurm', *options]) == 2
    assert message in capsys.readouterr().err
    assert queued == []


def test_missing_files_are_refused_before_they_are_queued(config, queued, capsys):
    slurm_options = ['--launcher', 'slurm', '--partition', 'debug']
    assert main.main(['train', 'nowhere.py', *slurm_options]) == 2
    assert main.main(['test', config, '-C', 'nowhere.pth', *slurm_options]) == 2
    assert capsys.readouterr().err.count('does not exist') == 2
    assert queued == []


@pytest.mark.parametrize('value', ['', '--exclusive', '--exclusive --nice', '-x host1'])
def test_srun_args_as_mim_takes_them(config, queued, value):
    command = ['train', config, '--launcher', 'slurm', '--partition', 'debug', '--srun-args']
    main.main([*command, value, '--work-dir', 'w'])
    assert queued[0][8:-10] == value.split()
    assert queued[0][-2:] == ['--work-dir', 'w']


@pytest.mark.parametrize('text', ['#!/bin/sh\nexit 1\n', '#!/bin/sh\n'])
def test_a_silent_sinfo_decides_nothing(config, queued, programs, text):
    (programs / 'sinfo').write_text(text)
    main.main(['train', config, '--launcher', 'slurm', '--partition', 'nowhere'])
    assert len(queued) == 1


def test_no_slurm_here(config, capsys, monkeypatch):
    monkeypatch.setenv('PATH', '')
    assert main.main(['train', config, '--launcher', 'slurm', '--partition', 'debug']) == 2
    assert '--launcher pytorch' in capsys.readouterr().err


def test_no_partition_is_needed_inside_an_allocation(config, queued, monkeypatch):
    monkeypatch.setenv('SLURM_JOB_ID', '7')
    main.main(['train', config, '--launcher', 'slurm'])
    assert not [word for word in queued[0] if word.startswith('--partition')]


def test_a_task_of_a_step_runs_the_script(config, queued, monkeypatch):
    in_step(monkeypatch, tasks=2)
    commands = []
    monkeypatch.setattr(launch, 'run_script', lambda command: commands.append(command) or 0)
    assert main.main(['train', config, '--launcher', 'slurm']) == 0
    assert commands[0][1:] == [config, '--launcher', 'slurm']
    assert queued == []
    assert int(os.environ.pop('MASTER_PORT')) == slurm.step_port(
        {'SLURM_JOB_ID': '7', 'SLURM_STEP_ID': '0'}
    )


def test_a_step_of_another_size_is_refused(config, queued, monkeypatch, capsys):
    in_step(monkeypatch, tasks=1)
    assert main.main(['train', config, '--launcher', 'slurm', '--gpus', '2']) == 2
    assert 'an srun of 1 tasks' in capsys.readouterr().err


@pytest.mark.parametrize('step', [None, '4294967291', '4294967290'], ids=['-', 'batch', 'shell'])
def test_job_scripts_and_shells_are_no_tasks(step):
    env = {'SLURM_PROCID': '0', **({'SLURM_STEP_ID': step} if step else {})}
    assert not slurm.in_step(env)


def test_jobs_that_follow_each_other_use_other_ports():
    ports = {
        slurm.step_port({'SLURM_JOB_ID': str(job), 'SLURM_STEP_ID': str(step)})
        for job in range(1000, 1200)
        for step in range(3)
    }
    assert len(ports) == 600
    assert 20000 <= min(ports) <= max(ports) < 30000
