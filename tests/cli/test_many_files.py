"""``rlepose demo FOLDER --shard I/N --resume`` and ``rlepose merge``, without a network."""

import gc
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rlepose_ext.cli.main import main
from rlepose_ext.errors import UserError
from rlepose_ext.inference.finished import Shard, read_records
from rlepose_ext.inference.sources import find_sources
from rlepose_ext.inference.types import PoseResult

META = {
    'skeleton_links': [(0, 1)],
    'skeleton_link_colors': np.array([[255, 0, 0]]),
    'keypoint_colors': np.array([[255, 0, 0], [0, 255, 0]]),
    'keypoint_id2name': {0: 'top', 1: 'foot'},
}


class OnePerson:
    """Finds one person, whose box begins at a pixel's value: which image it was can be told."""

    has_sigma, meta = False, META

    def predict(self, frames, names=(), clock=None):
        found = []
        for frame in frames:
            x = float(frame[0, 0, 0])
            box = np.array([[x, 0, x + 10, 20]], np.float32)
            found.append(
                PoseResult(
                    boxes=box,
                    box_scores=np.ones(1, np.float32),
                    keypoints=box.reshape(1, 2, 2),
                    scores=np.ones((1, 2), np.float32),
                    meta=META,
                    image=frame,
                )
            )
        return found


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """The command in an empty folder, with a model named by ``--pose``."""
    monkeypatch.chdir(tmp_path)

    def choose(detector, pose, preset, **more):
        return SimpleNamespace(predictor=OnePerson(), why='', models=str(pose))

    monkeypatch.setattr('rlepose_ext.inference.choose.choose', choose)

    def run(*words, pose='a'):
        command = ['demo', *words, '--output-root', 'out', '--save-predictions']
        return main([*command, '--resume', '--pose', pose])

    return run


