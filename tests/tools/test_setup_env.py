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


def test_second_run_does_nothing(setup_env, tmp_path, monkeypatch):
    venv = tmp_path / 'venv'
    venv.mkdir()
    arguments = [str(SCRIPT), '--venv', str(venv)]
    monkeypatch.setattr(sys, 'argv', arguments)
    monkeypatch.setattr(setup_env, 'install', lambda venv, arguments: None)
    commands = []
    monkeypatch.setattr(setup_env, 'run', commands.append)
    setup_env.main()
    assert commands == [[sys.executable, '-m', 'venv', str(venv)]]
    setup_env.main()
    assert len(commands) == 1
    monkeypatch.setattr(sys, 'argv', [*arguments, '--mmcv', 'full'])
    monkeypatch.setattr(setup_env, 'check_compiler', lambda: None)
    setup_env.main()
    assert len(commands) == 2


def test_no_display_libraries_means_headless_opencv(setup_env, tmp_path, monkeypatch):
    python = tmp_path / 'bin' / 'python'
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nexit 1\n')
    python.chmod(0o755)
    commands = []
    monkeypatch.setattr(setup_env, 'run', commands.append)
    setup_env.use_headless_opencv_if_needed(str(tmp_path), ['pip', 'install'])
    assert commands[-1] == ['pip', 'install', '--no-deps', 'opencv-python-headless']


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
