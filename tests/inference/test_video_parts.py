"""Parts of videos, every so many frames of them, and the codec of what is written."""

import json
import shutil
import subprocess

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
from test_engine import engine

from rlepose_ext.errors import UserError
from rlepose_ext.inference import video_writer
from rlepose_ext.inference.sources import Source
from rlepose_ext.inference.video import VideoReader
from rlepose_ext.inference.video_writer import VideoWriter, no_h264
from rlepose_ext.programs import encodes_h264

needs_h264 = pytest.mark.skipif(not encodes_h264(), reason='needs ffmpeg with libx264')


def codec_of(path):
    """Codec and pixel format of the video, and whether its index comes first."""
    entries = ('-select_streams', 'v', '-show_entries', 'stream=codec_name,pix_fmt')
    command = ['ffprobe', '-v', 'error', *entries, '-of', 'csv=p=0', str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    content = path.read_bytes()
    return done.stdout.strip(), content.find(b'moov') < content.find(b'mdat')


# --- parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(('options', 'numbers'), [
    ({'stride': 3}, range(0, 30, 3)),
    ({'stride': 40}, [0]),
    ({'start': 1.0}, range(10, 30)),
    ({'start': 2.5}, range(25, 30)),
    ({'end': 1.0}, range(10)),
    ({'end': 99.0}, range(30)),
    ({'start': 0.5, 'end': 2.6}, range(5, 26)),
    ({'start': 2.2, 'end': 2.9, 'stride': 2}, range(22, 29, 2)),
])  # fmt: skip
def test_which_frames_are_given(tmp_path, options, numbers):
    reader = VideoReader(write_clip(tmp_path / 'a.mp4', 30), **options)
    found = [number_of(frame) for frame in reader]
    assert found == list(numbers)
    assert reader.frame_count == len(found)
    assert reader.check_end() == ''
    np.testing.assert_allclose(reader.times, np.array(found) / 10, atol=2e-3)
    assert [reader.frame_number(index) for index in range(len(found))] == found
    assert reader.fps == pytest.approx(10 / options.get('stride', 1))
    reader.close()


@needs_ffmpeg
def test_a_start_where_the_frame_rate_varies(tmp_path):
    source = tmp_path / 'b.mp4'
    late = "setpts='if(lt(N,10),N,10+4*(N-10))/10/TB'"
    ffmpeg('-i', write_clip(tmp_path / 'a.mp4', 20), '-vf', late, '-fps_mode', 'vfr', source)
    # frames 10, 11, 12, ... are at 1.0, 1.4, 1.8, ... s
    reader = VideoReader(source, start=2.6, end=4.0)
    assert [number_of(frame) for frame in reader] == [14, 15, 16, 17]
    np.testing.assert_allclose(reader.times, [2.6, 3.0, 3.4, 3.8], atol=0.01)


def test_a_start_behind_the_end(tmp_path):
    with pytest.raises(UserError, match=r'ends at 3\.0 s, before the start \(100 s\)'):
        VideoReader(write_clip(tmp_path / 'a.mp4', 30), start=100)
    for options, message in (
        ({'start': 2.0, 'end': 1.0}, 'end: expected more than the start'),
        ({'start': -1.0}, 'start'),
        ({'start': float('nan')}, 'start'),
        ({'end': 0.0}, 'end'),
        ({'vid_stride': 0}, 'vid_stride'),
        ({'save': ['jpeg']}, 'save'),
    ):
        with pytest.raises(UserError, match=message):
            engine(**options)


@needs_ffmpeg
def test_a_file_that_ends_early_is_told_with_a_start_too(tmp_path):
    clip, source = write_clip(tmp_path / 'clip.mp4', 100), tmp_path / 'a.mp4'
    ffmpeg('-i', clip, '-c:v', 'copy', '-movflags', '+faststart', source)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    for options in ({'start': 1.0}, {'stride': 3}):
        reader = VideoReader(source, **options)
        list(reader)
        with pytest.raises(UserError, match=r'ends early: \d\d of 100 frames'):
            reader.check_end()


