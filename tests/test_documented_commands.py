"""The commands that the documents show run, word for word, where a reader could have typed them.

Each page has a folder with the reader's files in miniature (``documented.py``), and its commands
run there in their order. Of mim's commands with the same options one runs, and those that read what
their page has made; the configs of the others are run by the matrix. What cannot run so is in
:data:`ELSEWHERE`, with the test that runs it or the reason why none does; a command that is in
neither fails, and so does an entry without one.
"""

import io
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import matrix
import pytest
from documented import (
    LIP,
    QUICKSTART,
    ROOT,
    checkpoints_in,
    configs_in,
    load,
    provide,
    starting_files,
)
from mmengine.registry import DefaultScope
from movenet_weights import ARCHS, model_json
from test_docs import DOCUMENTS, command_lines

from rlepose_ext.cli import launch, lip
from rlepose_ext.cli.main import main
from rlepose_ext.inference import calibrating

pytestmark = pytest.mark.slow

# A pattern of whole commands, with the page before them where it is for that one, and the test file
# that runs them, or why nothing does.
ELSEWHERE = {
    # the machine and the shell
    r'git clone .*|cd .*|\. \.venv/bin/activate|pre-commit install': 'the shell of the reader',
    r'make setup': 'tests/tools/test_setup_env.py',
    r'make demo': 'tests/quickstart/test_quickstart.py',
    r'make matrix': 'tests/configs/test_matrix.py',
    r'make docs': 'tests/test_docs.py',
    r'pip install \.': 'tests/test_packaging.py',
    r'(pip|small/bin/pip) install .*|python -m venv small': 'an installation from the index',
    r'(curl|wget|unzip) .*|for file in .*|done': 'a download of data or weights',
    r'export .*|mkdir (-p \$.*|/fast/pixels)': 'folders of the reader',
    r'(ssh|rsync) .*|id -gn|module add hpc': 'the shell of a cluster',
    r'(sinfo|squeue|scontrol|tail|srun --jobid=\S+) .*': 'the queue of a cluster',
    r'tensorboard --logdir work_dirs': 'a server, which does not end',
    # Slurm
    r'sbatch .*|srun --kill-on-bad-exit=1 .*': 'tests/slurm/test_slurm_cluster.py',
    r'(rlepose|mim) .*--launcher slurm.*': 'tests/slurm/test_slurm_cluster.py',
    r'tools/(dist|slurm)_(train|test)\.sh .*': 'tests/tools/test_launch_scripts.py',
    r'tools/slurm/submit\.sh .*': 'tests/tools/test_job_scripts.py',
    # what has tests of its own
    r'rlepose quickstart( .*)?': 'tests/quickstart/test_quickstart.py',
    r'rlepose chain (rle-050|simcc-\S+ .*--launcher.*)': 'tests/configs/test_chain_training.py',
    r'rlepose data sigmas .*': 'tests/own_data/test_sigmas.py',
    r'own_data\.md: .* data/geckos.*': 'tests/own_data/test_tutorial.py',
    r'rlepose export .*(--int8|configs/quant/).*': 'tests/export/test_int8.py',
    r'deploy\.md: rlepose (export|demo) .*\.onnx( .*)?': 'tests/export/test_deploy_page.py',
    r'rlepose convert adaptivepose .*': 'tests/convert/test_adaptivepose.py',
    r'rlepose convert posefix .*': 'tests/convert/test_posefix_port.py',
    r'rlepose convert poseur .*': 'tests/convert/test_poseur.py',
    r'rlepose convert tokenpose .*': 'tests/convert/test_tokenpose.py',
    r'rlepose convert yolopose .*': 'tests/convert/test_yolopose_files.py',
    r'rlepose posefix prepare rtmpose-m': 'tests/cli/test_posefix_chain.py',
    r'rlepose weights rle_res50\S+': 'tests/zoo/test_download.py',
    r'rlepose detect .*--det rtmdet-m.*': 'tests/cli/test_detect.py',
    r'rlepose demo .*--det rtmdet_tiny.*': 'tests/inference/test_detectors.py',
    r'rlepose demo 0 --show': 'tests/inference/test_inputs.py',
    r'python demo/topdown_demo_with_mmdet\.py .*': 'tests/demo/test_topdown_demo.py',
    r'mim train mmdet .*': 'tests/inference/test_rtmdet.py',
    r'python -m pytest tests/distributed -s': 'tests/distributed/test_two_ranks.py',
    # minutes to hours
    r'python benchmarks/family_budget\.py.*': 'tests/benchmarks/test_family_budget.py',
    r'python benchmarks/matrix\.py.*': 'tests/benchmarks/test_miniature.py',
    r'python benchmarks/overfit\.py.*': 'tests/models/test_overfit.py',
    r'python benchmarks/(cpu_training|faces68|hrnet_lite_cost)\.py.*': (
        'a minute to hours; tests/benchmarks checks what it has written'
    ),
}
# The file of MMPose_Clean that `IN` stands for.
CLEAN = 'mmpose_clean_rle_mbv2_0.50x_192x192_float.pth'
# It counts four pictures where the public file has 118,287, and says so.
STATUS = {'rlepose data check coco --limit 1000 --sheet work_dirs/coco.jpg': 1}
# Behind these a command names what it writes.
WRITES = ('--coco-json', '--into', '--out', '--output-root', '--sheet')
# These look at the checkout itself.
OF_THE_CHECKOUT = ('chain', 'doctor', 'params', 'weights', 'zoo')
PROGRAMS = ('rlepose', 'mim', 'python', 'cp', 'mkdir', 'find')

