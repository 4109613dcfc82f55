"""A disk that fills up: one message, and what was written before is whole."""

import json
import resource
from collections import namedtuple
from contextlib import contextmanager

import pytest
from clips import numbered, read_clip, write_clip
from test_engine import engine

from rlepose_ext.errors import UserError
from rlepose_ext.inference import video_writer
from rlepose_ext.inference.predictions import JsonList
from rlepose_ext.inference.sources import Source
from rlepose_ext.inference.video_writer import VideoWriter

Usage = namedtuple('Usage', 'total used free')


@contextmanager
def files_up_to(size):
    """No file may grow beyond so many bytes: writing more is an error, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_list_is_whole_wherever_it_had_to_end(tmp_path):
    path, entries = tmp_path / 'a.json', [{'number': n, 'name': 'x' * n} for n in range(12)]
    kept = []
    # from not even the first entry to all of them, byte by byte
    for size in range(5, 520):
        path.unlink(missing_ok=True)
        message = ''
        with files_up_to(size):
            try:
                rows = JsonList(path, '{"list": [', ']}')
                for entry in entries:
                    rows.append(entry)
                rows.close()
            except UserError as error:
                message = str(error)
        found = json.loads(path.read_text())['list'] if path.exists() else []
        assert found == entries[: len(found)]
        if message:
            assert 'cannot be written: File too large' in message
            assert f'{len(found)} entries are in it' in message
        assert [p.name for p in tmp_path.iterdir()] in ([], ['a.json'])
        assert not path.exists() or path.stat().st_size <= size
        kept.append(len(found))
    assert kept[0] == 0
    assert kept[-1] == len(entries)
    assert kept == sorted(kept)


@pytest.fixture
def filling(monkeypatch):
    """The disk has room at the first two looks."""
    looks = []

    def disk_usage(path):
        looks.append(path)
        return Usage(0, 0, 10**9 if len(looks) < 3 else video_writer.RESERVE - 1)

    monkeypatch.setattr(video_writer.shutil, 'disk_usage', disk_usage)
    monkeypatch.setattr(video_writer, 'LOOK_EVERY', 4)


def test_the_whole_run_ends_with_whole_files(tmp_path, filling):
    source = Source('video', write_clip(tmp_path / 'walk.mp4', 20))
    chain, _ = engine(output_root=tmp_path / 'out', save_predictions=True)
    with pytest.raises(UserError, match=r'walk\.mp4: the disk is full\. .* 8 frames are done'):
        chain.run(source)
    assert len(read_clip(tmp_path / 'out/walk.mp4')[0]) == 8
    info = json.loads((tmp_path / 'out/results_walk.json').read_text())['instance_info']
    # the frame that could not be drawn has its poses
    assert [frame['frame_id'] for frame in info] == list(range(1, 10))
    assert json.loads((tmp_path / 'out/walk_coco.json').read_text())
    assert len(list((tmp_path / 'out').iterdir())) == 3


def test_a_run_whose_predictions_do_not_fit(tmp_path, monkeypatch):
    source = Source('video', write_clip(tmp_path / 'walk.mp4', 20))
    chain, _ = engine(output_root=tmp_path / 'out', save_predictions=True)
    # the video, which is larger, is not written
    monkeypatch.setattr(VideoWriter, 'write', lambda self, frame: None)
    with files_up_to(3000), pytest.raises(UserError, match=r'json cannot be written: File too'):
        chain.run(source)
    info = json.loads((tmp_path / 'out/results_walk.json').read_text())['instance_info']
    assert 3 < len(info) < 20
    assert json.loads((tmp_path / 'out/walk_coco.json').read_text())
    assert len(list((tmp_path / 'out').iterdir())) == 2


def test_a_video_of_which_nothing_can_be_read_is_no_result(tmp_path):
    writer = VideoWriter(tmp_path / 'a.mp4', 10)
    for number in range(5):
        writer.write(numbered(number))
    writer._writer.release()
    # as a disk leaves it that takes the frames, and not their index
    content = writer.part.read_bytes()
    writer.part.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match='none of 5 frames can be read back'):
        writer.close()
    assert not list(tmp_path.iterdir())
