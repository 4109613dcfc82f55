"""NHWC changes the speed of a backbone, not its values, keys or gradients."""

import copy
import pickle

import mmpose.models  # noqa: F401
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS
from torch import nn

from rlepose_ext.engine import cpu_speed
from rlepose_ext.engine.cpu_speed import (
    SWITCH,
    keep_freed_memory,
    use_bfloat16_backbone,
    use_channels_last,
    wanted,
)
from rlepose_ext.errors import UserError
from rlepose_ext.resources import resource


def stage(branches):
    """A stage of a narrow HRNet with one block in each branch."""
    return dict(
        num_modules=1,
        num_branches=branches,
        block='BOTTLENECK' if branches == 1 else 'BASIC',
        num_blocks=(1,) * branches,
        num_channels=(8, 16, 32, 64)[:branches],
    )


BACKBONES = {
    'MobileNetV2': dict(widen_factor=0.5, out_indices=(7,)),
    'MobileNetV3': {},
    'ShuffleNetV1': {},
    'ResNet': dict(depth=18),
    'SEResNet': dict(depth=50),
    'RegNet': dict(arch='regnetx_400mf'),
    'ViPNAS_MobileNetV3': {},
    'AlexNet': {},
    'SCNet': dict(depth=50),
    'ResNeXt': dict(depth=50),
    'ResNeSt': dict(depth=50),
    'VGG': dict(depth=11, norm_cfg=dict(type='BN')),
    'CPM': dict(in_channels=3, out_channels=5, feat_channels=16, num_stages=2),
    'HRNet': dict(extra={f'stage{n}': stage(n) for n in (1, 2, 3, 4)}),
    'PyramidVisionTransformer': dict(embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 2, 4, 8]),
    'SwinTransformer': dict(
        embed_dims=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), window_size=2
    ),
    'CSPNeXt': dict(deepen_factor=0.33, widen_factor=0.25, out_indices=(4,)),
}


class Estimator(nn.Module):
    """What ``use_channels_last`` looks at: something with a backbone."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone


def last_map(output):
    return output[-1] if isinstance(output, tuple | list) else output


SLOW = ('CPM', 'SCNet', 'ResNeXt', 'ResNeSt', 'SEResNet', 'VGG', 'ViPNAS_MobileNetV3')


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in BACKBONES]
)
def test_equal_outputs_and_gradients(name, monkeypatch):
    stock = MODELS.build(dict(type=name, **BACKBONES[name])).double()
    stock.eval()  # returns nothing in MMPose
    fast = copy.deepcopy(stock)
    # narrow networks, to be quick
    monkeypatch.setattr(cpu_speed, 'NARROWEST_IN_NHWC', 0)
    assert use_channels_last(Estimator(fast))
    assert list(fast.state_dict()) == list(stock.state_dict())

    size = 128 if name == 'SCNet' else 64  # it pools 4 x 4 of its last map
    images = torch.rand(2, 3, size, size, dtype=torch.float64)
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
    shuffling = MODELS.get('ShuffleNetV2')
    derived = type('Derived', (shuffling,), {'__module__': shuffling.__module__})
    assert not use_channels_last(Estimator(shuffling()))
    assert not use_channels_last(Estimator(derived()))
    assert not use_channels_last(nn.Linear(2, 2))


def test_memory_setting_is_taken():
    assert keep_freed_memory()


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ('bfloat16', (True, True, ('ResNet', 'HRNet'))),
        ('1', (True, True, ('ResNet',))),
        ('', (True, True, ('ResNet',))),
        ('float32', (True, True, ())),
        ('memory', (True, False, ())),
        ('0', (False, False, ())),
        ('fast', None),
    ],
)
def test_switch(monkeypatch, value, expected):
    monkeypatch.setenv(SWITCH, value)
    if expected:
        assert wanted() == expected
    else:
        with pytest.raises(UserError, match='0, memory, float32, 1, bfloat16'):
            wanted()


def through_a_pipe(value, monkeypatch):
    """What arrives in another process: the message, and whether torch's way was taken."""
    shared = []
    torchs_way = cpu_speed.reduce_tensor

    def reduce_tensor(tensor):
        shared.append(tensor)
        return torchs_way(tensor)

    monkeypatch.setattr(cpu_speed, 'reduce_tensor', reduce_tensor)
    function, arguments = cpu_speed._reduce(value)
    return function(*arguments), bool(shared)