@needs_ffmpeg
@pytest.mark.parametrize(('options', 'frames', 'video', 'first'), [
    ({'vid_stride': 4}, 8, 3.2, 0),
    ({'start': 1.0}, 20, 2.0, 10),
    ({'start': 1.0, 'end': 2.0, 'vid_stride': 2}, 5, 1.0, 10),
])  # fmt: skip
def test_a_part_keeps_its_duration_sound_and_times(tmp_path, options, frames, video, first):
    source = tmp_path / 'walk.mp4'
    # silence, and a tone from 1 s on
    tone = ('-f', 'lavfi', '-i', 'aevalsrc=if(gt(t\\,1)\\,sin(2000*t)\\,0):d=3')
    silent = write_clip(tmp_path / 'a.mp4', 30)
    ffmpeg('-i', silent, *tone, '-c:v', 'copy', '-c:a', 'aac', '-shortest', source)
    out = tmp_path / 'out'
    chain, walker = engine(output_root=out, save_predictions=True, **options)
    stride = options.get('vid_stride', 1)
    results = list(chain.stream(Source('video', source)))
    numbers = list(range(first, first + frames * stride, stride))
    assert walker.seen == [poses.frame for poses in results] == numbers
    found, fps = read_clip(out / 'walk.mp4')
    assert [number_of(frame) for frame in found] == numbers
    assert fps == pytest.approx(10 / stride, rel=0.01)
    seconds = seconds_of(out / 'walk.mp4')
    assert seconds['video'] == pytest.approx(video, abs=0.11)
    assert seconds['audio'] == pytest.approx(video, abs=0.25)
    # the sound begins where the pictures do
    raw = (FFMPEG, '-v', 'error', '-i', out / 'walk.mp4', '-f', 's16le', '-ac', '1', '-')
    samples = np.frombuffer(subprocess.run(raw, capture_output=True, check=True).stdout, np.int16)
    loud = np.abs(samples[: len(samples) // 4].astype(int)).mean() > 1000
    assert loud == (first == 10)
    info = json.loads((out / 'results_walk.json').read_text())['instance_info']
    assert [frame['frame_id'] for frame in info] == [number + 1 for number in numbers]
    times = [frame['time'] for frame in info]
    np.testing.assert_allclose(times, np.array(numbers) / 10, atol=2e-3)


# --- the codec ----------------------------------------------------------------------------


@needs_h264
@pytest.mark.parametrize(('name', 'size', 'even'), [
    ('a.mp4', (96, 64), (96, 64)),
    ('a.mp4', (97, 65), (98, 66)),
    ('a.mp4', (97, 64), (98, 64)),
    ('a.mov', (96, 64), (96, 64)),
    ('a.m4v', (96, 64), (96, 64)),
])  # fmt: skip
def test_what_browsers_play(tmp_path, name, size, even):
    writer = VideoWriter(tmp_path / name, 12.5)
    for number in range(20):
        writer.write(numbered(number, size))
    assert writer.close() == ''
    assert codec_of(tmp_path / name) == ('h264,yuv420p', True)
    found, fps = read_clip(tmp_path / name)
    assert [number_of(frame) for frame in found] == list(range(20))
    assert fps == pytest.approx(12.5)
    assert found[0].shape == (even[1], even[0], 3)
    # colours come back
    assert np.abs(found[0][5, -5].astype(int) - [0, 0, 255]).max() < 12
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    'name', [pytest.param('a.mp4', marks=needs_h264), 'without-ffmpeg.mp4', 'a.avi']
)
def test_of_odd_sides_the_last_pixels_come_twice(tmp_path, monkeypatch, name):
    if name == 'without-ffmpeg.mp4':
        monkeypatch.setattr(video_writer, 'encodes_h264', lambda: False)
    frame = np.full((65, 97, 3), 40, np.uint8)
    frame[:, 90:], frame[60:] = 220, 140
    writer = VideoWriter(tmp_path / name, 10)
    for _ in range(3):
        writer.write(frame)
    assert writer.close() == ''
    found = read_clip(tmp_path / name)[0][1]
    assert found.shape == (66, 98, 3)
    # what was there is where it was, up to the last pixel
    for part, value in (
        (found[5:55, 5:85], 40),
        (found[5:55, 95:], 220),
        (found[63:, 5:], 140),
    ):
        assert np.abs(part.astype(int) - value).mean() < 12


@needs_h264
@pytest.mark.parametrize('size', [(1, 1), (1, 90), (3, 2)])
def test_the_smallest_frames(tmp_path, size):
    writer = VideoWriter(tmp_path / 'a.mp4', 10)
    for _ in range(3):
        writer.write(np.full((*size[::-1], 3), 90, np.uint8))
    assert writer.close() == ''
    assert len(read_clip(tmp_path / 'a.mp4')[0]) == 3


@needs_h264
def test_sound_and_a_mended_rate_leave_the_index_first(tmp_path):
    source = tmp_path / 'b.mp4'
    tone = ('-f', 'lavfi', '-i', 'sine=duration=2', '-c:v', 'copy', '-c:a', 'aac')
    ffmpeg('-i', write_clip(tmp_path / 'a.mp4', 20), *tone, source)
    writer = VideoWriter(tmp_path / 'out.mp4', 10)
    for number in range(20):
        writer.write(numbered(number))
    assert writer.close(source, average_fps=8) == ''
    assert codec_of(tmp_path / 'out.mp4') == ('h264,yuv420p', True)
    assert seconds_of(tmp_path / 'out.mp4')['video'] == pytest.approx(2.5, abs=0.03)


def test_without_ffmpeg(tmp_path, monkeypatch):
    chain, _ = engine(output_root=tmp_path / 'out')
    monkeypatch.setattr(shutil, 'which', lambda program: None)
    assert chain.run(Source('video', write_clip(tmp_path / 'walk.mp4', 6))) == 6
    assert len(read_clip(tmp_path / 'out' / 'walk.mp4')[0]) == 6
    (note,) = chain.notes
    assert 'mp4v, which browsers do not play, and without sound' in note
    # an ffmpeg without that encoder
    program = tmp_path / 'ffmpeg'
    program.write_text('#!/bin/sh\necho " V..... mpeg4 MPEG-4 part 2"\n')
    program.chmod(0o755)
    monkeypatch.setattr(shutil, 'which', lambda name: str(program))
    assert 'browsers do not play' in no_h264()
    assert 'sound' not in no_h264()


def write_many(writer):
    """More than fits into a pipe."""
    for number in range(200):
        writer.write(numbered(number % 32, (960, 640)))


@needs_h264
def test_an_encoder_that_dies(tmp_path):
    writer = VideoWriter(tmp_path / 'a.mp4', 10)
    writer.write(numbered(0))
    writer._writer._process.kill()
    with pytest.raises(UserError, match=r'/a\.mp4 cannot be written: ffmpeg ended early'):
        write_many(writer)
    with pytest.raises(UserError, match='can be read back'):
        writer.close()
    assert not list(tmp_path.iterdir())


@needs_h264
def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / '.a.part.mp4').mkdir()
    writer = VideoWriter(tmp_path / 'a.mp4', 10)
    with pytest.raises(
        UserError, match=r'/a\.mp4 cannot be written: ffmpeg ended early.*Is a directory'
    ):
        write_many(writer)
