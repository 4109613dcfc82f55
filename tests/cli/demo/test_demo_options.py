"""What ``rlepose demo`` takes besides inputs and models, and what it says while it runs."""

import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from demo_case import CONFIG, names, picture, read_clip, results, write_clip

from rlepose_ext.cli import progress
from rlepose_ext.cli.demo import take_values
from rlepose_ext.cli.main import build_parser, main
from rlepose_ext.errors import UserError
from rlepose_ext.inference.arguments import seconds
from rlepose_ext.inference.drawing import Style
from rlepose_ext.version import __version__


def parsed(*arguments):
    args = build_parser().parse_args(['demo', *arguments])
    return args, [*args.input, *take_values(args)]


@pytest.mark.parametrize(('arguments', 'expected'), [
    (['--det', 'full', 'a.jpg', 'b.jpg'], {'det': ['full']}),
    (['--det', 'x.py', 'x.pth', 'a.jpg', 'b.jpg'], {'det': ['x.py', 'x.pth']}),
    (['--pose', 'rtmpose-m', 'a.jpg', 'b.jpg'], {'pose': ['rtmpose-m']}),
    (['--pose', 'rtmpose-m', 'm.pth', 'a.jpg', 'b.jpg'], {'pose': ['rtmpose-m', 'm.pth']}),
    (['--save', 'txt', 'csv', 'a.jpg', 'b.jpg'], {'save': ['txt', 'csv']}),
    (['--save', 'none', 'a.jpg', 'b.jpg'], {'save': []}),
    (['a.jpg', 'b.jpg'], {'save': ['image'], 'det_cat_id': None}),
    (['--classes', '0', '16', 'a.jpg', 'b.jpg'], {'det_cat_id': [0, 16]}),
    (['a.jpg', '--det-cat-id', '2', 'b.jpg'], {'det_cat_id': [2]}),
])  # fmt: skip
def test_inputs_behind_an_option_are_inputs(arguments, expected):
    args, inputs = parsed(*arguments)
    assert inputs == ['a.jpg', 'b.jpg']
    assert {name: getattr(args, name) for name in expected} == expected


def test_values_that_do_not_fit():
    for arguments in (['--save', 'a.jpg'], ['--save', 'csv', 'none'], ['--classes', 'a.jpg']):
        with pytest.raises(UserError, match=arguments[0]):
            parsed(*arguments)


@pytest.mark.parametrize(('text', 'expected'), [
    ('90', 90), ('1.5', 1.5), ('1:30', 90), ('1:02:03.5', 3723.5), ('0:00', 0),
])  # fmt: skip
def test_times(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize('text', ['', 'now', '1:2:3:4', '-1', '1:-2', '1:', 'nan'])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match='h:m:s'):
        seconds(text)


def test_help_has_the_defaults_that_hold(capsys):
    with pytest.raises(SystemExit):
        main(['demo', '--help'])
    text = re.sub(r'\s+', ' ', capsys.readouterr().out)
    assert 'None' not in text
    assert 'False' not in text
    for said in (
        'persons at once (default: 32)',
        f'(default: {Style().kpt_thr})',
        'work_dirs/demo',
    ):
        assert said in text


def test_the_module_is_the_command():
    command = [sys.executable, '-m', 'rlepose_ext', '--version']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f'rlepose_ext {__version__}'


def test_folders_with_files_of_one_name(tmp_path, demo, capsys):
    """Nested, with other files among them and one that is damaged."""
    for number, folder in enumerate(('photos/a', 'photos/b')):
        (tmp_path / folder).mkdir(parents=True)
        cv2.imwrite(f'{folder}/1.png', picture(number))
        (tmp_path / folder / 'notes.txt').write_text('no picture')
    (tmp_path / 'photos/b/2.png').write_bytes(b'no picture')
    assert demo('photos', '--nested', '--save-predictions', '--save', 'image', 'txt') == 2
    said = capsys.readouterr()
    assert 'photos/b/1.png -> out/1_2.png: 1 pose' in said.out
    assert [line for line in said.err.splitlines() if 'error' in line] == [
        'rlepose demo: error: image photos/b/2.png is no image that Pillow can decode'
    ]
    assert '1 of 3 inputs failed' in said.err
    assert names(tmp_path / 'out') == [
        *('1.png', '1_2.png', '1_2_coco.json', '1_coco.json', 'labels'),
        *('results_1.json', 'results_1_2.json'),
    ]
    assert names(tmp_path / 'out/labels') == ['1.txt', '1_2.txt']
    # the number of the image is that of its file
    assert results('1_2')[1][0]['image_id'] == 1