@pytest.mark.parametrize(('value', 'by_value'), [
    (torch.arange(6, dtype=torch.float32).view(1, 3, 2), True),
    (torch.tensor(3), True),
    (torch.arange(4, dtype=torch.bfloat16), True),
    (torch.zeros(3, 256, 193, dtype=torch.uint8), False),
    (torch.zeros(4, 4)[:2], False),  # a view
    (torch.zeros(0, 2), False),
    (torch.zeros(2).share_memory_(), False),
    (nn.Parameter(torch.zeros(2)), False),
])  # fmt: skip
def test_small_tensors_travel_by_value_and_others_torchs_way(value, by_value, monkeypatch):
    arrived, shared = through_a_pipe(value, monkeypatch)
    assert shared is not by_value
    if by_value:
        assert arrived.dtype == value.dtype
        assert torch.equal(arrived, value)
        arrived.zero_()  # writable, and a copy
        assert arrived.data_ptr() != value.data_ptr()


def test_loader_workers_deliver_the_same(monkeypatch):
    samples = [
        {'image': torch.full((3, 8, 8), i), 'label': torch.tensor([i, -i])} for i in range(6)
    ]
    cpu_speed.send_small_tensors_by_value()
    loader = torch.utils.data.DataLoader(samples, batch_size=2, num_workers=2)
    for got, first in zip(loader, range(0, 6, 2), strict=True):
        assert got['image'][1].unique().item() == first + 1
        assert got['label'].tolist() == [[first, -first], [first + 1, -first - 1]]


def test_narrow_convolutions_keep_their_layout():
    """On 8 channels the backward pass would crash the process."""
    for channels, taken in ((8, False), (16, True)):
        backbone = MODELS.build(
            dict(type='ResNet', depth=18, base_channels=channels, stem_channels=channels)
        )
        assert use_channels_last(Estimator(backbone)) == taken
        backbone.train()
        backbone(torch.randn(1, 3, 64, 64))[-1].sum().backward()


@pytest.fixture
def with_bfloat16(monkeypatch):
    monkeypatch.setattr(cpu_speed, 'has_bfloat16', lambda: True)


@pytest.mark.parametrize(
    ('backbone', 'expected'),
    [
        ({'type': 'ResNet', 'depth': 50}, True),
        ({'type': 'ResNet', 'depth': 18}, False),
        ({'type': 'MobileNetV2'}, False),
    ],
    ids=['ResNet-50', 'ResNet-18', 'MobileNetV2'],
)
def test_which_backbones_train_in_bfloat16(monkeypatch, backbone, expected):
    for there in (False, True):
        monkeypatch.setattr(cpu_speed, 'has_bfloat16', lambda there=there: there)
        with torch.device('meta'):
            model = Estimator(MODELS.build(backbone))
        assert use_bfloat16_backbone(model) == (expected and there)


def test_a_backbone_trains_in_bfloat16(with_bfloat16):
    """It alone; its outputs are float32, its gradients near those of float32, copies are alike."""
    torch.manual_seed(0)
    plain = Estimator(MODELS.build({'type': 'ResNet', 'depth': 50, 'base_channels': 8}))
    plain.backbone.init_weights()
    mixed, x = copy.deepcopy(plain), torch.randn(4, 3, 64, 64)
    assert use_bfloat16_backbone(mixed)
    mixed = pickle.loads(pickle.dumps(copy.deepcopy(mixed)))
    assert list(mixed.state_dict()) == list(plain.state_dict())
    seen, gradients = [], []
    mixed.backbone.layer1.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    for model in (plain, mixed):
        model.train()
        (found,) = model.backbone(x)
        assert found.dtype == torch.float32
        found.square().mean().backward()
        gradients.append(model.backbone.conv1.weight.grad)
    assert seen == [torch.bfloat16]
    assert not torch.equal(*gradients)
    cosine = torch.nn.functional.cosine_similarity(*(each.flatten() for each in gradients), dim=0)
    assert cosine > 0.9
    plain.eval()
    mixed.eval()
    mixed.load_state_dict(plain.state_dict())
    with torch.no_grad():
        assert torch.equal(plain.backbone(x)[0], mixed.backbone(x)[0])


def test_a_run_says_it(with_bfloat16, monkeypatch):
    said = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda text, *_, **__: said.append(text))
    hrnet = Config.fromfile(resource('configs/hrnet/heatmap_hrnet-w32_8xb64-210e_coco-256x192.py'))
    hrnet = {**hrnet.model.backbone, 'init_cfg': None}
    for switch, kinds in (('float32', ()), ('1', ('ResNet',)), ('bfloat16', ('ResNet', 'HRNet'))):
        monkeypatch.setenv(SWITCH, switch)
        for backbone in ({'type': 'ResNet', 'depth': 50}, hrnet):
            cpu_speed.speed_up(Estimator(MODELS.build(backbone)))
            assert ('bfloat16 in the backbone' in said[-1]) == (backbone['type'] in kinds)
