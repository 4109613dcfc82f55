"""``rlepose demo`` with a small random model, in an empty folder."""

import functools

import pytest
import torch
from demo_case import CONFIG
from mmengine.config import Config
from mmpose.apis import init_model
from movenet_weights import model_json

from rlepose_ext.cli.main import main
from rlepose_ext.inference import choose


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'random.pth'
    torch.manual_seed(0)
    model = init_model(Config.fromfile(CONFIG), device='cpu')
    with torch.no_grad():
        # a flow that looks trained, so that it has a spread
        for parameter in model.head.loss_module.flow_model.parameters():
            parameter.mul_(3)
    meta = {'dataset_meta': model.dataset_meta}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    return str(path)


@pytest.fixture(scope='module')
def built():
    """Models are built once for all tests of this file."""
    build = choose.build_pose

    @functools.cache
    def once(values, device, **options):
        return build(values, device, **options)

    return lambda values, device, *thresholds, **options: once(tuple(values), device, **options)


@pytest.fixture
def movenet_files():
    """Folder of Google's weights; before the cache moves."""
    for arch in ('multipose', 'thunder'):
        path = model_json(arch)
    return path.parent


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder, no model, no network, no display."""

    def no_network(*args, **more):
        raise OSError('no network in tests')

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('RLEPOSE_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('RLEPOSE_SHARED', str(tmp_path / 'shared'))
    for name in ('RLEPOSE_MIRROR', 'DISPLAY', 'WAYLAND_DISPLAY', 'QT_QPA_PLATFORM'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr('socket.getaddrinfo', no_network)
    monkeypatch.setattr('rlepose_ext.zoo.download.PAUSE', 0)
    monkeypatch.setattr('rlepose_ext.zoo.weights._answers', {})


@pytest.fixture
def demo(checkpoint, built, monkeypatch):
    """Run the command with the random model; joints of any score are drawn."""
    monkeypatch.setattr(choose, 'build_pose', built)

    def run(*arguments, det='full', out='out'):
        options = ['--pose', CONFIG, checkpoint, '--output-root', out, '--kpt-thr', '0']
        return main(['demo', *arguments, '--det', *det.split(), *options, '--device', 'cpu'])

    return run
