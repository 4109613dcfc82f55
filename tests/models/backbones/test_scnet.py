"""SCNet: MMPose's weights give equal outputs, exact totals, options, bad input."""

import copy

import pytest
import torch
from mmpose.models.backbones import SCNet as StockSCNet

from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import SCNet
from rlepose_ext.registry import MODELS

HEAD = 68 * 2049


@pytest.mark.slow
@pytest.mark.parametrize(('depth', 'total'), [(50, 23_515_584), (101, 42_516_416)])
def test_stock_checkpoints_both_ways(depth, total, randomise):
    ours = MODELS.build({'type': 'rlepose_ext.SCNet', 'depth': depth})
    assert type(ours) is SCNet
    stock = StockSCNet(depth)
    for model in (ours, stock):
        randomise(model)
    assert sum(p.numel() for p in ours.parameters()) == total
    assert depth != 50 or total + HEAD == 23_654_916
    images = torch.rand(2, 3, 128, 160)
    stock.eval()  # returns nothing in MMPose
    before = ours.eval()(images)[0]
    ours.load_state_dict(stock.state_dict(), strict=True)
    (expected,) = stock(images)
    assert expected.shape == (2, 2048, 4, 5)
    assert torch.equal(ours(images)[0], expected)
    assert not torch.allclose(before, expected)
    other = StockSCNet(depth)
    other.load_state_dict(ours.state_dict(), strict=True)
    loaded = other.state_dict()
    for key, value in ours.state_dict().items():
        assert torch.equal(loaded[key], value), key


OPTIONS = [
    {'deep_stem': True, 'avg_down': True},
    {'out_indices': (0, 1, 2, 3)},
    {'base_channels': 16, 'stem_channels': 32},
    {'num_stages': 2, 'strides': (1, 2), 'dilations': (1, 1), 'out_indices': (1,)},
]


@pytest.mark.parametrize('options', OPTIONS)
def test_options_of_resnet_as_stock(options, randomise):
    options = {'base_channels': 8, **options}
    ours, stock = SCNet(50, **options), StockSCNet(50, **options)
    randomise(stock)
    ours.load_state_dict(stock.state_dict(), strict=True)
    images = torch.rand(2, 3, 128, 128)
    for a, b in zip(ours(images), stock(images), strict=True):  # training mode
        assert torch.equal(a, b)
    for key, value in stock.named_buffers():  # running statistics
        assert torch.equal(ours.get_buffer(key), value), key


def test_gradients_checkpointing_and_memory_layout(assert_same_in_nhwc):
    model = SCNet(50, base_channels=8).double()
    images = torch.rand(2, 3, 128, 128, dtype=torch.float64)
    saving, plain = SCNet(50, base_channels=8, with_cp=True).double(), copy.deepcopy(model)
    saving.load_state_dict(model.state_dict())
    assert_same_in_nhwc(model, images)
    assert all(parameter.grad.any() for parameter in model.parameters())
    for net in (saving, plain):
        net(images)[0].square().sum().backward()
    for a, b in zip(saving.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_frozen_stages():
    model = SCNet(50, base_channels=8, frozen_stages=2)
    assert model.train() is model
    frozen = {name.split('.')[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {'conv1', 'bn1', 'layer1', 'layer2'}
    assert not model.layer2[0].scconv.k2[2].training
    assert model.layer3[0].scconv.k2[2].training


def test_images_of_64_px():
    model = SCNet(50, base_channels=8)
    assert model(torch.rand(2, 3, 64, 64))[0].shape == (2, 256, 2, 2)
    with pytest.raises(RuntimeError):
        StockSCNet(50, base_channels=8)(torch.rand(2, 3, 64, 64))


@pytest.mark.parametrize(('options', 'said'), [
    ({'depth': 152}, 'depth must be 50 or 101'),
    ({'base_channels': 15}, 'even number, got 15'),
    ({'style': 'caffe'}, "style must be 'pytorch'"),
    ({'conv_cfg': {'type': 'DCNv2'}}, 'conv_cfg must be None'),
    ({'dilations': (1, 1, 1, 2)}, 'dilations must all be 1'),
])  # fmt: skip
def test_bad_options_are_named(options, said):
    with pytest.raises(UserError, match=said):
        SCNet(**{'depth': 50, **options})
