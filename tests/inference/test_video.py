"""Videos keep their frames, rate, sound and orientation; broken ones are named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import (
    FFMPEG,
    ffmpeg,
    needs_ffmpeg,
    number_of,
    numbered,
    read_clip,
    seconds_of,
    write_clip,
)

from rlepose_ext.errors import UserError
from rlepose_ext.inference import video
from rlepose_ext.inference.ffmpeg import remux
from rlepose_ext.inference.video import VideoReader
from rlepose_ext.inference.video_writer import VideoWriter


def written(path, frames):
    """A writer that has taken numbered frames."""
    writer = VideoWriter(path, 10)
    for number in range(frames):
        writer.write(numbered(number))
    return writer


def copy_clip(source, target):
    """Reader to writer, as the engine does it."""
    reader = VideoReader(source)
    writer = VideoWriter(target, reader.fps)
    for frame in reader:
        writer.write(frame)
    reader.close()
    assert writer.close(source, reader.average_fps()) == ''
    return reader


@pytest.mark.parametrize(('frames', 'fps'), [(1, 10.0), (2, 30.0), (30, 12.5)])
def test_every_frame_once_at_the_rate_of_the_source(tmp_path, frames, fps):
    source = write_clip(tmp_path / 'ä 図.mp4', frames, fps)
    reader = copy_clip(source, tmp_path / 'out.mp4')
    found, found_fps = read_clip(tmp_path / 'out.mp4')
    assert [number_of(frame) for frame in found] == list(range(frames))
    assert found_fps == pytest.approx(fps, rel=1e-3)
    assert reader.frame_count == frames
    assert reader.check_end() == ''
    assert reader.average_fps() == pytest.approx(fps, rel=1e-3)
    np.testing.assert_allclose(reader.times, np.arange(frames) / fps, atol=2e-3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['out.mp4', 'ä 図.mp4']


def test_reading_ahead_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(video, 'AHEAD', 3)
    reader = VideoReader(write_clip(tmp_path / 'a.mp4', 25))
    frames = iter(reader)
    next(frames)
    reader._thread.join(0.5)
    # one given, three waiting, one in the hand of the thread
    assert reader.decoded <= 5
    assert len(list(frames)) == 24
    reader.close()
    # closed early it stops its thread
    reader = VideoReader(tmp_path / 'a.mp4')
    next(iter(reader))
    reader.close()
    assert not reader._thread.is_alive()


@pytest.mark.parametrize(('content', 'message'), [
    (None, 'cannot be read'),
    (b'', 'is empty'),
    (b'no video' * 100, 'has no frame'),
])  # fmt: skip
def test_broken_files(tmp_path, content, message):
    path = tmp_path / 'a.mp4'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        VideoReader(path)
    with pytest.raises(UserError, match='cannot be written as video'):
        written(tmp_path / 'absent' / 'a.mp4', 1)


def cut(path):
    """Leave half of the bytes."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def whole_clips(folder):
    """Intact videos of whose frames a header says something else, with their number of frames."""
    clip = write_clip(folder / 'a.mp4', 30)
    # frames 0, 1, 11, 12, 22, 23: the headers count tenths of a second
    vfr = ('-vf', "select='lt(mod(n,11),2)'", '-fps_mode', 'vfr')
    ffmpeg('-i', clip, *vfr, folder / 'vfr.mkv')
    ffmpeg('-i', clip, *vfr, folder / 'vfr.webm')
    # from frame 21 on; the file has those from 12, where decoding can begin
    ffmpeg('-ss', '2.1', '-i', clip, '-c', 'copy', folder / 'trimmed.mp4')
    tone = ('-f', 'lavfi', '-i', 'sine=duration=9', '-c:v', 'copy', '-c:a', 'aac')
    ffmpeg('-i', clip, *tone, folder / 'sound.mkv')
    return {'vfr.mkv': 6, 'vfr.webm': 6, 'trimmed.mp4': 9, 'sound.mkv': 30}