def test_an_input_that_is_not_there_does_not_stop_the_others(tmp_path, demo, capsys):
    cv2.imwrite('a.png', picture())
    assert demo('gone.png', 'a.png', 'http://nowhere.invalid/b.png') == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert errors[0] == 'rlepose demo: error: gone.png does not exist'
    assert 'http://nowhere.invalid/b.png: no connection' in errors[1]
    assert names(tmp_path / 'out') == ['a.png']


def test_a_part_of_a_video(demo, capsys):
    write_clip('walk.mp4', 30)
    options = ('--start', '0:01', '--end', '2.5', '--vid-stride', '3', '--save-predictions')
    assert demo('walk.mp4', *options) == 0
    frames, fps = read_clip('out/walk.mp4')
    assert (len(frames), fps) == (5, pytest.approx(10 / 3, rel=0.01))
    info = results('walk')[0]['instance_info']
    np.testing.assert_allclose([f['time'] for f in info], [1.0, 1.3, 1.6, 1.9, 2.2], atol=2e-3)
    assert demo('walk.mp4', '--start', '9') == 2
    assert 'walk.mp4 ends at 3.0 s, before the start (9 s)' in capsys.readouterr().err


def test_nothing_is_saved(tmp_path, demo, capsys):
    cv2.imwrite('a.png', picture())
    assert demo('a.png', '--save', 'none') == 0
    assert 'a.png: 1 pose in ' in capsys.readouterr().out
    assert names(tmp_path / 'out') == []


def test_progress_and_speed(demo, capsys, monkeypatch):
    write_clip('walk.mp4', 20)
    monkeypatch.setattr(progress, 'EVERY', 0.0)
    assert demo('walk.mp4') == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert sum(bool(re.match(r'walk\.mp4: \d+/20, \d', line)) for line in lines) == 20
    assert re.search(r'20 frames, [\d.]+ frames a second \(without the first 8\)', said.out)
    (speed,) = [line for line in lines if 'speed: ' in line]
    stages = re.findall(r'([a-z ]+) ([\d.]+)(?:,|\b)', speed.split('speed: ')[1])
    assert {'crop', 'network', 'draw'} <= {name.strip() for name, _ in stages}
    assert demo('walk.mp4', '--quiet') == 0
    said = capsys.readouterr().err
    assert 'walk.mp4' not in said
    assert 'speed' not in said


def test_a_rate_without_the_start(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, 'perf_counter', lambda: now[0])
    bar = progress.Progress('a', quiet=True, terminal=False)
    now[0] = 104.0  # the network had to warm up
    bar.warm(8)
    assert bar.rate(8) == (2.0, 0)
    now[0] = 105.0
    assert bar.rate(18) == (10.0, 8)


def test_speed_by_stage():
    speed = progress.Speed()
    # an image that had to wait for the network, alone, and with others
    speed.add({'network': 4.0, 'draw': 0.001}, 1, 0)
    assert str(speed) == 'network 4000, draw 1.0 ms a frame, start-up included'
    speed.add({'network': 0.02, 'decode': 0.004}, 1, 0)
    speed.add({'network': 0.04, 'decode': 0.006}, 1, 0)
    assert str(speed) == 'decode 5.0, network 30 ms a frame'
    # and a video of whose 20 frames 8 do not count
    speed = progress.Speed()
    speed.warm({'network': 5.0, 'decode': 0.08})
    speed.add({'network': 6.2, 'decode': 0.2, 'track': 0.00012}, 20, 8)
    assert str(speed) == 'decode 10, network 100 ms a frame'
    assert speed.frames == 12


@pytest.mark.slow
def test_a_normal_run_says_nothing_of_others(checkpoint):
    """Not a line of torch's, mmengine's or mmdet's."""
    cv2.imwrite('a.png', picture())
    command = [sys.executable, '-m', 'rlepose_ext', 'demo', 'a.png', '--det', 'full', '--pose']
    done = subprocess.run(
        [*command, CONFIG, checkpoint, '--device', 'cpu'],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != 'PYTHONWARNINGS'},
    )
    assert done.stdout.count('\n') == 1
    first, *rest = done.stderr.splitlines()
    assert first.startswith('detector full, pose ')
    assert [line.partition(':')[0] for line in rest] == ['rlepose demo']