def draw(*names):
    """Pictures whose number is the value of their pixels."""
    Path('in').mkdir(exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(f'in/{name}', np.full((16, 24, 3), number, np.uint8))


def done(capsys):
    """Names of the inputs that were run."""
    lines = [line for line in capsys.readouterr().out.splitlines() if ' -> ' in line]
    return [Path(line.split(' -> ')[0]).name for line in lines]


def test_shards_divide_the_whole_list_whatever_its_order(demo):
    draw(*(f'{letter}.png' for letter in 'hgfedcba'))
    sources = find_sources('in')
    parts = [Shard(number, 3).of(sources) for number in (1, 2, 3)]
    assert [[each.name[0] for each in part] for part in parts] == [
        ['a', 'd', 'g'],
        ['b', 'e', 'h'],
        ['c', 'f'],
    ]
    for number, part in enumerate(parts, 1):
        assert Shard(number, 3).of(sources[::-1]) == part
    with pytest.raises(UserError, match='camera'):
        Shard(1, 2).of(find_sources('webcam'))


@pytest.mark.parametrize('text', ['0/2', '3/2', '1', '1/0', '-1/2', 'a/b', '1/2/3', ''])
def test_a_shard_that_is_none(demo, capsys, text):
    draw('a.png')
    assert demo('in', f'--shard={text}') == (2 if text else 0)
    assert ('expected I/N' in capsys.readouterr().err) == bool(text)


def test_what_is_done_is_left_out(demo, capsys):
    draw('a.png', 'b.png', 'c.png')
    assert demo('in', '--shard', '1/2') == 0
    assert done(capsys) == ['a.png', 'c.png']
    # Another division takes over what the first one did.
    assert demo('in') == 0
    assert done(capsys) == ['b.png']
    assert demo('in') == 0
    assert done(capsys) == []
    os.remove('out/b_coco.json')
    with open('out/results_c.json', 'a') as file:
        file.write(' ')
    cv2.imwrite('in/a.png', np.zeros((8, 8, 3), np.uint8))
    assert demo('in') == 0
    assert done(capsys) == ['a.png', 'b.png', 'c.png']
    # Neither how fast nor where something runs makes other results, the model does.
    assert demo('in', '--batch-size', '3', '--device', 'cpu') == 0
    assert done(capsys) == []
    assert demo('in', '--shard', '2/3', pose='b') == 0
    assert done(capsys) == ['b.png']
    assert demo('in', '--kpt-thr', '0.5', pose='b') == 0
    output = capsys.readouterr()
    assert '3 were done with other options and are done again' in output.err


def test_a_checkpoint_that_was_trained_on_is_another_model(demo, capsys):
    draw('a.png')
    Path('last.pth').write_bytes(b'1')
    os.utime('last.pth', (1, 1))
    assert demo('in', pose='last.pth') == demo('in', pose='last.pth') == 0
    assert done(capsys) == ['a.png']
    os.utime('last.pth', (2, 2))
    assert demo('in', pose='last.pth') == 0
    assert done(capsys) == ['a.png']


KILLED = """
    import os, signal, sys
    sys.path[:0] = {path!r}
    import test_many_files as case
    from types import SimpleNamespace
    from rlepose_ext.inference import choose, finished

    choose.choose = lambda *args, **more: SimpleNamespace(
        predictor=case.OnePerson(), why='', models="['a']"
    )
    write, left = os.write, [{lines}]

    def torn(file, content):
        # The run's first line is not about an input.
        left[0] -= 1
        if left[0] >= 0:
            return write(file, content)
        write(file, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    finished.os = SimpleNamespace(**{{**vars(os), 'write': torn}})
    from rlepose_ext.cli.main import main
    main(['demo', 'in', '--output-root', 'out', '--save-predictions', '--resume', '--pose', 'a'])
"""


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_line(demo, capsys):
    """What the record has said before is done, the rest is not."""
    draw('a.png', 'b.png', 'c.png')
    script = textwrap.dedent(KILLED.format(path=[str(Path(__file__).parent)], lines=2))
    process = subprocess.run([sys.executable, '-c', script])
    assert process.returncode == -signal.SIGKILL
    assert not Path('out/finished.jsonl').read_bytes().endswith(b'\n')
    assert main(['merge', 'out']) == 2
    assert 'not finished: b.png, c.png' in capsys.readouterr().err
    assert demo('in') == 0
    assert done(capsys) == ['b.png', 'c.png']
    assert main(['merge', 'out']) == 0
    assert len(json.loads(Path('out/predictions.json').read_text())) == 3


def write_clip(path, frames):
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48))
    for _ in range(frames):
        writer.write(np.full((48, 64, 3), 100, np.uint8))
    writer.release()


def test_merge_joins_images_and_videos_of_all_shards(demo, capsys):
    draw('0007.png', '0005.png')
    write_clip('in/clip.mp4', 3)
    for number in (2, 1):
        assert demo('in', '--shard', f'{number}/2') == 0
    assert main(['merge', 'out', '--into', 'all/poses.json']) == 0
    assert '5 poses of 5 images and frames of 3 inputs' in capsys.readouterr().out
    entries = json.loads(Path('all/poses.json').read_text())
    images = json.loads(Path('all/poses_images.json').read_text())['images']
    assert images == [
        {'id': 1, 'file_name': 'in/0005.png'},
        {'id': 2, 'file_name': 'in/0007.png'},
        *({'id': 3 + n, 'file_name': 'in/clip.mp4', 'frame': n} for n in range(3)),
    ]
    assert [entry['image_id'] for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry['bbox'][0] for entry in entries[:2]] == [1, 0]
    assert [entry.get('track_id') for entry in entries] == [None, None, 0, 0, 0]


def test_images_that_have_numbers_keep_them(demo):
    draw('0007.png', '0005.png')
    assert demo('in') == main(['merge', 'out']) == 0
    entries = json.loads(Path('out/predictions.json').read_text())
    assert [(entry['image_id'], entry['bbox'][0]) for entry in entries] == [(5, 1), (7, 0)]


