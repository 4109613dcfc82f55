"""HRNetLite: equal to stage 3 of MMPose's HRNet, its weights, taps, activations, bad input."""

import logging

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.runner.checkpoint import load_state_dict
from mmpose.models.backbones import HRNet
from torch import nn

from rlepose_ext.engine.checkpoint_match import compare, require_exact, snapshot
from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import HRNetLite
from rlepose_ext.models.backbones.hrnet_lite import TAPS, is_surplus
from rlepose_ext.registry import MODELS

IMAGES = (2, 3, 64, 96)


def make_stock(width: int = 8, **kwargs) -> HRNet:
    modules = {'stage2': 1, 'stage3': 4, 'stage4': 3}
    extra = {
        'stage1': dict(
            num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(4,), num_channels=(64,)
        )
    }
    for branches, (stage, number) in enumerate(modules.items(), start=2):
        extra[stage] = dict(
            num_modules=number,
            num_branches=branches,
            block='BASIC',
            num_blocks=(4,) * branches,
            num_channels=tuple(width * 2**i for i in range(branches)),
        )
    return HRNet(extra, **kwargs)


def stock_maps(stock: HRNet, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """What MMPose's network computes on the way, by HRNetLite's names."""
    seen = {}
    stock.layer1.register_forward_hook(lambda m, args, out: seen.update(stem=args[0]))
    # The modules overwrite the list they are given, so it is read before.
    stock.stage3.register_forward_pre_hook(
        lambda m, args: seen.update({f'stage3_input{i}': t for i, t in enumerate(args[0])})
    )
    stock.stage3.register_forward_hook(lambda m, args, out: seen.update(final=out[0]))
    stock(images)
    return seen


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda level=0: [r.getMessage() for r in caplog.records if r.levelno >= level]
    logger.removeHandler(caplog.handler)


def test_w32_is_stage_3_of_stock(randomise):
    model = MODELS.build({'type': 'rlepose_ext.HRNetLite', 'taps': TAPS})
    assert type(model) is HRNetLite
    stock = make_stock(32)
    randomise(stock)
    total = sum(p.numel() for p in stock.parameters())
    dropped = [
        sum(p.numel() for n, p in stock.named_parameters() if is_surplus(n) == part)
        for part in ('stage4', 'transition3', 'stage3.3.fuse_layers')
    ]
    assert (total, dropped) == (28_535_552, [20_407_232, 295_424, 147_264])
    assert sum(p.numel() for p in model.parameters()) == total - sum(dropped) == 7_685_632

    model.load_state_dict(stock.state_dict(), strict=True)
    stock.eval()
    model.eval()
    images = torch.rand(*IMAGES)
    with torch.no_grad():
        expected, maps = stock_maps(stock, images), model(images)
    assert [m.shape[1] for m in maps] == [64, 32, 64, 128, 32] == list(model.out_channels)
    assert [96 // m.shape[3] for m in maps] == [4, 4, 8, 16, 4] == list(model.out_strides)
    for name, got in zip((*TAPS, 'final'), maps, strict=True):
        assert got.isfinite().all()
        assert got.std() > 0.01
        assert torch.equal(got, expected[name]), name


def test_training_step_is_that_of_stock(randomise):
    """Gradients and running statistics too: every layer runs once per step."""
    stock, model = make_stock().double(), HRNetLite(width=8).double()
    randomise(stock)
    model.load_state_dict(stock.state_dict())
    images = torch.rand(*IMAGES, dtype=torch.float64)
    expected = stock_maps(stock, images)['final']
    (got,) = model(images)
    for output in (expected, got):
        output.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.any(), name
        torch.testing.assert_close(parameter.grad, stock.get_parameter(name).grad)
    for name, value in model.named_buffers():
        torch.testing.assert_close(value, stock.get_buffer(name))
        if name.endswith('num_batches_tracked'):
            assert value == 1, name


def test_one_stage_is_the_stem_and_layer1_of_stock(randomise, log):
    model, stock = HRNetLite(num_stages=1, taps=('stem',)).eval(), make_stock()
    stock.eval()
    assert sum(p.numel() for p in model.parameters()) == 325_056
    randomise(stock)
    load_state_dict(model, stock.state_dict(), logger='current')
    assert not log(logging.WARNING)
    (line,) = [text for text in log() if 'ignores' in text]
    assert 'ends after stage 1' in line
    for part in ('transition1 (', 'stage2 (', 'transition2 (', 'stage3 (', 'stage4 ('):
        assert part in line
    expected = {}
    stock.layer1.register_forward_hook(
        lambda m, args, out: expected.update(stem=args[0], layer1=out)
    )
    images = torch.rand(*IMAGES)
    with torch.no_grad():
        stock(images)
        stem, layer1 = model(images)
    assert torch.equal(stem, expected['stem'])
    assert torch.equal(layer1, expected['layer1'])
    assert model.out_channels == (64, 256)
    assert model.out_strides == (4, 4)
    frozen = HRNetLite(num_stages=1, frozen_stages=1)
    assert not any(p.requires_grad for p in frozen.parameters())


def test_weights_go_back_into_stock():
    model, stock = HRNetLite(width=8), make_stock()
    result = stock.load_state_dict(model.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert {is_surplus(name) for name in result.missing_keys} == {
        'stage4',
        'transition3',
        'stage3.3.fuse_layers',
    }
    loaded = stock.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(loaded[name], value), name


def test_imagenet_file_says_in_one_line_what_it_ignored(tmp_path, log):
    state = make_stock().state_dict()
    state |= {f'incre_modules.{i}.weight': torch.zeros(1) for i in range(3)}
    state |= {'classifier.weight': torch.zeros(1), 'classifier.bias': torch.zeros(1)}
    torch.save({'state_dict': state}, tmp_path / 'imagenet.pth')
    model = HRNetLite(
        width=8, init_cfg={'type': 'Pretrained', 'checkpoint': str(tmp_path / 'imagenet.pth')}
    )
    model.init_weights()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
    lines = [text for text in log() if 'ignores' in text]
    assert lines == [
        'HRNetLite ends after stage 3 and ignores 827 entries of the checkpoint: classifier (2), '
        'incre_modules (3), stage3.3.fuse_layers (30), stage4 (786), transition3 (6).'
    ]
    assert not log(logging.WARNING)


def test_what_is_truly_missing_or_unknown_is_still_reported(log):
    model, state = HRNetLite(width=8), make_stock().state_dict()
    del state['layer1.0.conv1.weight']
    state['stage3.4.fuse_layers.0.1.0.weight'] = torch.zeros(1)
    load_state_dict(model, state, logger='current')
    (warning,) = log(logging.WARNING)
    assert 'missing keys in source state_dict: layer1.0.conv1.weight\n' in warning
    assert 'unexpected key in source state_dict: stage3.4.fuse_layers.0.1.0.weight\n' in warning
    with pytest.raises(RuntimeError, match=r'layer1\.0\.conv1\.weight'):
        model.load_state_dict(state, strict=True)


def test_whole_model_loads_with_a_warning(log):
    """As ``load_from`` and ``mim test`` load: the check of compat counts every parameter."""
    whole = nn.ModuleDict({'backbone': make_stock(), 'head': nn.Conv2d(8, 17, 1)})
    model = nn.ModuleDict({'backbone': HRNetLite(width=8), 'head': nn.Conv2d(8, 17, 1)})
    before, state = snapshot(model), whole.state_dict()
    load_state_dict(model, state, logger='current')
    match = compare(model, before, state)
    assert match.loaded == match.total
    assert any(name.startswith('backbone.stage4') for name in match.unexpected)
    (warning,) = log(logging.WARNING)
    assert 'ignores 822 entries' in warning

    before = snapshot(model)
    load_state_dict(
        model, {k: v for k, v in state.items() if '.layer1.' not in k}, logger='current'
    )
    with pytest.raises(UserError, match=r'missing: backbone\.layer1'):
        require_exact(compare(model, before, state), 'other.pth')


def test_hardswish_stands_in_for_every_relu(monkeypatch, randomise):
    model = HRNetLite(width=8, act_cfg={'type': 'HardSwish'})
    relu = HRNetLite(width=8, act_cfg={'type': 'ReLU'})
    randomise(relu)
    model.load_state_dict(relu.state_dict(), strict=True)
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())
    images = torch.rand(*IMAGES)
    (got,) = model(images)
    got.square().sum().backward()
    assert all(p.grad.any() for p in model.parameters())
    assert not torch.allclose(relu(images)[0], got)
    relu.load_state_dict(model.state_dict())
    monkeypatch.setattr(nn.ReLU, 'forward', lambda self, x: x * F.relu6(x + 3) / 6)
    torch.testing.assert_close(relu.eval()(images), model.eval()(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('act', ['ReLU', 'HardSwish'])
def test_memory_layout(act, assert_same_in_nhwc):
    model = HRNetLite(width=8, act_cfg={'type': act}, taps=TAPS).double()
    assert_same_in_nhwc(model, torch.rand(2, 3, 32, 48, dtype=torch.float64))


@pytest.mark.parametrize('stages', [-1, 0, 1, 2, 3])
def test_frozen_stages_as_in_stock(stages):
    model = HRNetLite(width=8, frozen_stages=stages)
    stock = make_stock(frozen_stages=stages)
    stock.train()
    assert model.train() is model
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == stock.get_parameter(name).requires_grad, name
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == stock.get_submodule(name).training, name


@pytest.mark.parametrize(('options', 'said'), [
    ({'taps': ['stem', 'layer1']}, 'stage3_input2; got'),
    ({'taps': 'stem'}, 'list of different names'),
    ({'act_cfg': {'type': 'Swish'}}, 'expected one of ReLU, HardSwish'),
    ({'width': 0}, 'width must be a positive integer'),
    ({'frozen_stages': 4}, 'frozen_stages must be -1 to 3'),
    ({'num_stages': 1, 'frozen_stages': 2}, 'frozen_stages must be -1 to 1'),
    ({'num_stages': 1, 'taps': ['stage3_input0']}, 'out of stem; got'),
    ({'num_stages': 2}, 'num_stages must be 1 or 3, got 2'),
])  # fmt: skip
def test_bad_options_are_named(options, said):
    with pytest.raises(UserError, match=said):
        HRNetLite(**options)


def test_bad_sizes_are_named():
    with pytest.raises(UserError, match='multiples of 16, got 64 x 56'):
        HRNetLite(width=8)(torch.rand(1, 3, 64, 56))


def test_taps_come_in_the_given_order_and_the_final_map_last():
    everything = HRNetLite(width=8, taps=TAPS).eval()
    taps = ('stage3_input1', 'stem')
    model = HRNetLite(width=8, taps=taps).eval()
    model.load_state_dict(everything.state_dict())
    images = torch.rand(*IMAGES)
    named = dict(zip((*TAPS, 'final'), everything(images), strict=True))
    for name, got in zip((*taps, 'final'), model(images), strict=True):
        assert torch.equal(got, named[name])
