"""AlexNet: MMPose's weights and torchvision's, the shapes of the table, gradients."""

import pytest
import torch
from mmpose.models.backbones import AlexNet as StockAlexNet
from model_case import share_weights

from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import AlexNet
from rlepose_ext.registry import MODELS


def test_parameters_and_shapes_of_the_table():
    model = MODELS.build({'type': 'rlepose_ext.AlexNet'})
    assert type(model) is AlexNet
    # 11x11, 5x5 and three 3x3 convolutions with biases
    weights = 121 * 3 * 64 + 25 * 64 * 192 + 9 * (192 * 384 + 384 * 256 + 256 * 256)
    total = sum(p.numel() for p in model.parameters())
    assert total == weights + 64 + 192 + 384 + 256 + 256 == 2_469_696
    assert total + 68 * 257 == 2_487_172  # with RLEHead
    x, shapes = torch.rand(1, 3, 256, 192), []
    for layer in model.features:
        x = layer(x)
        if not isinstance(layer, torch.nn.ReLU):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        (64, 63, 47), (64, 31, 23), (192, 31, 23), (192, 15, 11),
        (384, 15, 11), (256, 15, 11), (256, 15, 11), (256, 7, 5),
    ]  # fmt: skip
    assert model.out_channels == (256,)


def test_stock_checkpoints_both_ways():
    ours, stock = AlexNet(), StockAlexNet()
    share_weights(ours, stock, 0.02)
    images = torch.rand(2, 3, 128, 96)
    assert torch.equal(ours(images)[0], stock(images)[0])


def test_imagenet_weights_of_torchvision_load(tmp_path):
    from torchvision.models import alexnet

    imagenet = alexnet(weights=None, num_classes=10)
    state = imagenet.state_dict()
    state = {k: v if k.startswith('features') else v[:1].clone() for k, v in state.items()}
    torch.save(state, tmp_path / 'alexnet.pth')
    model = AlexNet({'type': 'Pretrained', 'checkpoint': str(tmp_path / 'alexnet.pth')})
    model.init_weights()
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(images)[0], imagenet.features(images))


def test_initial_weights_keep_the_scale_of_the_signal():
    model = AlexNet()
    model.init_weights()
    for layer in model.features:
        if isinstance(layer, torch.nn.Conv2d):
            expected = (2 / layer.weight[0].numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)
            assert not layer.bias.any()


def test_gradients_and_memory_layout(assert_same_in_nhwc):
    model = AlexNet().double()
    assert_same_in_nhwc(model, torch.rand(2, 3, 80, 64, dtype=torch.float64))
    for name, parameter in model.named_parameters():
        assert parameter.grad.any(), name


def test_smallest_input():
    model = AlexNet()
    assert model(torch.rand(1, 3, 63, 63))[0].shape == (1, 256, 1, 1)
    with pytest.raises(UserError, match=r'at least 63 px .* got 64 x 62'):
        model(torch.rand(1, 3, 64, 62))
