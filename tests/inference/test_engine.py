"""Detect, estimate, track, draw and write, with a detector and a model that know the answer."""

import json
import os
import signal
import threading

import numpy as np
import pytest
from clips import ffmpeg, needs_ffmpeg, number_of, read_clip, seconds_of, write_clip
from people import META, persons

from rlepose_ext.cli.run_inputs import StopRun
from rlepose_ext.errors import UserError
from rlepose_ext.inference.engine import Engine, Options
from rlepose_ext.inference.images import write_image
from rlepose_ext.inference.predictors import TopDown
from rlepose_ext.inference.sources import Source
from rlepose_ext.inference.video import VideoReader


class Walker:
    """A detector and a model in one: a person who walks 5 px a frame, absent in frame 3."""

    meta = META

    def __init__(self):
        self.seen, self.batches = [], []

    def __call__(self, frames, names_or_boxes, scores=None, clock=None):
        if scores is None:
            self.seen += [number_of(frame) for frame in frames]
            found = [self._boxes(number_of(frame)) for frame in frames]
            return [(boxes, np.ones(len(boxes), np.float32)) for boxes in found]
        self.batches.append(len(frames))
        return [
            persons(boxes[:, :2], size=20, image=frame) if len(boxes) else persons([])
            for frame, boxes in zip(frames, names_or_boxes, strict=True)
        ]

    @staticmethod
    def _boxes(number):
        if number == 3:
            return np.zeros((0, 4), np.float32)
        return np.array([[5 * number, 10, 5 * number + 20, 30]], np.float32)


def engine(**options):
    walker = Walker()
    return Engine(TopDown(walker, walker), Options(**options)), walker


def test_a_video_with_all_its_frames(tmp_path):
    source = Source('video', write_clip(tmp_path / 'walk.mp4', 10, fps=5))
    chain, walker = engine(
        output_root=tmp_path / 'out', save_predictions=True, tracking='iou', frames_at_once=4
    )
    assert chain.run(source) == 10
    assert walker.batches == [4, 4, 2]
    frames, fps = read_clip(tmp_path / 'out' / 'walk.mp4')
    assert (len(frames), fps) == (10, 5)
    content = json.loads((tmp_path / 'out' / 'results_walk.json').read_text())
    assert content['meta_info']['num_keypoints'] == 3
    info = content['instance_info']
    assert [frame['frame_id'] for frame in info] == list(range(1, 11))
    assert [len(frame['instances']) for frame in info] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert info[9]['instances'][0]['bbox'] == [[45, 10, 65, 30]]
    assert {p['track_id'] for frame in info for p in frame['instances']} == {0}
    assert info[4]['time'] == pytest.approx(0.8, abs=0.01)
    coco = json.loads((tmp_path / 'out' / 'walk_coco.json').read_text())
    assert [entry['image_id'] for entry in coco] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    # nobody in frame 3, so nothing is drawn on it
    reference, _ = read_clip(source.path)
    assert np.abs(frames[3].astype(int) - reference[3]).mean() < 3
    assert np.abs(frames[5].astype(int) - reference[5])[10:30, 25:45].mean() > 10
    assert set(chain.clock.seconds) >= {'decode', 'detect', 'track', 'draw', 'encode'}
    assert not list((tmp_path / 'out').glob('.*'))


def test_what_came_before_an_error_is_complete(tmp_path):
    source = Source('video', write_clip(tmp_path / 'walk.mp4', 20))
    chain, walker = engine(output_root=tmp_path / 'out', save_predictions=True, frames_at_once=2)

    def fail(frames, boxes, *rest, **more):
        if number_of(frames[0]) >= 6:
            raise UserError('no more')
        return Walker.__call__(walker, frames, boxes, *rest, **more)

    chain.predictor.estimator = fail
    fail.meta = META
    with pytest.raises(UserError, match='no more'):
        chain.run(source)
    assert len(read_clip(tmp_path / 'out' / 'walk.mp4')[0]) == 6
    content = json.loads((tmp_path / 'out' / 'results_walk.json').read_text())
    assert len(content['instance_info']) == 6
    assert len(json.loads((tmp_path / 'out' / 'walk_coco.json').read_text())) == 5


