"""What docs/deploy.md says is so."""

import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from rlepose_ext.cli.main import build_parser, main
from rlepose_ext.convert import files, mmpose_clean

sys.path.insert(0, str(Path(__file__).parents[1]))
from movenet_weights import model_json

FENCE = re.compile(r'^```(\w+)\n(.*?)^```', re.S | re.M)
CLEAN = 'weights/mmpose_clean_rle_mbv2_0.50x_192x192_float.pth'


@pytest.fixture(scope='module')
def page(root):
    return (root / 'docs/deploy.md').read_text()


def commands(page):
    lines = [
        line for kind, body in FENCE.findall(page) if kind == 'bash' for line in body.split('\n')
    ]
    return [shlex.split(line)[1:] for line in lines if line.startswith('rlepose ')]


def test_every_option_is_there(page):
    export = build_parser()._subparsers._group_actions[0].choices['export']
    for action in export._actions:
        for name in set(action.option_strings) - {'-h', '--help'}:
            assert f'| `{name}' in page, name


@pytest.mark.slow
def test_the_commands_and_the_program(page, root, shared, trained, tmp_path, monkeypatch, capsys):
    pytest.importorskip('onnxscript', reason='needs the extra [export]')
    source = shared / CLEAN
    if not source.is_file():
        pytest.skip('no weights of MMPose_Clean')
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').symlink_to(root / 'configs')
    state = mmpose_clean.convert_model(files.read_state_dict(source))
    files.write_checkpoint(tmp_path / 'model.pth', state, {})
    (tmp_path / 'simcc.pth').symlink_to(trained['simcc'][1])
    noise = np.random.default_rng(0).integers(0, 255, (400, 300, 3), dtype=np.uint8)
    cv2.imwrite('street.jpg', noise)
    video = cv2.VideoWriter('street.mp4', cv2.VideoWriter_fourcc(*'mp4v'), 10, (300, 400))
    for _ in range(3):
        video.write(noise)
    video.release()
    # test_int8.py has those of 8 bit
    eight = ('--int8', 'configs/quant')
    found = [each for each in commands(page) if not any(word in ' '.join(each) for word in eight)]
    everybody = [each for each in found if 'people.onnx' in each]
    export, *others = [each for each in found if each not in everybody]
    assert [command[0] for command in (export, *others)] == ['export', 'demo', 'export']
    assert main(export) == 0
    said = next(body for kind, body in FENCE.findall(page) if kind == 'text')
    # the differences depend on the machine
    names = [re.split(r'\d', line)[0] for line in capsys.readouterr().out.splitlines()]
    # and so does whether rounding decides a joint, which is a line of its own
    names = [name for name in names if name.strip()]
    assert names == [re.split(r'\d', line)[0] for line in said.splitlines()]
    for command in others:
        assert main(command) == 0
    persons, everybodys = [body for kind, body in FENCE.findall(page) if kind == 'python']
    exec(compile(persons, 'deploy.md', 'exec'), {})
    assert (tmp_path / 'drawn.jpg').is_file()
    model_json('multipose')
    for command in everybody:
        assert main(command) == 0
    exec(compile(everybodys, 'deploy.md', 'exec'), {})
