"""Pictures, films and streams at an address, of a server on this machine."""

import socket
import time

import cv2
import numpy as np
import pytest
from clips import number_of, numbered, read_clip, write_clip
from test_engine import engine
from web import STREAM_FRAMES, serving

from rlepose_ext.errors import UserError
from rlepose_ext.inference import remote, video
from rlepose_ext.inference.images import read_image
from rlepose_ext.inference.sources import find_sources


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    picture = cv2.imencode('.png', numbered(5))[1].tobytes()
    clip = write_clip(tmp_path_factory.mktemp('site') / 'a.mp4', 20).read_bytes()
    page = b'<html>street.png</html>'
    with serving({
        '/street.png': ('image/png', picture, None),
        '/get': ('image/png', picture, None),
        '/page.png': ('text/html; charset=utf-8', page, None),
        '/page.mp4': ('text/html', page, None),
        '/text.png': ('image/png', b'no picture', None),
        '/empty.png': ('image/png', b'', None),
        '/cut.png': ('image/png', picture[:100], len(picture)),
        '/walk.mp4': ('video/mp4', clip, None),
        '/film': ('application/octet-stream', clip, None),
        '/live': 'mjpeg',
    }) as address:  # fmt: skip
        yield address


@pytest.fixture
def dead():
    """An address whose port is closed."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    return f'127.0.0.1:{port}'


def test_a_picture(site, tmp_path):
    expected = numbered(5)
    np.testing.assert_array_equal(read_image(f'{site}/street.png'), expected)
    for path, name in (('/street.png?size=9', 'street.png'), ('/get?id=3', 'get.jpg')):
        chain, _ = engine(output_root=tmp_path, save_predictions=True)
        (source,) = find_sources(site + path)
        (poses,) = chain.stream(source)
        assert poses.path == site + path
        np.testing.assert_array_equal(poses.image, expected)
        assert (tmp_path / name).is_file()
    assert (tmp_path / 'results_street.json').is_file()


@pytest.mark.parametrize(('path', 'message'), [
    ('/gone.png', 'gone.png: the server answers 404'),
    ('/gone.mp4', 'the server answers 404'),
    ('/gone', 'the server answers 404'),
    ('/page.png', r'is a page \(text/html\)'),
    ('/page.mp4', r'is a page \(text/html\)'),
    ('/text.png', 'is no image that Pillow can decode'),
    ('/empty.png', 'is empty'),
    ('/cut.png', 'the connection|is truncated'),
])  # fmt: skip
def test_what_is_no_picture(site, path, message, tmp_path):
    chain, _ = engine(output_root=tmp_path / 'out')
    with pytest.raises(UserError, match=message):
        chain.run(find_sources(site + path)[0])
    assert not list(tmp_path.rglob('*.*'))


def test_a_picture_that_is_too_large(site, monkeypatch):
    monkeypatch.setattr(remote, 'MOST_BYTES', 50)
    with pytest.raises(UserError, match='too much for a picture'):
        read_image(f'{site}/street.png')


@pytest.mark.parametrize('path', ['/walk.mp4', '/film'])
def test_a_film(site, tmp_path, path):
    chain, walker = engine(output_root=tmp_path)
    assert chain.run(find_sources(site + path)[0]) == 20
    assert walker.seen == list(range(20))
    frames, fps = read_clip(tmp_path / ('walk.mp4' if path == '/walk.mp4' else 'film.mp4'))
    assert (len(frames), fps) == (20, 10)
    assert chain.notes == []


def test_a_stream_that_stops(site, tmp_path):
    """Frames may be lost on the way, not their order, and the file is whole."""
    chain, walker = engine(output_root=tmp_path, save_predictions=True)
    count = chain.run(find_sources(f'{site}/live')[0])
    assert 2 <= count <= 12
    assert walker.seen == sorted(set(walker.seen))
    assert f'has ended, or is silent; {count} frames are done' in chain.notes[0]
    found = [number_of(frame) for frame in read_clip(tmp_path / 'live.mp4')[0]]
    assert found == walker.seen
    assert (tmp_path / 'results_live.json').is_file()


def test_a_stream_stays_live(site):
    """Who is late gets the newest picture, and the last one is not lost."""
    reader = video.VideoReader(f'{site}/live', live=True)
    frames = iter(reader)
    first = number_of(next(frames))
    deadline = time.monotonic() + 20
    while reader.decoded < STREAM_FRAMES and time.monotonic() < deadline:
        time.sleep(0.01)
    late = [number_of(frame) for frame in frames]
    assert first < 4
    assert len(late) <= 2
    assert late[-1] == reader.decoded - 1 >= STREAM_FRAMES - 2
    assert len(reader.times) == 1 + len(late)
    assert reader.times == sorted(reader.times)


def test_nobody_answers(dead, monkeypatch):
    monkeypatch.setattr(video, 'OPEN_TIMEOUT', 1000)
    with pytest.raises(UserError, match=r'no connection \(\[Errno 111\] Connection refused\)'):
        read_image(f'http://{dead}/a.jpg')
    chain, _ = engine()
    with pytest.raises(UserError, match='no connection'):
        chain.run(find_sources(f'http://{dead}/a.mp4')[0])
    (source,) = find_sources(f'rtsp://me:secret@{dead}/cam')
    with pytest.raises(UserError, match='gives no picture within 1 s') as error:
        chain.run(source)
    assert 'secret' not in str(error.value)
    with pytest.raises(UserError, match=r'http:///a\.jpg'):
        read_image('http:///a.jpg')