COMMANDS = [
    (path, index, words) for path in DOCUMENTS for index, words in enumerate(command_lines(path))
]


def elsewhere(path, words):
    """The first pattern of :data:`ELSEWHERE` that fits a command of a page, or ``None``."""
    line = ' '.join(words)
    lines = line, f'{path.name}: {line}'
    fits = (p for p in ELSEWHERE if any(re.fullmatch(p, each) for each in lines))
    return next(fits, None)


def mim_form(words):
    """A command of mim without its config and its checkpoint: all of one form start alike."""
    own = {*configs_in(words), *(path for _, path in checkpoints_in(words))}
    return tuple(word for word in words if word not in own)


def really_started():
    """One command of mim for each form, of the smallest config where there is a choice."""
    chosen = {}
    for path, _, words in COMMANDS:
        if words[0] == 'mim' and elsewhere(path, words) is None:
            form = mim_form(words)
            if form not in chosen or {QUICKSTART, LIP} & set(words):
                chosen[form] = words
    return list(chosen.values())


STARTED = really_started()
RUN = [
    pytest.param(path, index, id=f'{path.relative_to(ROOT)}: {" ".join(words)}')
    for path, index, words in COMMANDS
    if elsewhere(path, words) is None
]


def test_every_command_is_run_or_named():
    here = [words for path, _, words in COMMANDS if elsewhere(path, words) is None]
    assert [words for words in here if words[0] not in PROGRAMS] == []


