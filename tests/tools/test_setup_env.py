"""``make setup`` refuses what cannot work in one clear line, and runs twice in no time."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'tools' / 'setup_env.py'


@pytest.fixture
def setup_env():
    spec = importlib.util.spec_from_file_location('setup_env', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def failure(call, *args, capsys) -> str:
    with pytest.raises(SystemExit) as stop:
        call(*args)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    return error


def test_wrong_python_is_one_line(setup_env, monkeypatch, capsys):
    monkeypatch.setattr(setup_env, 'SUPPORTED', ((3, 7), (3, 8)))
    monkeypatch.setattr(setup_env.shutil, 'which', lambda name: None)
    error = failure(setup_env.find_python, capsys=capsys)
    assert 'Python 3.10, 3.11 or 3.12 is needed' in error
    assert 'PYTHON=' in error


def test_a_supported_python_on_path_is_taken(setup_env, monkeypatch, tmp_path):
    shim = tmp_path / 'python3.8'
    shim.write_text('#!/bin/sh\nexit 0\n')
    shim.chmod(0o755)
    monkeypatch.setattr(setup_env, 'SUPPORTED', ((3, 7), (3, 8)))
    monkeypatch.setenv('PATH', str(tmp_path))
    assert setup_env.find_python() == str(shim)


def test_missing_venv_module_is_one_line(setup_env, tmp_path, capsys):
    broken = tmp_path / 'python3'
    broken.write_text('#!/bin/sh\nexit 1\n')
    broken.chmod(0o755)
    assert 'python3-venv' in failure(setup_env.check_venv_module, str(broken), capsys=capsys)


def test_full_mmcv_without_a_compiler_is_one_line(setup_env, monkeypatch, capsys):
    monkeypatch.setenv('PATH', '')
    assert 'C++ compiler' in failure(setup_env.check_compiler, capsys=capsys)


@pytest.mark.parametrize(
    ('name', 'url'),
    [
        ('default', None),
        ('cpu', 'https://download.pytorch.org/whl/cpu'),
        ('cu128', 'https://download.pytorch.org/whl/cu128'),
        ('https://mirror.example/simple', 'https://mirror.example/simple'),
    ],
)
def test_torch_index(setup_env, name, url):
    assert setup_env.torch_index_url(name) == url


def test_every_runtime_requirement_is_pinned(setup_env):
    pinned = {
        line.split('==')[0].lower().replace('_', '-')
        for line in Path(setup_env.CONSTRAINTS).read_text().splitlines()
    }
    for name in ('runtime.txt', 'dev.txt'):
        for line in (Path(setup_env.REQUIREMENTS) / name).read_text().splitlines():
            if line and not line.startswith('#'):
                package = line.split('>')[0].split('<')[0].split('=')[0]
                assert package.lower() in pinned, line


@pytest.fixture
def stub(setup_env, tmp_path, monkeypatch):
    """An environment whose installations are recorded only; call it as ``make setup`` would."""
    installed = []
    monkeypatch.setattr(setup_env, 'install', lambda venv, wanted: installed.append(wanted))
    monkeypatch.setattr(
        setup_env, 'make_venv', lambda *args: (tmp_path / 'venv').mkdir(exist_ok=True)
    )
    monkeypatch.setattr(setup_env, 'check_compiler', lambda: None)

    def setup(*options):
        command = [str(SCRIPT), '--venv', str(tmp_path / 'venv'), *options]
        monkeypatch.setattr(sys, 'argv', command)
        setup_env.main()
        return installed

    return setup


def test_second_run_does_nothing(stub):
    assert len(stub()) == 1
    assert len(stub()) == 1


def test_options_hold_until_others_are_given(stub):
    """`make setup MMCV=full`, then a plain `make test`, must not put mmcv-lite back."""
    assert stub('--mmcv', 'full', '--torch-index', 'cpu')[-1]['mmcv'] == 'full'
    assert len(stub()) == 1
    (_, last) = stub('--torch-index', 'default')
    assert (last['mmcv'], last['torch_index']) == ('full', 'default')


def test_another_interpreter_of_the_same_setup_changes_nothing(stub, monkeypatch):
    stub()
    monkeypatch.setattr(sys, 'executable', '/elsewhere/python3')
    assert len(stub()) == 1


def test_half_written_stamp_means_again(stub, setup_env, tmp_path):
    stub()
    (tmp_path / 'venv' / setup_env.STAMP).write_text('{"mmcv": "li')
    assert len(stub()) == 2


def test_named_python_must_fit_the_environment(setup_env, tmp_path, monkeypatch, capsys):
    inside = tmp_path / 'bin' / 'python'
    inside.parent.mkdir()
    other = '3.10' if sys.version_info[:2] != (3, 10) else '3.11'
    inside.write_text(f'#!/bin/sh\necho {other}\n')
    inside.chmod(0o755)
    setup_env.make_venv(str(tmp_path), sys.executable, False)
    error = failure(setup_env.make_venv, str(tmp_path), sys.executable, True, capsys=capsys)
    assert f'has Python {other}' in error


def test_interrupted_creation_is_mended(setup_env, tmp_path, monkeypatch):
    inside = tmp_path / 'bin' / 'python'
    inside.parent.mkdir()
    inside.write_text('#!/bin/sh\nexit 1\n')
    inside.chmod(0o755)
    commands = []
    monkeypatch.setattr(setup_env, 'run', commands.append)
    setup_env.make_venv(str(tmp_path), 'python3', False)
    assert commands == [['python3', '-m', 'venv', '--clear', str(tmp_path)]]


def test_own_index_is_asked_for_torch_alone(setup_env, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(setup_env, 'run', commands.append)
    monkeypatch.setattr(setup_env, 'has_full_mmcv', lambda venv: False)
    monkeypatch.setattr(setup_env, 'use_headless_opencv_if_needed', lambda *args: None)
    setup_env.install(str(tmp_path), {'mmcv': 'lite', 'torch_index': 'cpu'})
    first = commands[0]
    assert first[-5:] == [
        '--no-deps',
        '--index-url',
        setup_env.torch_index_url('cpu'),
        'torch',
        'torchvision',
    ]
    pins = (tmp_path / 'constraints.txt').read_text()
    assert 'torch==' in pins
    assert 'nvidia' not in pins
    assert 'mmcv-lite' in commands[1]


def test_compiled_mmcv_stays(setup_env, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(setup_env, 'run', commands.append)
    monkeypatch.setattr(setup_env, 'has_full_mmcv', lambda venv: True)
    monkeypatch.setattr(setup_env, 'use_headless_opencv_if_needed', lambda *args: None)
    setup_env.install(str(tmp_path), {'mmcv': 'lite', 'torch_index': 'default'})
    assert not {'mmcv', 'mmcv-lite'} & {part for command in commands for part in command}


def test_no_display_libraries_means_headless_opencv(setup_env, tmp_path, monkeypatch, capsys):
    """Also when both were installed before: they share a folder."""
    python = tmp_path / 'bin' / 'python'
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\ntest -e {tmp_path}/loads\n')
    python.chmod(0o755)
    commands = []
    monkeypatch.setattr(setup_env, 'run', commands.append)
    use = setup_env.use_headless_opencv_if_needed
    error = failure(use, str(tmp_path), ['pip', 'install'], capsys=capsys)
    assert 'cv2 does not load' in error
    assert commands[0][-1] == 'opencv-python'
    assert commands[1][-2:] == ['--force-reinstall', 'opencv-python-headless']
    (tmp_path / 'loads').touch()
    use(str(tmp_path), ['pip', 'install'])
    assert len(commands) == 2


def test_script_is_readable_by_old_pythons():
    source = SCRIPT.read_text()
    assert 'f"' not in source
    assert "f'" not in source
    assert os.access(SCRIPT, os.X_OK)


def test_makefile_verbs_depend_on_setup(root):
    plan = subprocess.run(
        ['make', '-n', 'test'], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert plan.index('tools/setup_env.py') < plan.index('pytest')
