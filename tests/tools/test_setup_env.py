"""``make setup`` refuses what cannot work in one clear line, and runs twice in no time."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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


def program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)
    return str(path)


def test_a_python_that_will_do(setup_env, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(setup_env, 'SUPPORTED', ((3, 7), (3, 8)))
    monkeypatch.setenv('PATH', str(tmp_path))
    assert 'Python 3.11, 3.12, 3.13 or 3.14' in failure(setup_env.find_python, capsys=capsys)
    assert 'C++ compiler' in failure(setup_env.check_compiler, capsys=capsys)
    python = program(tmp_path / 'python3.8', 'exit 0')
    assert setup_env.find_python() == python
    broken = program(tmp_path / 'python3', 'exit 1')
    assert 'python3-venv' in failure(setup_env.check_venv_module, broken, capsys=capsys)


@pytest.mark.parametrize(('answer', 'index'), [
    ('580.65.06, 9.0', 'default'),  # H100
    ('580.65.06, 7.0', 'cu126'),  # V100: CUDA 13 has no code for it
    ('580.65.06, 9.0\n580.65.06, 6.1', 'cu126'),
    ('535.104.05, 8.0', 'cu126'),  # A100, older driver
    ('470.57.02, 8.0', 'default'),  # too old for any build: torch runs on the CPU
    ('570.86.10, 12.0', 'default'),  # Blackwell needs CUDA 12.8 or later
    ('580.65.06, [N/A]', 'default'),
    (None, 'default'),  # no GPU that it could talk to
])  # fmt: skip
def test_cuda_build_follows_the_driver(setup_env, monkeypatch, tmp_path, answer, index):
    monkeypatch.setenv('PATH', str(tmp_path))
    assert setup_env.index_for_driver() == 'default'
    program(tmp_path / 'nvidia-smi', 'exit 9' if answer is None else f'echo "{answer}"')
    assert setup_env.index_for_driver() == index


def test_every_runtime_requirement_is_pinned(setup_env):
    pinned = {
        line.split('==')[0].lower().replace('_', '-')
        for line in Path(setup_env.CONSTRAINTS).read_text().splitlines()
    }
    for name in ('runtime.txt', 'mim.txt', 'export.txt', 'dev.txt'):
        for line in (Path(setup_env.REQUIREMENTS) / name).read_text().splitlines():
            if line and not line.startswith('#'):
                package = line.split('>')[0].split('<')[0].split('=')[0]
                assert package.lower() in pinned, line


def test_the_workflow_runs_every_supported_python(setup_env, root):
    jobs = yaml.safe_load((root / '.github' / 'workflows' / 'ci.yml').read_text())['jobs']
    pythons = {f'{major}.{minor}' for major, minor in setup_env.SUPPORTED}
    assert set(jobs['all']['strategy']['matrix']['python']) == pythons
    assert f"python_requires='>={min(pythons)}'" in (root / 'setup.py').read_text()
    assert jobs['lowest']['steps'][1]['with']['python-version'] == min(pythons)


def test_the_lowest_versions_are_the_declared_bounds(setup_env):
    def versions(name, sign):
        lines = (Path(setup_env.REQUIREMENTS) / name).read_text().splitlines()
        pairs = [line.split(sign) for line in lines if sign in line and line[0] != '#']
        return {package: [int(part) for part in text.split('.')] for package, text in pairs}

    tested = versions('lowest.txt', '==')
    bounds = versions('runtime.txt', '>=')
    assert bounds
    for package, bound in bounds.items():
        assert tested[package][: len(bound)] == bound


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


def test_options_hold_until_others_are_given(stub):
    """`make setup MMCV=full`, then a plain `make test`, must not put mmcv-lite back."""
    assert stub('--mmcv', 'full', '--torch-index', 'cpu')[-1]['mmcv'] == 'full'
    assert len(stub()) == 1
    (_, last) = stub('--torch-index', 'default')
    assert (last['mmcv'], last['torch_index']) == ('full', 'default')


def test_it_runs_again_only_if_something_changed(stub, setup_env, tmp_path, monkeypatch):
    stub()
    (tmp_path / 'venv' / setup_env.STAMP).write_text('{"mmcv": "li')
    assert len(stub()) == 2
    # another interpreter of the same setup is no change
    monkeypatch.setattr(sys, 'executable', '/elsewhere/python3')
    assert len(stub()) == 2


def test_an_environment_that_is_there(setup_env, tmp_path, monkeypatch, capsys):
    """A named Python must fit it; one whose creation was interrupted is made anew."""
    other = '3.12' if sys.version_info[:2] != (3, 12) else '3.11'
    program(tmp_path / 'bin' / 'python', f'echo {other}')
    setup_env.make_venv(str(tmp_path), sys.executable, False)
    error = failure(setup_env.make_venv, str(tmp_path), sys.executable, True, capsys=capsys)
    assert f'has Python {other}' in error
    program(tmp_path / 'bin' / 'python', 'exit 1')
    commands = []
    monkeypatch.setattr(setup_env, 'run', commands.append)
    setup_env.make_venv(str(tmp_path), 'python3', False)
    assert commands == [['python3', '-m', 'venv', '--clear', str(tmp_path)]]


@pytest.mark.parametrize('full', [False, True])
def test_what_is_installed(setup_env, tmp_path, monkeypatch, full):
    """An index of one's own is asked for torch alone; a compiled mmcv stays."""
    commands = []
    monkeypatch.setattr(setup_env, 'run', commands.append)
    monkeypatch.setattr(setup_env, 'has_full_mmcv', lambda venv: full)
    monkeypatch.setattr(setup_env, 'install_opencv', lambda *args: None)
    setup_env.install(str(tmp_path), {'mmcv': 'lite', 'torch_index': 'cpu'})
    index = ['--index-url', 'https://download.pytorch.org/whl/cpu', 'torch', 'torchvision']
    assert commands[0][-5:] == ['--no-deps', *index]
    pins = (tmp_path / 'constraints.txt').read_text()
    assert 'torch==' in pins
    assert 'nvidia' not in pins
    mmcv = [command[-2:] for command in commands if {'mmcv', 'mmcv-lite'} & set(command)]
    assert mmcv == ([] if full else [['--no-deps', 'mmcv-lite']])


