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

from rlepose_ext.errors import UserError


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A web server on this machine: its folder and address; torch's cache is elsewhere."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / 'served'
    folder.mkdir()
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()
    thread.join()


def test_url_is_downloaded_once_and_loaded(served):
    folder, address = served
    state = nn.Linear(3, 4).state_dict()
    torch.save({'state_dict': state, 'meta': {'best': np.float64(0.25)}}, folder / 'toy.pth')
    digest = hashlib.sha256((folder / 'toy.pth').read_bytes()).hexdigest()
    file = (folder / 'toy.pth').rename(folder / f'toy-{digest[:8]}.pth')
    for _ in range(2):  # the second time from the cache
        model = nn.Linear(3, 4)
        load_checkpoint(model, f'{address}/{file.name}', map_location='cpu')
        for name, value in state.items():
            assert torch.equal(model.state_dict()[name], value)
        file.unlink(missing_ok=True)


def test_url_with_code_or_a_wrong_hash_is_refused(served, tmp_path):
    folder, address = served
    bad, executed = malicious(tmp_path)
    (folder / 'bad.pth').write_bytes(bad.read_bytes())
    (folder / 'bad-01234567.pth').write_bytes(bad.read_bytes())
    with pytest.raises(UserError, match=r'posix\.mkdir'):
        CheckpointLoader.load_checkpoint(f'{address}/bad.pth')
    with pytest.raises(UserError, match='invalid hash'):
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