@needs_ffmpeg
def test_intact_files_of_which_headers_count_more(tmp_path, monkeypatch):
    expected, doubts = whole_clips(tmp_path), {}
    for name, count in expected.items():
        reader = VideoReader(tmp_path / name)
        assert len(list(reader)) == count
        assert count < 0.9 * reader.frame_count - 2
        assert reader.check_end() == ''
        with monkeypatch.context() as without:
            without.setattr(shutil, 'which', lambda program: None)
            doubts[name] = reader.check_end()
    # where the last frame is at the end of the file, nothing else is needed to know
    assert doubts.pop('vfr.mkv') == doubts.pop('vfr.webm') == ''
    assert all('ffprobe' in doubt for doubt in doubts.values())
    assert '9 frames, 0.9 of 1.8 s, were decoded' in doubts['trimmed.mp4']


@needs_ffmpeg
@pytest.mark.parametrize('name', ['a.mp4', 'b.avi', 'c.mkv', 'd.webm', 'vfr.mkv'])
def test_files_that_end_early(tmp_path, name, monkeypatch):
    clip, source = write_clip(tmp_path / 'clip.mp4', 100), tmp_path / name
    ffmpeg('-i', clip, '-c:v', 'copy', '-movflags', '+faststart', tmp_path / 'a.mp4')
    if name != 'a.mp4':
        vfr = ('-vf', "select='not(mod(n,5))'", '-g', '2') if name == 'vfr.mkv' else ()
        ffmpeg('-i', clip, *vfr, '-fps_mode', 'vfr', source)
    announced = 20 if name == 'vfr.mkv' else 100
    reader = VideoReader(cut(source))
    count = len(list(reader))
    assert 0.1 * announced < count < 0.8 * announced
    with pytest.raises(UserError, match=rf'ends early: {count} of (\d+) frames') as error:
        reader.check_end()
    found = int(str(error.value).split(' of ')[1].split()[0])
    # without a count in the file it is an estimate by the time that is missing
    assert found == pytest.approx(announced, rel=0.25 if name == 'vfr.mkv' else 0.02)
    monkeypatch.setattr(shutil, 'which', lambda program: None)
    assert 'Its end is missing, or' in reader.check_end()


def test_a_writer_says_when_frames_are_lost(tmp_path, monkeypatch):
    writer = written(tmp_path / 'a.mp4', 6)
    writer.count = 60  # as if the disk had taken a tenth
    with pytest.raises(UserError, match='60 frames were written and 6 can be read back'):
        writer.close()
    assert len(read_clip(tmp_path / 'a.mp4')[0]) == 6


@needs_ffmpeg
def test_sound_is_kept(tmp_path):
    silent, source = write_clip(tmp_path / 'a.mp4', 20), tmp_path / 'b.mp4'
    tone = ('-f', 'lavfi', '-i', 'sine=frequency=440:duration=2')
    ffmpeg('-i', silent, *tone, '-c:v', 'copy', '-c:a', 'aac', '-shortest', source)
    copy_clip(source, tmp_path / 'out.mp4')
    assert seconds_of(tmp_path / 'out.mp4')['audio'] == pytest.approx(2, abs=0.05)
    assert len(read_clip(tmp_path / 'out.mp4')[0]) == 20
    copy_clip(silent, tmp_path / 'quiet.mp4')
    assert len(read_clip(tmp_path / 'quiet.mp4')[0]) == 20
    # of a run that was ended after 8 frames
    writer = written(tmp_path / 'short.mp4', 8)
    assert writer.close(source, 10, whole=False) == ''
    seconds = seconds_of(tmp_path / 'short.mp4')
    assert seconds == pytest.approx({'video': 0.8, 'audio': 0.8}, abs=0.05)


