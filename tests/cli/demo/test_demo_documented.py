"""What docs/inference.md says of ``rlepose demo`` is so."""

import itertools
import re
import shlex
import shutil

import pytest

from rlepose_ext.cli.main import build_parser, main

SAMPLES = 'data/mmpose_samples'
PHOTOS = ('000000000785.jpg', '000000196141.jpg')
VIDEO = '000001_mpiinew_test.mp4'
FENCE = re.compile(r'^```(\w+)\n(.*?)^```', re.S | re.M)


@pytest.fixture
def page(root):
    return (root / 'docs/inference.md').read_text()


def test_every_option_is_there(page):
    commands = build_parser()._subparsers._group_actions[0].choices
    rows = ''.join(line for line in page.splitlines() if line.startswith('| '))
    for action in commands['demo']._actions:
        names = [name for name in action.option_strings if name not in ('-h', '--help')]
        assert not names or names[0] in rows or f'demo photos/ {names[0]}' in page, names


@pytest.mark.slow
def test_the_outputs_are_those_of_the_commands(
    page, shared, movenet_files, tmp_path, monkeypatch, capsys
):
    video = shared / SAMPLES / 'videos' / VIDEO
    if not video.is_file():
        pytest.skip('no samples of MMPose')
    monkeypatch.setenv('RLEPOSE_MIRROR', str(movenet_files))
    shutil.copy(video, 'street.mp4')
    (tmp_path / 'photos').mkdir()
    for name in PHOTOS:
        shutil.copy(shared / SAMPLES / 'coco' / name, 'photos')
    blocks = FENCE.findall(page)
    runs = [
        (before.splitlines()[-1], said)
        for (_, before), (kind, said) in itertools.pairwise(blocks)
        if kind == 'text'
    ]
    assert len(runs) == 3
    for command, said in runs:
        assert main([*shlex.split(command)[1:], '--device', 'cpu']) == 0
        out, err = capsys.readouterr()
        for line in said.splitlines():
            # what depends on the machine is the time, and where the model is
            fixed = re.split(r' in \d+\.|, \d+\.\d frames| \(', line)[0]
            assert fixed in out + err
