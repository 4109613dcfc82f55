"""``rlepose train`` and ``rlepose test`` hand MMPose's scripts what mim would, after checks."""

import pytest
import torch

from rlepose_ext.cli import launch, main


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
    ],
)
def test_what_would_silently_do_something_else_is_refused(
    config, handed_over, capsys, options, remedy
):
    assert main.main(['train', config, *options]) == 2
    assert remedy in capsys.readouterr().err
    assert handed_over == []


def test_torchrun_command(config, monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    monkeypatch.setattr(launch.os, 'execv', lambda path, argv: calls.append(argv))
    main.main(['train', config, '--launcher', 'pytorch', '--gpus', '2', '--port', '29501'])
    (argv,) = calls
    assert argv[1:5] == ['-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=29501']
    assert argv[5].endswith('train.py')
    assert argv[6:] == [config, '--launcher', 'pytorch']


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
