"""Job scripts for DUG and Slurm, and the pages about them."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DUG = ROOT / 'tools' / 'dug'
JOBS = sorted([*DUG.glob('*.rj'), *DUG.glob('*.sbatch')])
PAGES = [ROOT / 'docs' / 'dug_setup.md', ROOT / 'docs' / 'slurm.md']
CONFIG = 'configs/rle/rle_res50_8xb64-210e_coco-256x192.py'
VARIABLES = {'CONFIG', 'OPTIONS', 'CHECKOUT', 'DUG_ROOT', 'MODULES', 'PROXY', 'PYTHON'}
# Records its arguments and what the job set for it.
PYTHON = """#!{python}
import json, os, sys
if sys.argv[1] != '-c':
    names = ('http_proxy', 'HTTPS_PROXY', 'no_proxy', 'TORCH_HOME')
    print('called ' + json.dumps([sys.argv[1:], {{name: os.environ.get(name) for name in names}}]))
"""


@pytest.fixture
def job(tmp_path):
    """Run a job script on a pretended node with ``gpus`` GPUs; returns the finished process."""

    def run(name: str, gpus: int = 1, cwd: Path = ROOT, **env):
        folder = tmp_path / 'bin'
        folder.mkdir(exist_ok=True)
        for program, text in (
            ('python', PYTHON.format(python=sys.executable)),
            ('nvidia-smi', f'#!/bin/sh\nfor i in $(seq {gpus}); do echo "GPU $i: A100"; done\n'),
        ):
            (folder / program).write_text(text)
            (folder / program).chmod(0o755)
        keep = {'HOME': str(tmp_path), 'PYTHON': str(folder / 'python'), **env}
        # A login shell makes a new PATH, whatever it inherits.
        path = keep.pop('PATH', f'{folder}:/usr/bin:/bin')
        (tmp_path / '.bash_profile').write_text(f"export PATH='{path}'\n")
        # Slurm runs a copy, and not in the checkout.
        copy = tmp_path / 'spool' / 'slurm_script'
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((DUG / name).read_text())
        command = ['bash', '-l', str(copy)]
        return subprocess.run(command, cwd=cwd, env=keep, capture_output=True, text=True)

    return run


def called(done) -> tuple[list[str], dict]:
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith('called ')]
    return json.loads(line.removeprefix('called '))


RLEPOSE = ['-u', '-m', 'rlepose_ext.cli.main']
ONE_GPU = ['--launcher', 'none', '--gpus', '1']


@pytest.mark.parametrize('name', ['train_1gpu.rj', 'train_4gpu.rj', 'train.sbatch'])
@pytest.mark.parametrize(
    ('gpus', 'launcher'),
    [(1, ['none', '--gpus', '1']), (4, ['pytorch', '--gpus', '4'])],
    ids=['1', '4'],
)
def test_a_training_uses_the_gpus_it_got(job, name, gpus, launcher):
    options = '--work-dir "a b" --cfg-options x=1 \'y="c d"\' \'$(date)\' "*"'
    words, _ = called(job(name, gpus, CONFIG=CONFIG, OPTIONS=options))
    assert words == [
        *RLEPOSE, 'train', CONFIG, '--resume', '--launcher', *launcher, '--work-dir', 'a b',
        '--cfg-options', 'x=1', 'y="c d"', '$(date)', '*',
    ]  # fmt: skip


def test_other_arguments(job):
    """GPUs that Slurm hides do not count, and blanks alone are no option."""
    words, _ = called(job('train.sbatch', 4, CONFIG=CONFIG, CUDA_VISIBLE_DEVICES='0,1'))
    assert words[-2:] == ['--gpus', '2']
    words, _ = called(job('test_1gpu.rj', CONFIG=CONFIG, CHECKPOINT='c d.pth'))
    assert words == [*RLEPOSE, 'test', CONFIG, '-C', 'c d.pth', *ONE_GPU]
    words, _ = called(job('train_1gpu.rj', CONFIG=CONFIG, OPTIONS=' \t\n'))
    assert words[-4:] == ONE_GPU


@pytest.mark.parametrize(
    ('name', 'variable'),
    [(path.name, ('VIRTUAL_ENV', 'CONDA_PREFIX')[i % 2]) for i, path in enumerate(JOBS)],
)
def test_the_activated_environment_is_used_though_a_login_shell_makes_a_new_path(
    job, tmp_path, name, variable
):
    """The `python` on that PATH records its calls too, and another one would do so."""
    environment = tmp_path / 'my env'
    (environment / 'bin').mkdir(parents=True)
    python = environment / 'bin' / 'python'
    python.write_text('#!/bin/sh\n[ "$1" = -c ] || echo "called [[\\"mine\\"], {}]"\n')
    python.chmod(0o755)
    done = job(name, CONFIG=CONFIG, PYTHON='', **{variable: str(environment)})
    assert called(done) == [['mine'], {}]


def test_proxy_and_caches(job, tmp_path):
    _, env = called(job('train.sbatch', CONFIG=CONFIG, DUG_ROOT='/data/x'))
    assert env == {
        'http_proxy': 'http://proxy.per.dug.com:3128',
        'HTTPS_PROXY': 'http://proxy.per.dug.com:3128',
        'no_proxy': 'localhost,127.0.0.1',
        'TORCH_HOME': '/data/x/cache/torch',
    }
    _, env = called(job('train.sbatch', CONFIG=CONFIG, PROXY=''))
    assert set(env.values()) == {None}


def test_modules_are_loaded(job):
    module = {'BASH_FUNC_module%%': '() {  echo "module $*"\n}'}
    done = job('train.sbatch', CONFIG=CONFIG, MODULES='gcc cuda/compat/12.0', **module)
    called(done)
    assert 'module add gcc\nmodule add cuda/compat/12.0\n' in done.stdout


@pytest.mark.parametrize('name', [path.name for path in JOBS])
def test_what_is_missing_ends_the_job_with_one_line(job, name, tmp_path):
    for env, message in (
        ({}, 'set CONFIG'),
        ({'CONFIG': CONFIG, 'OPTIONS': '"x'}, 'a quote is not closed'),
        ({'CONFIG': CONFIG, 'cwd': tmp_path}, 'is no checkout'),
        ({'CONFIG': CONFIG, 'PATH': '/usr/bin:/bin'}, 'no NVIDIA GPU'),
        ({'CONFIG': CONFIG, 'PYTHON': '/bin/false'}, 'cannot import rlepose_ext'),
    ):
        done = job(name, **env)
        assert done.returncode == 2, message
        assert message in done.stderr
        assert 'called' not in done.stdout


def test_the_job_goes_to_the_folder_it_was_submitted_in(job, tmp_path):
    called(job('train.sbatch', cwd=tmp_path, CONFIG=CONFIG, SLURM_SUBMIT_DIR=str(ROOT)))
    called(job('train_1gpu.rj', cwd=tmp_path, CONFIG=CONFIG, CHECKOUT=str(ROOT)))


@pytest.mark.parametrize('path', JOBS, ids=lambda path: path.name)
def test_directives(path):
    """Typed GPUs, no queue, and for rj all variables that the scripts read."""
    text = path.read_text()
    directives = re.findall(r'^#(?:rj|SBATCH) (.*)', text, re.M)
    assert re.search(r'gpus?[=:]a100:\d', ' '.join(directives))
    assert not re.search(r'queue=|partition|account|mail', ' '.join(directives))
    if path.suffix == '.rj':
        (export,) = re.findall(r'export=(\S+)', ' '.join(directives))
        sourced = [DUG / '_job.sh', DUG / '_options.sh', ROOT / 'tools' / '_python.sh']
        read = set(re.findall(r'\$\{([A-Z_]+)', text + ''.join(map(Path.read_text, sourced))))
        read -= {'SLURM_SUBMIT_DIR', 'CUDA_VISIBLE_DEVICES', 'BASH_SOURCE'}
        assert read | VARIABLES <= set(export.split(','))
        # rj must find its lines before the first command
        assert text.rindex('#rj') < text.index('set -euo')


def test_nobodys_name():
    """No user, group or machine: who runs a script has another one."""
    for path in [*DUG.iterdir(), *(ROOT / 'tools').glob('*/*.s*'), *PAGES]:
        text = re.sub(r'VIBE-anu_\d+', '', path.read_text())
        assert not re.search(r'\bu\d{7}\b|\b(?:uwa|curtin|csiro|hpi|anu)_\w+|/p[89]/', text), path
        for group in re.findall(r'/data/([\w$({]+)', text):
            assert group[0] == '$' or group == 'GROUP', group


def test_pages_name_files_that_exist():
    for page in PAGES:
        for name in re.findall(r'\b(?:tools|tests|configs|docs)/[\w./*-]+', page.read_text()):
            assert list(ROOT.glob(name.rstrip('.'))), name


def documented(pattern: str) -> list[list[str]]:
    """The commands of all pages and the README in which a word matches."""
    lines = []
    for page in [ROOT / 'README.md', *ROOT.glob('docs/*.md'), *ROOT.glob('configs/**/*.md')]:
        for block in re.findall(r'^```bash\n(.*?)^```', page.read_text(), re.S | re.M):
            for line in block.replace('\\\n', ' ').splitlines():
                if re.search(pattern, line):
                    lines.append(shlex.split(line, comments=True))
    return lines


def test_documented_mim_commands_survive_any_click():
    """From click 8.3.1 on an option that is not given is garbage, not its default."""
    lines = documented(r'\bmim (?:train|test).*--launcher slurm')
    assert lines
    for words in lines:
        for option in ('partition', 'gpus', 'gpus-per-node', 'cpus-per-task', 'srun-args'):
            assert f'--{option}' in words, words


def test_documented_scripts_get_their_arguments():
    needed = {'dist_train': 2, 'dist_test': 3, 'slurm_train': 4, 'slurm_test': 4, 'submit': 1}
    lines = documented(r'tools/(?:slurm/)?(?:dist_|slurm_|submit)')
    assert len(lines) >= 8
    for words in lines:
        (at,) = [i for i, word in enumerate(words) if word.endswith('.sh')]
        assert all(re.match(r'[A-Z_]+=', word) for word in words[:at])
        assert os.access(ROOT / words[at], os.X_OK)
        arguments = words[at + 1 :]
        assert len(arguments) >= needed[Path(words[at]).stem]
        config = {'slurm_train': 2, 'slurm_test': 2}.get(Path(words[at]).stem, 0)
        if Path(words[at]).stem == 'submit':
            (script,) = [i for i, word in enumerate(arguments) if word.endswith(('.sbatch', '.rj'))]
            assert (ROOT / arguments[script]).is_file(), words
            if (ROOT / arguments[script]) in JOBS:
                assert arguments[script + 1 :] == []
                continue
            config = script + 1
        assert (ROOT / arguments[config]).is_file(), words


def test_documented_options_are_for_one_job():
    """Exported they would reach the next one too, which may be a test and not know them."""
    assert documented(r'\bOPTIONS=.* tools/slurm/submit\.sh')
    assert documented(r'\bexport .*\bOPTIONS=') == []


def test_gpu_hours_are_the_product():
    text = PAGES[0].read_text()
    row = re.compile(r'^\| .+? \| (\d+)(?: [cd])? \| (\d+) \| (?:(\d+) \| )?(\d+) \|$', re.M)
    rows = row.findall(text)
    assert len(rows) == 18
    for epochs, minutes, gpus, hours in rows:
        exact = int(epochs) * int(minutes) * int(gpus or 1) / 60
        assert abs(int(hours) - exact) <= 0.5, (epochs, minutes, gpus, hours, exact)


def test_every_doubt_has_a_check():
    """Each (?n) of the text stands in the table with a command."""
    text = PAGES[0].read_text()
    rows = dict(re.findall(r'^\| \?(\d+) \| .*? \| (.*?) \| .*\|$', text, re.M))
    assert [int(number) for number in rows] == list(range(1, len(rows) + 1))
    assert all('`' in check for check in rows.values())
    used = set(re.findall(r'\?(\d+)', ' '.join(re.findall(r'\(\?\d+(?:, \?\d+)*\)', text))))
    assert used == set(rows)