def test_merge_does_not_take_a_part_for_the_whole(demo, capsys):
    def error():
        Path('out/predictions.json').unlink(missing_ok=True)
        assert main(['merge', 'out']) == 2
        assert not Path('out/predictions.json').exists()
        return capsys.readouterr().err

    Path('out').mkdir()
    assert 'no record of finished inputs' in error()
    draw('a.png', 'b.png', 'c.png', 'd.png')
    Path('in/d.png').write_bytes(b'no picture')
    assert demo('in', '--shard', '1/2') == 0
    assert '2 of 4 inputs are not done; no record of shard 2/2' in error()
    assert demo('in', '--shard', '2/2') == 2
    capsys.readouterr()
    # A picture that cannot be used is none that is missing.
    assert main(['merge', 'out']) == 0
    output = capsys.readouterr()
    assert 'failed, and not in the file: in/d.png' in output.err
    assert '3 poses of 3 images' in output.out
    whole = Path('out/b_coco.json').read_bytes()
    Path('out/b_coco.json').write_bytes(whole[:-3])
    assert 'b_coco.json' in error()
    # of the same size, and torn
    Path('out/b_coco.json').write_bytes(whole[:-3] + b'   ')
    assert 'b_coco.json cannot be used' in error()
    Path('out/b_coco.json').unlink()
    assert 'b_coco.json' in error()
    command = ['demo', 'in/a.png', '--output-root', 'out', '--resume', '--pose', 'a']
    assert main(command) == 0
    Path('out/b_coco.json').write_bytes(whole)
    assert 'no predictions of a.png' in error()
    Path('out/finished.jsonl').write_text('{}\nno json\n')
    assert 'finished.jsonl, line 2' in error()


def test_a_video_that_was_ended_early_is_not_done(demo, capsys, monkeypatch):
    draw('a.png')
    write_clip('in/b.mp4', 40)
    predict = OnePerson.predict

    def interrupted(self, frames, names=(), clock=None):
        if names[0].startswith('b.mp4'):
            signal.raise_signal(signal.SIGINT)
        return predict(self, frames, names, clock)

    monkeypatch.setattr(OnePerson, 'predict', interrupted)
    assert demo('in') == 130
    assert list(read_records(Path('out')).done) == ['a.png']
    monkeypatch.setattr(OnePerson, 'predict', predict)
    capsys.readouterr()
    assert demo('in') == 0
    assert done(capsys) == ['b.mp4']


def use_of_the_process():
    gc.collect()
    with open('/proc/self/statm') as file:
        pages = int(file.read().split()[1])
    return pages * resource.getpagesize() / 2**20, len(os.listdir('/proc/self/fd'))


@pytest.mark.skipif(not Path('/proc/self/fd').is_dir(), reason='needs /proc')
@pytest.mark.slow
def test_many_images_leave_memory_flat_and_no_file_open(demo, monkeypatch):
    count = 10_000
    draw('a.png')
    for number in range(count - 1):
        os.link('in/a.png', f'in/{number:05}.png')
    use, predict = [], OnePerson.predict

    def watched(self, frames, names=(), clock=None):
        use.append(use_of_the_process() if len(use) % 50 == 0 else None)
        return predict(self, frames, names, clock)

    monkeypatch.setattr(OnePerson, 'predict', watched)
    assert demo('in', '--quiet') == 0
    assert len(use) == count
    seen = [each for each in use if each is not None]
    # after the first images, which fill caches
    assert seen[-1][0] - seen[1][0] < 10 + count / 1000
    assert {files for _, files in seen[1:]} == {seen[1][1]}
    assert main(['merge', 'out']) == 0
    assert len(json.loads(Path('out/predictions.json').read_text())) == count
    before = len(use)
    assert demo('in') == 0
    assert len(use) == before
