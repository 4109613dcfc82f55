"""Weights by name: a file that is used has the right hash, however it came."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from range_server import Behaviour, serving

from rlepose_ext.errors import UserError
from rlepose_ext.zoo import Entry, weights
from rlepose_ext.zoo import download as download_module
from rlepose_ext.zoo.files import EXTRA, WeightsFile, file_named, hash_prefix, known_files, of_entry

DATA = np.random.default_rng(0).bytes(1_000_000)
SHA = hashlib.sha256(DATA).hexdigest()
NAME = f'net-{SHA[:8]}_20220913.pth'
GONE = 'http://127.0.0.1:1'
CLEAN = [file for file in EXTRA if file.name.startswith('mmpose_clean_')]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, 'PAUSE', 0)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setenv('RLEPOSE_CACHE', str(tmp_path / 'cache'))
    monkeypatch.delenv('RLEPOSE_MIRROR', raising=False)
    return tmp_path / 'cache'


@pytest.fixture
def server(cache):
    with serving(Behaviour(**{NAME: DATA})) as behaviour:
        yield behaviour


@pytest.fixture
def entry(server):
    return Entry('net', 'configs/f/net.py', 'f', 'F', 1, weights=server.url_of(NAME))


def names(folder):
    """What lies there, without lock files."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != '.lock')


@pytest.mark.parametrize(
    ('name', 'digits'),
    [
        ('td-reg_res50_rle-8xb64-210e_coco-256x192-d37efd64_20220913.pth', 'd37efd64'),
        ('scnet50-7ef0a199.pth', '7ef0a199'),
        ('net-7ef0a199d37efd64.pt', '7ef0a199d37efd64'),
        ('dekr_hrnet-w32_8xb10-140e_coco-512x512_ac7c17bf-20221228.pth', 'ac7c17bf'),
        ('rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth', '78e30dcc'),
        # a date is not a hash, nor are seven digits
        ('rtmw-dw-l-m_simcc-cocktail14_270e-256x192-20231122.pth', None),
        ('rtmpose-m_simcc-hand5_pt-aic-coco_210e-256x256-74fb594_20230320.pth', None),
        ('edpose_res50_coco_3rdparty.pth', None),
        ('net-d37efd64.pth.part', None),
    ],
)
def test_hash_in_the_name(name, digits):
    assert hash_prefix(name) == digits


def test_downloads_once(server, entry, cache, capsys):
    path = weights.fetch(entry)
    assert path == cache / NAME
    assert path.read_bytes() == DATA
    assert names(cache) == [NAME]
    assert weights.fetch(entry) == path
    assert len(server.requests) == 1
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err == 'net: 1.0 MB\n'


def test_a_part_of_something_else_costs_one_more_download(server, entry, cache):
    """The version on the server looks the same, only the hash can tell."""
    server.cut = [300_000, 0, 0, 0]
    with pytest.raises(UserError):
        weights.fetch(entry)
    part = cache / f'.{NAME}.part'
    part.write_bytes(bytes(part.stat().st_size))
    assert weights.fetch(entry).read_bytes() == DATA
    assert [wanted for _, wanted in server.requests[-2:]][1] is None


@pytest.mark.parametrize('damage', ['truncated', 'tampered', 'empty'])
def test_a_damaged_file_in_the_cache_is_not_used(server, entry, cache, capsys, damage):
    path = weights.fetch(entry)
    stamp = path.stat()
    new = {'truncated': DATA[:-1], 'tampered': DATA[:-1] + b'\0', 'empty': b''}[damage]
    path.write_bytes(new)
    # same time, same size: what a note beside the file would have believed
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert weights.fetch(entry).read_bytes() == DATA
    assert f'{path} is damaged' in capsys.readouterr().err


def test_what_cannot_be_had(server, entry, cache, tmp_path, monkeypatch):
    """Nothing is left in the cache, and what would help is said."""
    no_address = next(file for file in EXTRA if file.url is None)
    full = WeightsFile('net', NAME, SHA[:-1] + 'x', server.url_of(NAME), 'x', 'y')
    nowhere = replace(entry, weights=f'{GONE}/{NAME}')
    for file, said in (
        (nowhere, 'no connection.*RLEPOSE_MIRROR'),
        (replace(entry, weights=server.url_of('none-01234567.pth')), '404'),
        (no_address, f'{no_address.filename}.*RLEPOSE_MIRROR|RLEPOSE_MIRROR'),
        (full, f'sha256 of {full.sha256}'),
    ):
        with pytest.raises(UserError, match=said):
            weights.fetch(file)
        assert not cache.exists() or names(cache) == []
    server.files[NAME] = DATA[:-1] + b'\0'
    with pytest.raises(UserError, match=hashlib.sha256(server.files[NAME]).hexdigest()):
        weights.fetch(entry)
    assert names(cache) == []
    (tmp_path / NAME).write_bytes(b'something else')
    for mirror, said in ((tmp_path, 'is not the file'), (tmp_path / 'none', 'RLEPOSE_MIRROR is')):
        monkeypatch.setenv('RLEPOSE_MIRROR', str(mirror))
        with pytest.raises(UserError, match=said):
            weights.fetch(entry)
    assert names(cache) == []
    assert (tmp_path / NAME).read_bytes() == b'something else'