@pytest.fixture
def with_sound(tmp_path):
    """100 frames and 10 s of sound, the index before them."""
    path = tmp_path / 'walk.mp4'
    tone = ('-f', 'lavfi', '-i', 'sine=duration=10', '-c:v', 'copy', '-c:a', 'aac')
    ffmpeg('-i', write_clip(tmp_path / 'a.mp4', 100), *tone, '-movflags', '+faststart', path)
    return path


@needs_ffmpeg
def test_a_truncated_video_is_done_as_far_as_it_goes(tmp_path, with_sound, monkeypatch):
    content = with_sound.read_bytes()
    with_sound.write_bytes(content[: len(content) // 2])
    chain, _ = engine(output_root=tmp_path / 'out')
    with pytest.raises(UserError, match=r'ends early: \d\d of 100 frames'):
        chain.run(Source('video', with_sound))
    assert 20 < len(read_clip(tmp_path / 'out' / 'walk.mp4')[0]) < 80
    # where it cannot be told whether something is missing, a note says so
    monkeypatch.setattr('shutil.which', lambda program: None)
    chain, _ = engine()
    assert 20 < chain.run(Source('video', with_sound)) < 80
    assert 'ffprobe' in chain.notes[0]


@needs_ffmpeg
@pytest.mark.parametrize('how', ['whole', 'stop', 'early error', 'late error'])
def test_there_is_sound_as_long_as_there_are_frames(tmp_path, with_sound, how, monkeypatch):
    chain, _ = engine(output_root=tmp_path / 'out', frames_at_once=2)
    last = {'early error': 11, 'late error': 96}.get(how, 1000)
    seen, all_read = [], threading.Event()
    check_end = VideoReader.check_end
    monkeypatch.setattr(VideoReader, 'check_end', lambda me: all_read.set() or check_end(me))

    def draw(frame, poses):
        seen.append(frame)
        if len(seen) == last:
            # the late one comes when the last frames have been handed over
            assert how == 'early error' or all_read.wait(30)
            raise UserError('no colour left')
        return frame

    chain.draw = draw
    if how == 'stop':
        chain.options.stop = lambda: len(seen) >= 10
    if how.endswith('error'):
        with pytest.raises(UserError, match='no colour left'):
            chain.run(Source('video', with_sound))
    else:
        chain.run(Source('video', with_sound))
    seconds = seconds_of(tmp_path / 'out' / 'walk.mp4')
    assert seconds['audio'] == pytest.approx(seconds['video'], abs=0.05)
    expected = {'whole': 10, 'stop': seconds['video'], 'early error': 1, 'late error': 9.5}
    assert seconds['video'] == pytest.approx(expected[how])
    assert how != 'stop' or 1 <= seconds['video'] < 4


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_run_between_two_frames(tmp_path, number):
    source = Source('video', write_clip(tmp_path / 'walk.mp4', 100))
    chain, _ = engine(output_root=tmp_path / 'out', save_predictions=True, frames_at_once=2)

    def draw(frame, poses):
        # again and again, also while the files are being finished
        os.kill(os.getpid(), number)
        return frame

    chain.draw = draw
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with StopRun() as stop:
        chain.options.stop = stop
        count = chain.run(source)
    assert stop.received == number
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert 0 < count < 50
    assert len(read_clip(tmp_path / 'out' / 'walk.mp4')[0]) == count
    info = json.loads((tmp_path / 'out' / 'results_walk.json').read_text())['instance_info']
    assert len(info) == count
    assert len(list((tmp_path / 'out').iterdir())) == 3


def test_images_are_written_whole_or_not_at_all(tmp_path):
    picture = np.zeros((8, 8, 3), np.uint8)
    write_image(tmp_path / 'ü.jpg', picture)
    write_image(tmp_path / 'a.gif', picture)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.png', 'ü.jpg']
    with pytest.raises(UserError, match=r'does not write|cannot be written'):
        write_image(tmp_path / 'a.xyz', picture)
    with pytest.raises(UserError, match='cannot be written'):
        write_image(tmp_path / 'ü.jpg' / 'a.jpg', picture)
