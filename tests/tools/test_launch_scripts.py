"""The launch scripts: what they hand on, word for word, and what they refuse."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'
CONFIG = 'configs/rle/rle_res50_8xb64-210e_coco-256x192.py'
TRAIN, TEST = 'tools/slurm/train.sbatch', 'tools/slurm/test.sbatch'
# Records its arguments; imports whatever it is asked to.
STUB = """#!{python}
import json, sys
if sys.argv[1:2] != ['-c']:
    with open({record!r}, 'a') as record:
        record.write(json.dumps(sys.argv) + '\\n')
"""


@pytest.fixture
def stub(tmp_path):
    """Make a program that records its arguments; returns its path."""

    def make(name: str, text: str = STUB) -> Path:
        path = tmp_path / 'bin' / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(python=sys.executable, record=str(tmp_path / 'record')))
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def cluster(stub):
    """An environment with an srun, an sbatch and an rj that would tell, and one partition."""
    for program in ('srun', 'sbatch', 'rj'):
        stub(program)
    sinfo = stub('sinfo', '#!/bin/sh\necho debug\n')
    return {'PYTHON': sys.executable, 'PATH': f'{sinfo.parent}:{os.environ["PATH"]}'}


@pytest.fixture
def recorded(tmp_path):
    def read() -> list[list[str]]:
        record = tmp_path / 'record'
        lines = record.read_text().splitlines() if record.exists() else []
        return [[Path(words[0]).name, *words[1:]] for words in map(json.loads, lines)]

    return read


def call(*command, cwd=ROOT, **env):
    ours = re.compile(r'SLURM_|PYTHON$|PORT$|N(ODE_RANK|NODES)$|MASTER_|GPUS|SRUN_ARGS')
    clean = {name: value for name, value in os.environ.items() if not ours.match(name)}
    clean |= {name: str(value) for name, value in env.items()}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, timeout=120)


RLEPOSE = ['python', '-m', 'rlepose_ext.cli.main']
SLURM = ['--launcher', 'slurm', '--partition', 'p q', '--job-name', 'my job', '--gpus']


@pytest.mark.parametrize(
    ('words', 'env', 'expected'),
    [
        (
            ['dist_train.sh', 'a b.py', '2', '--cfg-options', 'x="c d"', '*'], {},
            ['train', 'a b.py', '--launcher', 'pytorch', '--gpus', '2',
             '--cfg-options', 'x="c d"', '*'],
        ),
        (
            ['dist_train.sh', 'a.py', '4'],
            {'NNODES': 2, 'NODE_RANK': 1, 'MASTER_ADDR': 'h', 'PORT': 29501},
            ['train', 'a.py', '--launcher', 'pytorch', '--gpus', '4', '--port', '29501',
             '--nnodes', '2', '--node-rank', '1', '--master-addr', 'h'],
        ),
        (
            ['dist_test.sh', 'a b.py', 'c d.pth', '2', '--dump', 'e f.pkl'], {'PORT': 29501},
            ['test', 'a b.py', '-C', 'c d.pth', '--launcher', 'pytorch', '--gpus', '2',
             '--port', '29501', '--dump', 'e f.pkl'],
        ),
        (
            ['slurm_train.sh', 'p q', 'my job', 'a b.py', 'w d', '--cfg-options', 'x="c d"'], {},
            ['train', 'a b.py', '--work-dir', 'w d', *SLURM, '8', '--cpus-per-task', '5',
             '--srun-args=', '--cfg-options', 'x="c d"'],
        ),
        (
            ['slurm_train.sh', 'p q', 'my job', 'a.py', 'w'],
            {'GPUS': 4, 'GPUS_PER_NODE': 2, 'CPUS_PER_TASK': 3, 'SRUN_ARGS': '--comment="a b"'},
            ['train', 'a.py', '--work-dir', 'w', *SLURM, '4', '--gpus-per-node', '2',
             '--cpus-per-task', '3', '--srun-args=--comment="a b"'],
        ),
        (
            ['slurm_test.sh', 'p q', 'my job', 'a.py', 'c d.pth', '--out', 'o p'], {'GPUS': 1},
            ['test', 'a.py', '-C', 'c d.pth', *SLURM, '1', '--cpus-per-task', '5',
             '--srun-args=', '--out', 'o p'],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value[0].endswith('.sh') else '',
)  # fmt: skip
def test_arguments_arrive(stub, recorded, words, env, expected):
    done = call(TOOLS / words[0], *words[1:], PYTHON=stub('python'), **env)
    assert done.returncode == 0, done.stderr
    assert recorded() == [[*RLEPOSE, *expected]]


@pytest.mark.parametrize('words', [
    ['dist_train.sh', CONFIG, '1'],
    ['dist_test.sh', CONFIG, 'c.pth', '1'],
    ['slurm_train.sh', 'p', 'j', CONFIG, 'w'],
    ['slurm_test.sh', 'p', 'j', CONFIG, 'c.pth'],
    ['slurm/submit.sh', TRAIN, CONFIG],
], ids=lambda words: words[0])  # fmt: skip
def test_too_few_arguments_and_python_without_the_plugin(stub, words):
    without = stub('python', '#!/bin/sh\nexit 1\n')
    for arguments, message in (
        (['one'], 'usage: '),
        (words[1:], f'{without} cannot import rlepose_ext'),
    ):
        done = call(TOOLS / words[0], *arguments, PYTHON=without)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count('\n') == 1


@pytest.mark.parametrize(('words', 'env', 'message'), [
    (['dist_train.sh', 'nowhere.py', '2'], {}, 'does not exist'),
    pytest.param(
        ['dist_train.sh', CONFIG, '2'], {'CUDA_VISIBLE_DEVICES': '7'}, 'torch sees no GPU',
        marks=pytest.mark.slow,
    ),
    (['dist_test.sh', CONFIG, 'nowhere.pth', '2'], {}, 'nowhere.pth'),
    (['slurm_train.sh', 'nowhere', 'j', CONFIG, 'w'], {}, 'which has: debug'),
    (['slurm_test.sh', 'debug', 'j', CONFIG, 'nowhere.pth'], {}, 'nowhere.pth'),
    (['slurm/submit.sh', TRAIN, 'nowhere.py'], {}, 'does not exist'),
    (['slurm/submit.sh', TEST, CONFIG, '-C', 'x'], {}, "checkpoint 'x'"),
    (['slurm/submit.sh', 'tools/dug/train.sbatch'], {'CONFIG': ''}, 'set CONFIG'),
    (['slurm/submit.sh', 'tools/dug/train.sbatch', CONFIG], {'CONFIG': CONFIG}, 'nothing aft'),
    (['slurm/submit.sh', 'tools/dug/train_4gpu.rj'], {'CONFIG': 'nowhere.py'}, 'not exist'),
    (['slurm/submit.sh', 'tools/dug/test_1gpu.rj'],
     {'CONFIG': CONFIG, 'CHECKPOINT': 'c d.pth'}, "checkpoint 'c d.pth'"),
    (['slurm/submit.sh', 'tools/dug/train_1gpu.rj'],
     {'CONFIG': CONFIG, 'OPTIONS': '--resume "a b"'}, "checkpoint 'a b'"),
], ids=lambda value: value[0] if isinstance(value, list) else '')  # fmt: skip
def test_mistakes_end_before_anything_starts(cluster, recorded, words, env, message):
    """Through the real command line, whose own rules are those of tests/cli/test_launch.py."""
    done = call(TOOLS / words[0], *words[1:], **{**cluster, **env})
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count('\n') == 1
    assert recorded() == []


@pytest.mark.parametrize(('program', 'words'), [
    ('sbatch', ['--partition=p q', '--gres=gpu:2', TRAIN, CONFIG, '--work-dir', 'a b']),
    ('sbatch', ['--partition=p q', 'tools/dug/train.sbatch']),
    ('rj', ['tools/dug/train_4gpu.rj']),
    ('rj', ['COPY']),
])  # fmt: skip
def test_submit_hands_everything_on(cluster, recorded, tmp_path, program, words):
    """Our scripts, those of DUG, which read the environment, and a copy of one."""
    env = {**cluster, 'CONFIG': CONFIG, 'OPTIONS': '--work-dir "a b"'}
    if words == ['COPY']:
        words = [str(tmp_path / 'my job.rj')]
        shutil.copy(TOOLS / 'dug' / 'test_1gpu.rj', words[0])
        env['CHECKPOINT'] = tmp_path / 'c d.pth'
        env['CHECKPOINT'].touch()
    done = call(TOOLS / 'slurm/submit.sh', *words, **env)
    assert done.returncode == 0, done.stderr
    assert "--work-dir 'a b'" in done.stdout
    assert recorded() == [[program, *words]]


@pytest.mark.parametrize(('environments', 'used'), [
    (['', '.venv'], '.venv'),  # nothing activated: the .venv beside the scripts
    (['base', '.venv'], '.venv'),
    (['base'], 'base'),
    (['named', '.venv'], 'named'),
], ids=str)  # fmt: skip
def test_condas_base_comes_after_the_checkouts_environment(tmp_path, environments, used):
    """Login shells activate base by themselves; only base has a condabin."""
    root = tmp_path / 'check out'
    shutil.copytree(TOOLS, root / 'tools')
    (root / 'base' / 'condabin').mkdir(parents=True)
    for name in filter(None, environments):
        python = root / name / 'bin' / 'python'
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || echo {name}\n')
        python.chmod(0o755)
    conda = root / environments[0] if environments[0] else ''
    done = call(root / 'tools/dist_train.sh', 'a.py', '1', VIRTUAL_ENV='', CONDA_PREFIX=conda)
    assert done.stdout.split() == [used], done.stderr


@pytest.mark.slow
def test_an_environment_without_the_plugin_is_refused_in_the_checkout(tmp_path):
    """There the package lies in the current folder, where every Python would find it."""
    venv.create(tmp_path / 'empty', with_pip=False)
    python = tmp_path / 'empty' / 'bin' / 'python'
    done = call(TOOLS / 'dist_train.sh', CONFIG, '1', '--dry-run', PYTHON=python, PYTHONPATH='')
    assert done.returncode == 2
    assert f'{python} cannot import rlepose_ext' in done.stderr
    done = call(TOOLS / 'dist_train.sh', CONFIG, '1', '--dry-run', PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr


def test_scripts_are_sound():
    scripts = [path for name in ('*.sh', 'slurm/*', 'dug/*') for path in TOOLS.glob(name)]
    assert len(scripts) >= 15
    for path in scripts:
        assert call('bash', '-n', path).returncode == 0, path
        assert os.access(path, os.X_OK) or path.name.startswith('_') or path.suffix != '.sh', path
    if shutil.which('shellcheck') is None:
        pytest.skip('shellcheck is not installed (Debian: apt-get install shellcheck)')
    done = call('shellcheck', '-x', '-s', 'bash', ROOT / '.ci' / 'run', *scripts)
    assert done.returncode == 0, done.stdout
