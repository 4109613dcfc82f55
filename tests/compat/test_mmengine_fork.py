"""A fork of mmengine that loads a refused checkpoint again, without the protection.

It is installed into a folder of its own, which comes first on the path of a child process.
"""

import json
import os
import subprocess
import sys

import pytest

FORK = 'onedl-mmengine==0.10.12'
TESTS = [
    'compat/test_safe_load.py',
    'compat/test_forged_files.py',
    'compat/test_checkpoints.py',
    'compat/test_checkpoint_urls.py',
    'reliability/test_flexible_runner.py::test_config_text_in_a_checkpoint_is_not_executed',
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def python(tmp_path_factory, root):
    """A function that runs Python over the fork and returns the finished process."""
    folder = tmp_path_factory.mktemp('fork')
    install = ['-m', 'pip', 'install', '--no-deps', '--retries', '1', '--target', str(folder), FORK]
    done = subprocess.run([sys.executable, *install], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f'{FORK} cannot be had: {done.stderr.strip().splitlines()[-1]}')
    path = os.pathsep.join([str(folder), str(root)])

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=root,
            env={**os.environ, 'PYTHONPATH': path},
            capture_output=True,
            text=True,
        )

    # the reason for all this: red here means that the file can be deleted
    found = run('-c', 'from mmengine.runner import checkpoint; print(checkpoint._safe_torch_load)')
    assert found.returncode == 0, found.stderr
    return run


def test_hostile_files_are_refused(python, root):
    files = [str(root / 'tests' / name) for name in TESTS]
    done = python('-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-m', 'not slow', *files)
    assert done.returncode == 0, done.stdout[-5000:]


def test_the_doctor_names_it(python):
    report = json.loads(python('-m', 'rlepose_ext.cli.main', 'doctor', '--json').stdout)
    assert '(onedl-mmengine)' in report['versions']['mmengine']
    assert any('onedl-mmengine' in problem['what'] for problem in report['problems'])