def test_every_entry_has_a_command_and_its_test():
    used = {elsewhere(path, words) for path, _, words in COMMANDS}
    assert [pattern for pattern in ELSEWHERE if pattern not in used] == []
    named = {path for path in ELSEWHERE.values() if path.startswith('tests/')}
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.fixture(scope='module', autouse=True)
def _reader(tmp_path_factory):
    """No variable is set, no server answers, no GPU is there; the cache has what is at hand."""
    mirror, weights = tmp_path_factory.mktemp('mirror'), documented_weights()
    for path in weights.values():
        (mirror / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(('RLEPOSE_', 'SLURM_', 'TORCHELASTIC_')):
                patch.delenv(name)
        patch.setenv('RLEPOSE_MIRROR', str(mirror))
        patch.setenv('RLEPOSE_CACHE', str(tmp_path_factory.mktemp('cache')))
        patch.setenv('CUDA_VISIBLE_DEVICES', '')
        patch.setenv('OMP_NUM_THREADS', '1')
        patch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
        patch.setattr('socket.getaddrinfo', no_network)
        patch.setattr('rlepose_ext.zoo.download.PAUSE', 0)
        patch.setattr('mmengine.config.Config.pretty_text', 'not = "laid out"')
        patch.setattr(launch, 'become', two_ranks)
        # the config of the folder, not that of the checkout
        patch.setattr(lip, 'resource', Path)
        for name in ('table', 'over_all'):  # intervals of 200 repeats take 10 s
            patch.setattr(calibrating, name, partial(getattr(calibrating, name), repeats=20))
        yield weights


def documented_weights():
    """Files of others that are at hand here, by their names."""
    found = {}
    for arch in ARCHS:
        try:
            path = model_json(arch)
        except pytest.skip.Exception:
            continue
        found |= {part.name: part for part in (path, path.with_suffix('.bin'))}
    shared = Path(os.environ.get('RLEPOSE_SHARED', ROOT.parent / 'shared'))
    return found | {path.name: path for path in (shared / 'weights').rglob('*.pth')}


def no_network(*args, **more):
    raise OSError('no network in tests')


def two_ranks(command):
    """What torchrun would do in place of this process, with two ranks instead of more."""
    words = [re.sub(r'^--nproc_per_node=\d+$', '--nproc_per_node=2', word) for word in command]
    return subprocess.run(words, timeout=400).returncode


class Page:
    """The commands of a document, run once each, in their order, in a folder of their own."""

    def __init__(self, path, folder, weights):
        self.path = path
        self.commands = list(command_lines(path))
        self.folder = folder
        self.weights = weights
        self.found = []

    def outcome(self, index):
        """Status of a command, what is wrong beside it, or what was raised: a skip, an error."""
        while len(self.found) <= index:
            words = self.commands[len(self.found)]
            before = self.commands.index(words)  # a page may show a command twice
            if before < len(self.found):
                self.found.append(self.found[before])
            else:
                named = elsewhere(self.path, words)
                self.found.append(None if named else self._outcome(words))
        return self.found[index]

    def without(self, index):
        """Whether a command before this one was skipped, whose files may be wanted."""
        return any(isinstance(found, pytest.skip.Exception) for found in self.found[:index])

    def _outcome(self, words):
        try:
            return self._run(words)
        except (Exception, pytest.skip.Exception) as raised:
            return raised

    def _run(self, words):
        assert words[0] in PROGRAMS, f'{words[0]} is not run here'
        words = [QUICKSTART if word == 'CONFIG' else word for word in words]
        if words[0] == 'mim' and not self._is_started(words):
            (config,) = configs_in(words)
            assert matrix.leaves()[Path(config).stem] == ROOT / config
            starts = [init['checkpoint'] for _, init in starting_files(load(config))]
            said = words[1] == 'test' or 'init_cfg=None' in self.path.read_text()
            absent = [name for name in starts if not said and not self._has(name)]
            return f'the page does not say where {absent} come from' if absent else 0
        self._bring(words)
        provide(words, self.folder)
        of_checkout = words[0] == 'rlepose' and words[1] in OF_THE_CHECKOUT
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT if of_checkout else self.folder)
            if '|' in words:
                at = words.index('|')
                names = subprocess.run(words[:at], capture_output=True, text=True, check=True)
                patch.setattr(sys, 'stdin', io.StringIO(names.stdout))
                words = words[at + 1 :]
            status = self._status([substituted(word) for word in words])
        absent = [name for name in written(words) if not self._has(name)]
        return f'{absent} not written' if status == 0 and absent else status

    def _status(self, words):
        if words[0] == 'mim' and words not in STARTED:
            return rlepose([word for word in words[1:] if word != 'mmpose'])
        if words[0] == 'rlepose':
            return rlepose(words[1:])
        if words[0] == 'mim':
            return started([sys.executable, '-m', *words])
        if words[0] == 'python':  # a copy, since it writes beside itself
            for name in (Path(words[1]).parent, 'docs/images'):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / words[1], self.folder / words[1])
            return started([sys.executable, *words[1:]])
        return started(words)

    def _is_started(self, words):
        """Whether a command of mim is the one of its form, or reads what the page has made.

        The others are leaves of the matrix, whose tests train, validate and test each of them.
        """
        (config,) = configs_in(words)
        made = [init['checkpoint'] for _, init in starting_files(load(config))]
        made += [path for _, path in checkpoints_in(words) if path.startswith(('weights/', '$('))]
        there = [name.startswith('$(') or self._has(name) for name in made]
        return words in STARTED or (made != [] and all(there))

    def _has(self, name):
        return (self.folder / name).exists()

    def _bring(self, words):
        """Files of others, or a skip where they are not to be had."""
        if program_of_movenet(words) and not any(n.startswith('movenet') for n in self.weights):
            pytest.skip('no weights of MoveNet in the cache or a mirror')
        for word in words:
            name = CLEAN if word == 'IN' else re.sub(r'\$\(rlepose weights (.+)\)', r'\1.pth', word)
            if not name.startswith(('mmpose_clean_', 'rle_mbv2_')):
                continue
            if name not in self.weights:
                pytest.skip(f'no {name} (set RLEPOSE_SHARED)')
            if not word.startswith('$(') and not self._has(word):
                (self.folder / word).symlink_to(self.weights[name])


