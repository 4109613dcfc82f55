"""NHWC changes the speed of a backbone, not its values, keys or gradients."""

import copy

import pytest
import torch
from mmpose.registry import MODELS
from torch import nn

import mmpose.models  # noqa: F401
from rlepose_ext.compat.cpu_training import SWITCH, wanted
from rlepose_ext.engine.cpu_speed import keep_freed_memory, use_channels_last
from rlepose_ext.errors import UserError

BACKBONES = {
    'MobileNetV2': dict(widen_factor=0.5, out_indices=(7,)),
    'MobileNetV3': {},
    'ShuffleNetV1': {},
    'ResNet': dict(depth=18),
    'SEResNet': dict(depth=50),
    'RegNet': dict(arch='regnetx_400mf'),
    'ViPNAS_MobileNetV3': {},
    'AlexNet': {},
    'CSPNeXt': dict(deepen_factor=0.33, widen_factor=0.25, out_indices=(4,)),
}


class Estimator(nn.Module):
    """What ``use_channels_last`` looks at: something with a backbone."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone


def last_map(output):
    return output[-1] if isinstance(output, tuple | list) else output


@pytest.mark.parametrize('name', BACKBONES)
def test_equal_outputs_and_gradients(name):
    stock = MODELS.build(dict(type=name, **BACKBONES[name])).double().eval()
    fast = copy.deepcopy(stock)
    assert use_channels_last(Estimator(fast))
    assert list(fast.state_dict()) == list(stock.state_dict())

    images = torch.rand(2, 3, 96, 64, dtype=torch.float64)
    outputs = [last_map(model(images)) for model in (stock, fast)]
    torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-9)
    for output in outputs:
        output.square().sum().backward()
    for expected, got in zip(stock.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.grad, rtol=1e-7, atol=1e-7)


def test_weights_are_really_nhwc():
    model = Estimator(MODELS.build(dict(type='MobileNetV2', out_indices=(7,))))
    use_channels_last(model)
    output = last_map(model.backbone(torch.rand(2, 3, 64, 64)))
    assert output.is_contiguous(memory_format=torch.channels_last)
    assert not output.is_contiguous()


def test_foreign_and_slower_backbones_are_left_alone():
    foreign = Estimator(nn.Sequential(nn.Conv2d(3, 8, 3)))
    assert not use_channels_last(foreign)
    assert not use_channels_last(Estimator(MODELS.build(dict(type='ShuffleNetV2'))))
    assert not use_channels_last(nn.Linear(2, 2))


def test_memory_setting_is_taken():
    assert keep_freed_memory()


@pytest.mark.parametrize(
    ('value', 'expected'),
    [('1', (True, True)), ('memory', (True, False)), ('0', (False, False))],
)
def test_switch(monkeypatch, value, expected):
    monkeypatch.setenv(SWITCH, value)
    assert wanted() == expected


def test_switch_refuses_other_values(monkeypatch):
    monkeypatch.setenv(SWITCH, 'fast')
    with pytest.raises(UserError, match='1, memory or 0'):
        wanted()
