"""``compile_backbone``: only training batches of one shape, with the losses of an eager run."""

import copy
import json
import logging

import numpy as np
import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader

from rlepose_ext.engine.compiled import _WhileTraining, compile_backbone
from rlepose_ext.models.heads import RLEHead


class Backbone(nn.Sequential):
    # torch.compile leaves torch's own forward alone
    def forward(self, x):
        for layer in self:
            x = layer(x)
        return x


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 4, 3)
        self.backbone = Backbone(*layers)
        self.head = RLEHead(4, num_joints=2)

    def train_step(self, data, optim_wrapper):
        with optim_wrapper.optim_context(self):
            features = self.backbone(data)
            coords = self.head([features.mean((2, 3))])
            loss = coords.square().sum()
        self.seen = features.dtype, coords.dtype, loss.dtype
        optim_wrapper.update_params(loss)
        return {'loss': loss.detach()}


def train(folder, optim_wrapper='OptimWrapper', epochs=1, resume=None, **cfg):
    """The model after three iterations an epoch, the last one of a smaller batch."""
    images = torch.rand(10, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    runner = Runner(
        model=Model(),
        work_dir=str(folder),
        train_dataloader=DataLoader(images, batch_size=4),
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        resume=resume is not None,
        load_from=resume,
        optim_wrapper={'type': optim_wrapper, 'optimizer': {'type': 'SGD', 'lr': 2e-3}},
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}},
        log_processor={'window_size': 1},
        cfg=cfg,
        randomness={'seed': 0},
        default_scope='mmpose',
        experiment_name=f'{folder.parent.name}-{folder.name}',
    )
    runner.train()
    return runner.model


def losses(folder, *args, **kwargs):
    """Those of :func:`train`, and its model."""
    model = train(folder, *args, **kwargs)
    (scalars,) = folder.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    return [row['loss'] for row in rows], model


@pytest.fixture
def marked(monkeypatch):
    """A torch.compile that adds 100 to what it compiles."""
    monkeypatch.setattr(torch, 'compile', lambda call, **_: lambda x: call(x) + 100)


def test_what_is_compiled(marked):
    model, images = Model(), torch.rand(4, 3, 12, 12)
    expected = model.backbone(images)
    names = list(model.state_dict())
    compile_backbone(model)
    assert torch.equal(model.backbone(images), expected + 100)
    assert model.backbone(images[:2]).max() < 50
    assert list(model.state_dict()) == names
    # a copy has weights of its own
    twin = copy.deepcopy(model)
    nn.init.zeros_(twin.backbone[3].weight)
    nn.init.constant_(twin.backbone[3].bias, 7)
    assert (twin.backbone(images) == 7).all()
    model.eval()
    assert model.backbone(images).max() < 50


def test_training_goes_on_where_nothing_can_be_compiled(tmp_path, monkeypatch, caplog):
    eager, _ = losses(tmp_path / 'eager')

    def compiled(call, **_):
        def fail(x):
            raise RuntimeError('No working C++ compiler found\nin many lines')

        return fail

    monkeypatch.setattr(torch, 'compile', compiled)
    with caplog.at_level(logging.WARNING):
        assert losses(tmp_path / 'failed', compile_backbone=True)[0] == eager
    log = next(tmp_path.glob('failed/*/*.log')).read_text()
    assert log.count('torch.compile failed (RuntimeError: No working C++ compiler found)') == 1


def test_the_models_own_error_is_no_failed_compiler(marked, monkeypatch):
    monkeypatch.setattr(_WhileTraining, '_say', lambda *_: pytest.fail('the compiler is blamed'))
    model = Model()
    compile_backbone(model)
    with pytest.raises(RuntimeError, match='channels'):
        model.backbone(torch.rand(4, 5, 12, 12))


@pytest.mark.slow
def test_losses_are_those_of_an_eager_run(tmp_path):
    eager, _ = losses(tmp_path / 'eager')
    counters.clear()
    compiled, _ = losses(tmp_path / 'compiled', compile_backbone=True)
    assert counters['stats']['unique_graphs'] == 1
    assert compiled == pytest.approx(eager, rel=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason='MMEngine has float16 there')
def test_amp_on_the_cpu_is_bfloat16(tmp_path):
    eager, before = losses(tmp_path / 'eager')
    mixed, model = losses(tmp_path / 'mixed', 'AmpOptimWrapper')
    assert model.seen == (torch.bfloat16, torch.float32, torch.float32)
    assert before.seen == (torch.float32,) * 3
    assert mixed == pytest.approx(eager, rel=0.02)
    assert mixed != eager
    for theirs, ours in zip(before.parameters(), model.parameters(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=5e-3)


@pytest.mark.skipif(torch.cuda.is_available(), reason='MMEngine has float16 there')
def test_a_resumed_run_says_that_its_precision_is_another(tmp_path):
    train(tmp_path / 'float32')
    (checkpoint,) = tmp_path.glob('float32/epoch_1.pth')
    for name, wrapper in (('same', 'OptimWrapper'), ('mixed', 'AmpOptimWrapper')):
        train(tmp_path / name, wrapper, epochs=2, resume=str(checkpoint))
        log = next(tmp_path.glob(f'{name}/*/*.log')).read_text()
        assert ('resumed differently: float32 then, bfloat16 now' in log) == (name == 'mixed')
        assert 'nothing is left' not in log
    train(tmp_path / 'done', resume=str(checkpoint))
    log = next(tmp_path.glob('done/*/*.log')).read_text()
    assert 'all 3 iterations are done: nothing is left to train' in log


def test_a_run_on_the_cpu_goes_on_with_a_scaled_loss():
    """As on a GPU: the checkpoint knows no scale, and a scaler refuses an empty one."""
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1, momentum=0.5)
    wrapper = AmpOptimWrapper(optimizer=optimizer)
    saved = wrapper.state_dict()
    wrapper.loss_scaler = torch.amp.GradScaler('cpu', init_scale=8.0)
    wrapper.load_state_dict(saved)
    assert wrapper.loss_scaler.get_scale() == 8.0


@pytest.mark.slow
def test_cached_kernels_are_of_as_many_threads(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path / 'cache'))
    before, hits = torch.get_num_threads(), []
    try:
        for number in (1, 2, 1):
            torch.set_num_threads(number)
            torch._dynamo.reset()
            counters.clear()
            losses(tmp_path / str(len(hits)), compile_backbone=True)
            hits.append(counters['aot_autograd']['autograd_cache_hit'])
    finally:
        torch.set_num_threads(before)
    assert hits[:2] == [0, 0]
    assert hits[2] > 0


def test_heads_measure_their_accuracy_of_bfloat16():
    """NumPy lacks it, and each head of MMPose has its own reference to the function."""
    from mmpose.models.heads.coord_cls_heads import simcc_head
    from mmpose.models.heads.heatmap_heads import heatmap_head

    maps = torch.rand(2, 3, 4, 4).bfloat16()
    for head in (heatmap_head, simcc_head):
        np.testing.assert_array_equal(head.to_numpy(maps), maps.float().numpy())
        (found,), device = head.to_numpy([maps], return_device=True)
        np.testing.assert_array_equal(found, maps.float().numpy())
        assert device == maps.device