def written(words):
    """What a command leaves in the reader's folder, as far as its words say it."""
    named = [word for before, word in itertools.pairwise(words) if before in WRITES]
    if words[1] == 'convert' and len(words) > 4:
        images = words[2] in ('aic', 'faces68', 'lip', 'lsp', 'wflw')
        named.append(words[5] if images else words[4])
    if words[1] == 'train' and 'train_cfg.max_epochs=0' not in words:
        (config,) = configs_in(words)
        folder = dict(itertools.pairwise(words)).get('--work-dir', f'work_dirs/{Path(config).stem}')
        named.append(f'{folder}/last_checkpoint')
    return named


def substituted(word):
    """A word in which the shell has put the path that ``$(rlepose weights NAME)`` prints."""
    match = re.fullmatch(r'\$\(rlepose (weights \S+)\)', word)
    if match is None:
        return word
    command = [sys.executable, '-m', 'rlepose_ext.cli.main', *match[1].split()]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def program_of_movenet(words):
    """Whether a command takes MoveNet: named, or as the default of the demo."""
    demo = 'demo' in words and not {'--pose', '--det'} <= set(words) and 'full' not in words
    return demo or any(re.search(r'movenet[-_](lightning|thunder|multipose)', w) for w in words)


def rlepose(words):
    """The status of the command, in this process."""
    DefaultScope._instance_dict.clear()
    try:
        return main(words)
    except SystemExit as stop:  # of argparse
        return stop.code


def started(words):
    """The status of a process."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=400)
    print(done.stdout[-2000:], done.stderr[-3000:])
    return done.returncode


@pytest.fixture(scope='module')
def page(tmp_path_factory, _reader):
    pages = {}

    def of(path):
        if path not in pages:
            folder = tmp_path_factory.mktemp(path.stem)
            pages[path] = Page(path, folder, _reader)
        return pages[path]

    yield of
    for each in pages.values():  # gigabytes of checkpoints
        shutil.rmtree(each.folder)


@pytest.mark.parametrize(('path', 'index'), RUN)
def test_it_runs(path, index, page):
    """With status 0; of mim's commands of one form one, the others are leaves of the matrix."""
    found = page(path).outcome(index)
    if isinstance(found, pytest.skip.Exception):
        raise found
    words = page(path).commands[index]
    status = STATUS.get(' '.join(words), 0)
    if found != status and page(path).without(index):
        pytest.skip('it may need what a skipped command of its page would have made')
    if isinstance(found, Exception):
        raise found
    assert found == status, shlex.join(words)
