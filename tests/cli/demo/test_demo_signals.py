"""Ctrl-C and SIGTERM end ``rlepose demo``, and what it has written is complete."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from demo_case import CONFIG, names, picture, read_clip, results, write_clip

from rlepose_ext.cli import run_inputs

FFMPEG = shutil.which('ffmpeg')


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_inputs_that_have_not_begun_are_left_out(
    demo, tmp_path, monkeypatch, capfd, number, status
):
    for name in ('a.png', 'b.png', 'c.png'):
        cv2.imwrite(name, picture())
    said = []

    def summary(source, *rest):
        signal.raise_signal(number)
        signal.raise_signal(number)
        said.append(source.name)
        return 'done'

    monkeypatch.setattr(run_inputs, 'summary', summary)
    before = signal.getsignal(number)
    assert demo('a.png', 'b.png', 'c.png', '--save-predictions') == status
    assert signal.getsignal(number) == before
    assert said == ['a.png']
    assert names(tmp_path / 'out') == ['a.png', 'a_coco.json', 'results_a.json']
    lines = capfd.readouterr().err.split('\n')
    assert lines.count('stopping: what is done is being completed') == 1
    assert 'rlepose demo: interrupted; what is written is complete' in lines


def test_a_picture_in_a_window_does_not_wait_for_a_key(monkeypatch):
    asked = []
    monkeypatch.setattr(cv2, 'imshow', lambda *args: None)
    monkeypatch.setattr(cv2, 'waitKey', lambda milliseconds: -1)
    monkeypatch.setattr(cv2, 'getWindowProperty', lambda *args: 1.0)
    run_inputs.show_frame(picture(), None, stop=lambda: asked.append(0) or len(asked) > 3)
    assert len(asked) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ('signals', 'status'),
    [
        ([signal.SIGINT] * 4, 130),
        ([signal.SIGTERM, signal.SIGINT, signal.SIGTERM], 143),
    ],
)
def test_a_process_that_is_told_to_stop(tmp_path, checkpoint, signals, status):
    frames = 1500
    write_clip('silent.mp4', frames)
    if FFMPEG is None:
        Path('silent.mp4').rename('walk.mp4')
    else:
        tone = ('-f', 'lavfi', '-i', f'sine=duration={frames // 10}', '-c:v', 'copy')
        command = (FFMPEG, '-v', 'error', '-i', 'silent.mp4', *tone, '-c:a', 'aac', 'walk.mp4')
        subprocess.run(command, check=True)
    command = [sys.executable, '-m', 'rlepose_ext.cli.main', 'demo', 'walk.mp4', '--det', 'full']
    command += ['--pose', CONFIG, checkpoint, '--device', 'cpu', '--output-root', 'out']
    command += ['--save-predictions']
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    begun = Path('out/.results_walk.json.part')
    while process.poll() is None and not (begun.exists() and begun.stat().st_size > 50_000):
        time.sleep(0.01)
    first, *further = signals
    process.send_signal(first)
    # Of several signals that wait Python handles that with the lowest number first.
    said = next((line for line in process.stderr if 'stopping' in line), '')
    for number in further:
        process.send_signal(number)
        time.sleep(0.01)
    said += process.stderr.read()
    assert process.wait(120) == status, said
    assert 'interrupted; what is written is complete' in said
    assert names(tmp_path / 'out') == ['results_walk.json', 'walk.mp4', 'walk_coco.json']
    content, coco = results('walk')
    count = len(content['instance_info'])
    assert 0 < count < frames
    assert len(coco) == count
    assert len(read_clip('out/walk.mp4')[0]) == count
    if FFMPEG is not None:
        entries = ('-show_entries', 'stream=codec_type,duration', '-of', 'json')
        command = ['ffprobe', '-v', 'error', *entries, 'out/walk.mp4']
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        seconds = {stream['codec_type']: float(stream['duration']) for stream in found['streams']}
        assert seconds['audio'] == pytest.approx(seconds['video'], abs=0.1)
