"""Videos keep their frames, rate, sound and orientation; broken ones are named."""

import subprocess

import cv2
import numpy as np
import pytest
from clips import ffmpeg, needs_ffmpeg, number_of, numbered, read_clip, write_clip

from rlepose_ext.errors import UserError
from rlepose_ext.inference import video
from rlepose_ext.inference.video import VideoReader, VideoWriter


def copy_clip(source, target):
    """Reader to writer, as the engine does it."""
    reader = VideoReader(source)
    writer = VideoWriter(target, reader.fps)
    for frame in reader:
        writer.write(frame)
    reader.close()
    writer.close(source, reader.average_fps)
    return reader


@pytest.mark.parametrize(('frames', 'fps'), [(1, 10.0), (2, 30.0), (30, 12.5)])
def test_every_frame_once_at_the_rate_of_the_source(tmp_path, frames, fps):
    source = write_clip(tmp_path / 'ä 図.mp4', frames, fps)
    reader = copy_clip(source, tmp_path / 'out.mp4')
    found, found_fps = read_clip(tmp_path / 'out.mp4')
    assert [number_of(frame) for frame in found] == list(range(frames))
    assert found_fps == pytest.approx(fps, rel=1e-3)
    assert reader.frame_count == frames
    assert not reader.is_truncated
    np.testing.assert_allclose(reader.times, np.arange(frames) / fps, atol=2e-3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['out.mp4', 'ä 図.mp4']


def test_reading_ahead_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(video, 'AHEAD', 3)
    reader = VideoReader(write_clip(tmp_path / 'a.mp4', 25))
    frames = iter(reader)
    next(frames)
    reader._thread.join(0.5)
    # one given, three waiting, one in the hand of the thread
    assert len(reader.times) <= 5
    assert len(list(frames)) == 24
    reader.close()


def test_closing_early_stops_the_thread(tmp_path):
    reader = VideoReader(write_clip(tmp_path / 'a.mp4', 25))
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


def test_a_camera_that_is_not_there():
    with pytest.raises(UserError, match='webcam 77 is not there'):
        VideoReader(77)


def test_a_file_that_ends_early(tmp_path):
    source = tmp_path / 'a.avi'
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter_fourcc(*'MJPG'), 10, (96, 64))
    for number in range(30):
        writer.write(numbered(number))
    writer.release()
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    reader = VideoReader(source)
    found = [number_of(frame) for frame in reader]
    assert found == list(range(len(found)))
    assert 5 < len(found) < 25
    # an index that is gone announces nothing; where it does, the reader says so
    assert reader.is_truncated == (reader.frame_count > len(found))


def test_missing_frames_are_told(tmp_path):
    reader = VideoReader(write_clip(tmp_path / 'a.mp4', 10))
    reader.frame_count = 100
    list(reader)
    assert reader.is_truncated


def test_a_writer_says_when_frames_are_lost(tmp_path, monkeypatch):
    writer = VideoWriter(tmp_path / 'a.mp4', 10)
    for number in range(6):
        writer.write(numbered(number))
    writer.count = 60  # as if the disk had taken a tenth
    with pytest.raises(UserError, match='60 frames were written and 6 can be read back'):
        writer.close()
    assert len(read_clip(tmp_path / 'a.mp4')[0]) == 6


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match='cannot be written as video'):
        VideoWriter(tmp_path / 'absent' / 'a.mp4', 10).write(numbered(0))


@needs_ffmpeg
def test_sound_is_kept(tmp_path):
    silent, source = write_clip(tmp_path / 'a.mp4', 20), tmp_path / 'b.mp4'
    tone = ('-f', 'lavfi', '-i', 'sine=frequency=440:duration=2')
    ffmpeg('-i', silent, *tone, '-c:v', 'copy', '-c:a', 'aac', '-shortest', source)
    copy_clip(source, tmp_path / 'out.mp4')
    streams = subprocess.run(['ffmpeg', '-i', tmp_path / 'out.mp4'], capture_output=True, text=True)
    assert 'Audio: aac' in streams.stderr
    assert len(read_clip(tmp_path / 'out.mp4')[0]) == 20
    copy_clip(silent, tmp_path / 'quiet.mp4')
    assert len(read_clip(tmp_path / 'quiet.mp4')[0]) == 20


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
    duration = reader.times[-1] - reader.times[0]
    assert duration == pytest.approx(4.6, abs=0.2)
    assert 19 / fps == pytest.approx(duration, rel=0.1)