@pytest.mark.parametrize('form', ['{}', 'file://{}', '{url}/mirror/'])
def test_mirror(server, entry, cache, tmp_path, monkeypatch, form):
    mirror = tmp_path / 'a mirror'
    mirror.mkdir()
    (mirror / NAME).write_bytes(DATA)
    monkeypatch.setenv('RLEPOSE_MIRROR', form.format(mirror, url=server.url))
    assert weights.fetch(replace(entry, weights=f'{GONE}/{NAME}')).read_bytes() == DATA


def test_mirror_without_the_file_leads_to_the_publisher(
    server, entry, cache, tmp_path, monkeypatch
):
    monkeypatch.setenv('RLEPOSE_MIRROR', str(tmp_path))
    assert weights.fetch(entry).read_bytes() == DATA


def test_two_processes_download_once(server, entry, cache, root):
    code = (
        'import sys; from rlepose_ext.zoo import Entry, weights\n'
        "entry = Entry('net', 'configs/f/net.py', 'f', 'F', 1, weights=sys.argv[1])\n"
        'print(weights.fetch(entry))'
    )
    command = [sys.executable, '-c', code, entry.weights]
    started = [
        subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = {process.communicate(timeout=60)[0] for process in started}
    assert said == {f'{cache / NAME}\n'}
    assert (cache / NAME).read_bytes() == DATA
    assert len(server.requests) == 1


def test_a_full_disk(server, entry, cache, monkeypatch):
    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(download_module.os, 'fsync', full)
    with pytest.raises(UserError, match='No space left on device'):
        weights.fetch(entry)
    assert NAME not in names(cache)


def test_the_folder_of_the_cache(server, entry, cache, monkeypatch, tmp_path):
    cache.write_text('a file')
    with pytest.raises(UserError, match='RLEPOSE_CACHE'):
        weights.fetch(entry)
    monkeypatch.delenv('RLEPOSE_CACHE')
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert weights.cache_folder() == tmp_path / '.cache' / 'rlepose_ext'
    # where a home is small, and torch's cache is elsewhere too
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'data'))
    assert weights.cache_folder() == tmp_path / 'data' / 'rlepose_ext'


def test_entries_without_a_usable_file(entry):
    with pytest.raises(UserError, match='no weights are published for net'):
        of_entry(replace(entry, weights=None))
    with pytest.raises(UserError, match='no hash in their name'):
        of_entry(replace(entry, weights='https://example.org/net.pth'))
    assert of_entry(entry).license == 'not known'


def test_files_of_the_project():
    known = known_files()
    for attribute in ('name', 'filename'):
        values = [getattr(file, attribute) for file in known]
        # two configs may share a checkpoint, but not a name
        assert len(set(values)) == len(values) or attribute == 'filename'
    for file in known:
        assert file.license
        assert file.what
        assert set(file.sha256) <= set('0123456789abcdef')
        assert file.sha256 == hash_prefix(file.filename) or len(file.sha256) == 64
        assert file.url or len(file.sha256) == 64
    assert [file for file in known if file.url is None] == CLEAN[:2]


def test_by_name():
    file = file_named('rle_res50_8xb64-210e_coco-256x192')
    assert file.sha256 == 'd37efd64'
    assert file_named(file.filename).filename == file.filename
    assert file_named('configs/rle/rle_res50_8xb64-210e_coco-256x192.py') == file
    with pytest.raises(UserError, match='no weights are published for rle_scnet50'):
        file_named('rle_scnet50_8xb64-210e_coco-256x192')
    with pytest.raises(UserError, match=r'Nearest: mmpose_clean.*`rlepose weights`'):
        file_named('mmpose_clean_rle')


def test_hashes_of_the_files_that_are_here(shared, cache, monkeypatch):
    monkeypatch.setenv('RLEPOSE_MIRROR', str(shared / 'weights'))
    found = [weights.fetch(file.name) for file in CLEAN]
    assert [path.parent for path in found] == [cache] * 4


def test_addresses_of_a_repository_are_those_of_a_commit():
    """A branch may change what it has; the name there is not that in the cache."""
    for file in CLEAN[2:]:
        assert re.search(r'/neesetifa/MMPose_Clean/[0-9a-f]{40}/pretrained_weight/', file.url)
        assert not file.url.endswith(file.filename)