@pytest.fixture
def opencv(setup_env, tmp_path, monkeypatch):
    """Installs OpenCV where ``cv2`` loads once the file ``loads`` is there; gives the commands."""
    program(tmp_path / 'bin' / 'python', f'test -e {tmp_path}/loads')

    def install(loads_after=None):
        commands = []

        def run(command):
            commands.append(command)
            if command[-1] == loads_after:
                (tmp_path / 'loads').touch()

        monkeypatch.setattr(setup_env, 'run', run)
        setup_env.install_opencv(str(tmp_path), ['pip', 'install'])
        return [command[-1] for command in commands]

    return install


def test_the_usual_opencv_where_it_loads_and_one_that_loads_stays(opencv):
    assert opencv('opencv-python') == ['opencv-python']
    assert opencv() == []


def test_no_display_libraries_means_headless_opencv(opencv, capsys):
    assert 'cv2 does not load' in failure(opencv, capsys=capsys)
    # They share a folder: the first goes before the second comes.
    assert opencv('opencv-python-headless') == ['opencv-python'] * 2 + ['opencv-python-headless']


def test_script_is_readable_by_old_pythons():
    tree = ast.parse(SCRIPT.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    assert os.access(SCRIPT, os.X_OK)


def test_makefile_verbs_depend_on_setup(root):
    make = ['make', '-n', 'test']
    plan = subprocess.run(make, cwd=root, capture_output=True, text=True, check=True).stdout
    assert plan.index('tools/setup_env.py') < plan.index('pytest')
