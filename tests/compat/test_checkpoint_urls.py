"""Checkpoints by address: downloaded once, checked, and refused like files if they hold code."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from attack import malicious
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint
from torch import nn

from rlepose_ext.compat.checkpoints import load_url
from rlepose_ext.errors import UserError
from rlepose_ext.zoo import download
from rlepose_ext.zoo.files import at_address


def _digits(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A web server on this machine: its folder and address; the caches are elsewhere."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('RLEPOSE_CACHE', str(tmp_path / 'cache'))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY', 'RLEPOSE_MIRROR'):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / 'served'
    folder.mkdir()
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield folder, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()
    thread.join()


def test_url_is_downloaded_once_and_loaded(served):
    folder, address = served
    state = nn.Linear(3, 4).state_dict()
    torch.save({'state_dict': state, 'meta': {'best': np.float64(0.25)}}, folder / 'toy.pth')
    digest = _digits(folder / 'toy.pth')
    file = (folder / 'toy.pth').rename(folder / f'toy-{digest}.pth')
    for _ in range(2):  # the second time from the cache
        model = nn.Linear(3, 4)
        load_checkpoint(model, f'{address}/{file.name}', map_location='cpu')
        for name, value in state.items():
            assert torch.equal(model.state_dict()[name], value)
        file.unlink(missing_ok=True)


# The forms of OpenMMLab's names: of most models, of newer ones, of some bottom-up ones.
NAMES = ('hrnet_w32-{}.pth', 'td-hm_hrnet-w32-256x192-{}_20220909.pth', 'dekr_{}-20221228.pth')
names = pytest.mark.parametrize('name', NAMES)


@names
def test_the_hash_in_the_name_is_that_of_what_is_used(served, tmp_path, name):
    folder, address = served
    torch.save({'w': torch.ones(1)}, folder / 'net.pth')
    right, wrong = name.format(_digits(folder / 'net.pth')), name.format('00000000')
    for link in (right, wrong):
        (folder / link).hardlink_to(folder / 'net.pth')
    assert 'w' in CheckpointLoader.load_checkpoint(f'{address}/{right}')
    with pytest.raises(UserError, match='is not the file that it should be'):
        CheckpointLoader.load_checkpoint(f'{address}/{wrong}')
    cached = tmp_path / 'cache' / right
    assert [path for path in cached.parent.glob('*.pth') if path.name[0] != '.'] == [cached]
    # on every use, not only on the way
    torch.save({'other': torch.ones(1)}, cached)
    assert 'w' in CheckpointLoader.load_checkpoint(f'{address}/{right}')


@names
def test_mirror_and_older_downloads_stand_for_the_address(served, tmp_path, monkeypatch, name):
    """Nothing listens at the address: where the file came from is the only place it can be."""
    folder, _ = served
    torch.save({'w': torch.ones(1)}, folder / 'net.pth')
    file = (folder / 'net.pth').rename(folder / name.format(_digits(folder / 'net.pth')))
    url = f'http://127.0.0.1:1/{file.name}'
    monkeypatch.setattr(download, 'PAUSE', 0)
    with pytest.raises(UserError, match='RLEPOSE_MIRROR'):
        CheckpointLoader.load_checkpoint(url)
    monkeypatch.setenv('RLEPOSE_MIRROR', str(folder))
    assert 'w' in CheckpointLoader.load_checkpoint(url)
    monkeypatch.delenv('RLEPOSE_MIRROR')
    # torch's folder, where stock MMPose has put it
    hub = tmp_path / 'home' / 'hub' / 'checkpoints'
    hub.mkdir(parents=True)
    file.rename(hub / file.name)
    (tmp_path / 'cache' / file.name).unlink()
    assert 'w' in CheckpointLoader.load_checkpoint(url)
    (hub / file.name).write_bytes(b'changed')
    with pytest.raises(UserError, match='could not be had'):
        CheckpointLoader.load_checkpoint(url)


def test_a_date_alone_is_no_hash_and_a_folder_may_be_given(served, tmp_path):
    folder, address = served
    torch.save({'w': torch.ones(1)}, folder / 'net-20231122.pth')
    assert 'w' in CheckpointLoader.load_checkpoint(f'{address}/net-20231122.pth')
    file = folder / f'net-{_digits(folder / "net-20231122.pth")}.pth'
    file.hardlink_to(folder / 'net-20231122.pth')
    assert 'w' in load_url(f'{address}/{file.name}', str(tmp_path / 'mine'))
    assert (tmp_path / 'mine' / file.name).is_file()
    assert not (tmp_path / 'cache').exists()


def test_an_address_cannot_name_a_place_outside_of_the_cache():
    assert at_address('http://x/..%2F..%2Fnet-01234567.pth').filename == 'net-01234567.pth'


def test_url_with_code_or_a_wrong_hash_is_refused(served, tmp_path):
    folder, address = served
    bad, executed = malicious(tmp_path)
    (folder / 'bad.pth').write_bytes(bad.read_bytes())
    (folder / 'bad-01234567.pth').write_bytes(bad.read_bytes())
    with pytest.raises(UserError, match=r'posix\.mkdir'):
        CheckpointLoader.load_checkpoint(f'{address}/bad.pth')
    with pytest.raises(UserError, match='is not the file that it should be'):
        CheckpointLoader.load_checkpoint(f'{address}/bad-01234567.pth')
    with pytest.raises(UserError, match='404'):
        CheckpointLoader.load_checkpoint(f'{address}/none.pth')
    assert not executed.exists()


def test_torchvision_and_mmcls_names_take_the_safe_road(served, monkeypatch, tmp_path):
    from mmengine.runner import checkpoint as upstream

    folder, address = served
    torch.save({'backbone.w': torch.ones(1)}, folder / 'net.pth')
    bad, executed = malicious(tmp_path)
    (folder / 'bad.pth').write_bytes(bad.read_bytes())
    urls = {'net': f'{address}/net.pth', 'bad': f'{address}/bad.pth'}
    for getter in ('get_torchvision_models', 'get_mmcls_models', 'get_external_models'):
        monkeypatch.setattr(upstream, getter, lambda: urls)
    assert 'backbone.w' in CheckpointLoader.load_checkpoint('torchvision://net')
    assert 'backbone.w' in CheckpointLoader.load_checkpoint('open-mmlab://net')
    assert 'w' in CheckpointLoader.load_checkpoint('mmcls://net')['state_dict']
    for scheme in ('torchvision', 'open-mmlab', 'mmcls'):
        with pytest.raises(UserError, match=r'posix\.mkdir'):
            CheckpointLoader.load_checkpoint(f'{scheme}://bad')
    assert not executed.exists()


def test_file_urls_and_home(tmp_path, monkeypatch):
    torch.save({'w': torch.ones(1)}, tmp_path / 'a b.pth')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert 'w' in CheckpointLoader.load_checkpoint((tmp_path / 'a b.pth').as_uri())
    assert 'w' in CheckpointLoader.load_checkpoint('~/a b.pth')
