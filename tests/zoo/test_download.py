"""Downloads go on where they broke off, and never join two versions of a file."""

import numpy as np
import pytest
import requests
from range_server import Behaviour, serving

from rlepose_ext.zoo import download as module
from rlepose_ext.zoo.download import PIECE, DownloadError, download

DATA = np.random.default_rng(0).bytes(1_000_000)
OTHER = np.random.default_rng(1).bytes(1_000_000)
# of 300,000 bytes whole pieces are kept
KEPT = 300_000 // PIECE * PIECE


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, 'PAUSE', 0)
    monkeypatch.setattr(module, 'TIMEOUT', (5, 5))
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    with serving(Behaviour(**{'a.pth': DATA})) as behaviour:
        yield behaviour


def get(server, part):
    seen = []
    download(server.url_of('a.pth'), part, lambda *pair: seen.append(pair))
    return seen


def ranges(server):
    return [wanted for _, wanted in server.requests]


def test_whole_file_and_progress(server, tmp_path):
    seen = get(server, tmp_path / 'p')
    assert (tmp_path / 'p').read_bytes() == DATA
    assert seen[0] == (0, len(DATA))
    assert seen[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert ranges(server) == [None]


def test_goes_on_by_itself_after_a_cut_connection(server, tmp_path):
    server.cut = [300_000, 100_000]
    get(server, tmp_path / 'p')
    assert (tmp_path / 'p').read_bytes() == DATA
    first, *later = ranges(server)
    assert first is None
    starts = [int(wanted[6:-1]) for wanted in later]
    assert starts == [KEPT, KEPT + PIECE]


def test_goes_on_in_a_later_run(server, tmp_path):
    server.cut = [300_000, 0, 0, 0]
    with pytest.raises(DownloadError, match='the connection breaks off'):
        get(server, tmp_path / 'p')
    assert (tmp_path / 'p').read_bytes() == DATA[:KEPT]
    server.requests.clear()
    seen = get(server, tmp_path / 'p')
    assert (tmp_path / 'p').read_bytes() == DATA
    assert ranges(server) == [f'bytes={KEPT}-']
    assert seen[0] == (KEPT, len(DATA))


def test_a_complete_part_needs_no_request(server, tmp_path):
    get(server, tmp_path / 'p')
    server.requests.clear()
    get(server, tmp_path / 'p')
    assert server.requests == []


def changed_file(server, note):
    server.files['a.pth'], server.tag = OTHER, '"v2"'


def another_tag_in_the_note(server, note):
    """Such a server never looks at If-Range."""
    changed_file(server, note)
    note.write_text(note.read_text().replace('"\\"v1\\""', '"W/weak"'))


def another_length(server, note):
    server.files['a.pth'], server.tag = OTHER[:-1], None


def no_ranges(server, note):
    server.ranges = False


def damaged_note(server, note):
    note.write_text('{"url": 1, "tag": 2, "length": 3, "x": 4}')


def another_url(server, note):
    note.write_text(note.read_text().replace('a.pth', 'b.pth'))


def more_than_the_whole(server, note):
    note.with_suffix('').write_bytes(DATA + b'x')


@pytest.mark.parametrize('happen', [
    changed_file, another_tag_in_the_note, another_length, no_ranges, damaged_note, another_url,
    more_than_the_whole,
])  # fmt: skip
def test_what_starts_again(server, tmp_path, happen):
    server.cut = [300_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        get(server, tmp_path / 'p')
    happen(server, tmp_path / 'p.json')
    get(server, tmp_path / 'p')
    assert (tmp_path / 'p').read_bytes() == server.files['a.pth']


@pytest.mark.parametrize(('status', 'times'), [(404, 1), (403, 1), (503, 3), (416, 3)])
def test_errors_of_the_server(server, tmp_path, status, times):
    server.status = status
    with pytest.raises(DownloadError, match=str(status) if status != 416 else 'range'):
        get(server, tmp_path / 'p')
    assert len(server.requests) == times
    assert not (tmp_path / 'p').exists()


def test_a_silent_server_is_given_up(server, tmp_path, monkeypatch):
    def silent(*args, **kwargs):
        raise requests.exceptions.ReadTimeout('x')

    monkeypatch.setattr(requests.Session, 'get', silent)
    with pytest.raises(DownloadError, match='no answer in time'):
        get(server, tmp_path / 'p')


def test_what_is_there_survives_a_full_disk(server, tmp_path, monkeypatch):
    server.cut = [300_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        get(server, tmp_path / 'p')

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(module.os, 'fsync', full)
        with pytest.raises(OSError, match='No space'):
            get(server, tmp_path / 'p')
    assert (tmp_path / 'p').stat().st_size >= KEPT
    get(server, tmp_path / 'p')
    assert (tmp_path / 'p').read_bytes() == DATA