@needs_ffmpeg
def test_a_sound_that_cannot_be_copied_is_told(tmp_path):
    clip, source = write_clip(tmp_path / 'a.mp4', 10), tmp_path / 'a.flv'
    tone = ('-f', 'lavfi', '-i', 'sine=duration=1', '-ar', '16000', '-ac', '1')
    # of a codec that MP4 does not have
    ffmpeg('-i', clip, *tone, '-c:v', 'flv', '-c:a', 'nellymoser', source)
    note = written(tmp_path / 'out.mp4', 10).close(source, 10)
    assert 'could not copy the sound' in note
    assert 'nellymoser' in note
    assert list(seconds_of(tmp_path / 'out.mp4')) == ['video']
    assert len(read_clip(tmp_path / 'out.mp4')[0]) == 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.flv', 'a.mp4', 'out.mp4']


@pytest.mark.skipif(not hasattr(os, 'getsid'), reason='no sessions')
def test_ctrl_c_does_not_reach_ffmpeg(tmp_path, monkeypatch):
    program, found = tmp_path / 'ffmpeg', tmp_path / 'session'
    program.write_text(
        f'#!{sys.executable}\nimport os\nopen({str(found)!r}, "w").write(str(os.getsid(0)))\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(shutil, 'which', lambda name: str(program))
    assert 'exit status 0' in remux(write_clip(tmp_path / 'a.mp4'), None, 1.0)
    # a terminal sends it to its whole session
    assert int(found.read_text()) != os.getsid(0)


def test_names_that_look_like_protocols(tmp_path, monkeypatch):
    (tmp_path / 'out').mkdir()
    monkeypatch.chdir(tmp_path / 'out')
    source, target = Path('2024-05-01T12:30:00.mp4'), Path('12:30.mp4')
    write_clip(tmp_path / 'a.mp4').rename(source)
    if FFMPEG is not None:
        tone = ('-f', 'lavfi', '-i', 'sine=duration=1', '-c:v', 'copy', '-c:a', 'aac')
        ffmpeg('-i', source.absolute(), *tone, tmp_path / 'b.mp4')
        (tmp_path / 'b.mp4').replace(source)
    copy_clip(source, target)
    assert [number_of(frame) for frame in read_clip(target.absolute())[0]] == list(range(10))
    assert sorted(p.name for p in Path().iterdir()) == [target.name, source.name]
    if FFMPEG is not None:
        assert 'audio' in seconds_of(target)


@needs_ffmpeg
def test_rotated_videos_come_upright(tmp_path):
    clip, source = write_clip(tmp_path / 'a.mp4'), tmp_path / 'b.mp4'
    try:
        ffmpeg('-display_rotation', '90', '-i', clip, '-c', 'copy', source)
    except subprocess.CalledProcessError:  # before version 6
        ffmpeg('-i', clip, '-c', 'copy', '-metadata:s:v', 'rotate=270', source)
    ffmpeg('-i', source, '-frames:v', '1', tmp_path / 'upright.png')
    expected = cv2.imread(str(tmp_path / 'upright.png')).astype(int)
    assert expected.shape == (96, 64, 3)
    assert np.abs(next(iter(VideoReader(source))) - expected).mean() < 5
    copy_clip(source, tmp_path / 'out.mp4')
    found, _ = read_clip(tmp_path / 'out.mp4')
    assert np.abs(found[0] - expected).mean() < 8


@needs_ffmpeg
def test_variable_frame_rate_keeps_all_frames_and_the_duration(tmp_path):
    source = tmp_path / 'b.mp4'
    # the second half at a quarter of the speed
    late = "setpts='if(lt(N,10),N,10+4*(N-10))/10/TB'"
    ffmpeg('-i', write_clip(tmp_path / 'a.mp4', 20), '-vf', late, '-fps_mode', 'vfr', source)
    reader = copy_clip(source, tmp_path / 'out.mp4')
    found, fps = read_clip(tmp_path / 'out.mp4')
    assert [number_of(frame) for frame in found] == list(range(20))
    assert reader.check_end() == ''
    # frames are evenly spaced, over 4.6 s and what the last frame lasts, as most do 0.1 s
    assert reader.times[-1] == pytest.approx(4.6, abs=0.01)
    assert 20 / reader.average_fps() == pytest.approx(4.7, abs=0.01)
    assert 20 / fps == pytest.approx(4.7, rel=0.07)
