"""The worked example of docs/datasets.md: its files are the real ones, its commands run."""

import os
import re
import shlex
import subprocess
import sys

import pytest

FENCE = re.compile(r'^```(\w+)\n(.*?)^```', re.S | re.M)


@pytest.fixture(scope='module')
def section(root):
    text = (root / 'docs/datasets.md').read_text()
    return text.split('<!-- own data: begin -->')[1].split('<!-- own data: end -->')[0]


def blocks(section, language):
    return [body for kind, body in FENCE.findall(section) if kind == language]


def test_the_files_shown_are_the_files(root, section):
    files = ['puppets_metainfo.py', 'rle_mobilenetv2-050_1xb8-20e_puppets-192x192.py']
    shown = blocks(section, 'python')
    assert shown == [(root / 'demo/own_dataset' / file).read_text() for file in files]
    for file in files:
        assert f'`demo/own_dataset/{file}`' in section


def run(words, folder):
    program = {
        'rlepose': [sys.executable, '-m', 'rlepose_ext.cli.main'],
        'python': [sys.executable],
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith('RLEPOSE_')}
    return subprocess.run(
        [*program[words[0]], *words[1:]],
        cwd=folder,
        env={**env, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        timeout=550,
    )


@pytest.mark.slow
def test_the_commands_run(root, section, tmp_path):
    for name in ('demo', 'configs'):
        (tmp_path / name).symlink_to(root / name)
    commands = [
        shlex.split(line) for block in blocks(section, 'bash') for line in block.splitlines()
    ]
    assert [words[:2] for words in commands] == [
        ['python', 'demo/own_dataset/draw_puppets.py'],
        ['rlepose', 'data'],
        ['rlepose', 'data'],
        ['rlepose', 'train'],
    ]
    for words in commands:
        done = run(words, tmp_path)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        if words[1] == 'data':
            assert 'No problems.' in done.stdout
    assert (tmp_path / 'work_dirs/puppets.jpg').is_file()
    assert (tmp_path / 'work_dirs/puppets/epoch_1.pth').is_file()
    assert 'PCK@0.2/PCK' in done.stdout

    # the mistake that the page names
    metainfo = tmp_path / 'metainfo.py'
    text = (root / 'demo/own_dataset/puppets_metainfo.py').read_text()
    metainfo.write_text(
        text.replace("swap='left_hand'", "swap=''").replace("='right_hand')", "='')")
    )
    check = commands[1][: commands[1].index('--metainfo')]
    done = run([*check, '--metainfo', 'metainfo.py'], tmp_path)
    assert done.returncode == 1
    (said,) = re.findall(
        r'^  (problem: 2 flip pairs contradict the names.*?), \.\.\.$', section, re.M
    )
    assert said in done.stdout
    assert 'contradict the poses: left_hand swaps with left_hand' in done.stdout
