"""The commands of docs/own_data.md, one after the other, with few pictures and two epochs."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

FENCE = re.compile(r'^```bash\n(.*?)^```', re.S | re.M)
SHORT = ['train_cfg.max_epochs=2', 'train_cfg.val_interval=1']


@pytest.fixture(scope='module')
def commands(root):
    text = (root / 'docs/own_data.md').read_text()
    text = text.split('<!-- tutorial: begin -->')[1].split('<!-- tutorial: end -->')[0]
    return [shlex.split(line) for block in FENCE.findall(text) for line in block.splitlines()]


@pytest.mark.slow
def test_the_commands_run(root, commands, tmp_path):
    for name in ('demo', 'configs'):
        (tmp_path / name).symlink_to(root / name)
    (config,) = {word for words in commands for word in words if word.endswith('.py')} - {
        'demo/own_dataset/draw.py'
    }
    said = []
    for words in commands:
        words = [word.replace('epoch_40.pth', 'epoch_2.pth') for word in words]
        if words[0] == 'python':
            words += ['--count', '30']
        if words[1] == 'train':
            words += ['--cfg-options', *SHORT]
        if words[1] == 'test':
            words += ['--badcase']
        said.append(run(words, tmp_path))
    assert [words[1] for words in commands[1:]] == [
        'init', 'data', 'train', 'test', 'demo', 'export', 'demo',
    ]  # fmt: skip
    assert (tmp_path / config).is_file()
    # what init prints is what the page goes on with
    printed = [line.split()[:2] for line in said[1].splitlines() if line.startswith('  rlepose ')]
    assert printed == [['rlepose', word] for word in ('train', 'test', 'demo', 'export', 'demo')]
    for line in said[1].splitlines():
        if line.startswith('  rlepose train'):
            assert shlex.split(line) == commands[3]
    for key in ('PCK', 'PCK_mean_pose', 'PCK_nearest'):
        assert f'PCK@0.05/{key}: ' in said[4]
    # two epochs teach nothing, and that is said
    assert 'of the model is' in said[4]
    (worst,) = tmp_path.glob('work_dirs/*/*/badcase/results.json')
    assert json.loads(worst.read_text())
    for folder in ('drawn', 'drawn_onnx'):
        drawn = {path.name for path in (tmp_path / 'work_dirs/geckos' / folder).rglob('*.png')}
        assert len(drawn) == 4
    # a checkpoint and its export agree
    assert re.search(r'keypoints +largest \S+ px', said[6])


def run(words, folder):
    program = {
        'rlepose': [sys.executable, '-m', 'rlepose_ext.cli.main'],
        'python': [sys.executable],
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith('RLEPOSE_')}
    done = subprocess.run(
        [*program[words[0]], *words[1:]],
        cwd=folder,
        env={**env, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout + done.stderr
