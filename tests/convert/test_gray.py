"""A converted model computes from a grey image what the RGB model computes from it."""

import argparse
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmpose.models.backbones import HRNet, MobileNetV2, ResNet
from torch import nn
from torch.utils.data import DataLoader

from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.cli import convert as command
from rlepose_ext.convert import gray
from rlepose_ext.datasets.transforms.to_gray import LUMA
from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import HRNetLite, ViTBackbone
from rlepose_ext.models.backbones.vit import WIDTHS

MEAN, STD = gray.IMAGENET_MEAN, gray.IMAGENET_STD
GRAY = (117.038, 57.53)
SAME = ((128.0,) * 3, (128.0,) * 3)


def grey_images(height, width, seed=0):
    """(2, 1, H, W) of whole numbers from 0 to 255, float64."""
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 1, height, width))
    return torch.from_numpy(pixels.astype(np.float64))


def normalised(images, mean, std):
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (mean, std))
    return (images.expand(-1, mean.shape[1], -1, -1) - mean) / std


def test_values_that_the_configs_have():
    assert gray.LUMA == LUMA
    assert (gray.luma_of(MEAN), gray.luma_of(STD)) == GRAY
    assert gray.luma_of((128, 128, 128)) == 128


@pytest.mark.parametrize('stats', [(MEAN, STD), ((10, 200, 90), (40, 70, 60)), SAME])
@pytest.mark.parametrize('target', [GRAY, (0.0, 255.0)])
def test_one_convolution_inside_and_at_the_border(stats, target):
    weight = torch.randn(5, 3, 7, 7, dtype=torch.float64)
    images = grey_images(20, 23)
    mono, shift = gray.sum_kernels(weight, *stats, *target)
    assert mono.shape == (5, 1, 7, 7)
    for pad in (0, 3):
        rgb = F.conv2d(normalised(images, *stats), weight, padding=pad)
        grey = F.conv2d(normalised(images, target[:1], target[1:]), mono, padding=pad)
        difference = grey + shift[:, None, None] - rgb
        inner = difference[..., pad : 20 - pad, pad : 23 - pad] if pad else difference
        assert inner.abs().max() < 1e-11
    # What zero padding changes: the taps outside of the image, times the distance of the means.
    outside = (
        1
        - F.conv2d(
            torch.ones(1, 1, 20, 23, dtype=torch.float64),
            torch.eye(49, dtype=torch.float64).view(49, 1, 7, 7),
            padding=3,
        )[0]
    )
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in stats)
    offset = (target[0] - mean) / std
    by_tap = torch.einsum('ochw,c->ohw', weight, offset).flatten(1)
    expected = torch.einsum('ot,tyx->oyx', by_tap, outside)
    torch.testing.assert_close(difference[0], expected, rtol=1e-9, atol=1e-9)
    assert (expected.abs().max() < 1e-12) == (stats is SAME and target[0] == 128)


def backbones():
    tiny = dict(zip(WIDTHS, (24, 2, 4, 48), strict=True))
    extra = {
        f'stage{n}': {
            'num_modules': 1,
            'num_branches': n,
            'block': 'BOTTLENECK' if n == 1 else 'BASIC',
            'num_blocks': (1,) * n,
            'num_channels': (64,) if n == 1 else tuple(8 * 2**i for i in range(n)),
        }
        for n in (1, 2, 3, 4)
    }
    return {
        'resnet': lambda c: ResNet(18, in_channels=c),
        'deep stem': lambda c: ResNet(18, in_channels=c, deep_stem=True),
        'hrnet': lambda c: HRNet(extra, in_channels=c),
        'hrnetlite': lambda c: HRNetLite(in_channels=c),
        'vit': lambda c: ViTBackbone(tiny, (64, 64), in_channels=c),
    }


@pytest.mark.slow
@pytest.mark.parametrize('name', backbones())
def test_whole_backbones(name, monkeypatch):
    build = backbones()[name]
    rgb, mono = build(3).double(), build(1).double()
    for model in (rgb, mono):
        model.eval()
    for module in rgb.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    state = rgb.state_dict()
    before = {key: value.clone() for key, value in state.items()}
    # With one mean everything is exact, borders included.
    mono.load_state_dict(gray.convert(state, *SAME), strict=True)
    images = grey_images(64, 64)
    with torch.no_grad():
        expected = rgb(normalised(images, *SAME))
        got = mono(normalised(images, SAME[0][:1], SAME[1][:1]))
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    # With ImageNet's, once no padding is there: the first layer alone, normalised.
    mono.load_state_dict(gray.convert(state), strict=True)
    assert all(torch.equal(before[key], value) for key, value in state.items())
    stems = []
    for model, stats in ((rgb, (MEAN, STD)), (mono, ([GRAY[0]], [GRAY[1]]))):
        conv = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
        monkeypatch.setattr(conv, 'padding', (0, 0))
        x = conv(normalised(images, *stats))
        norm = next((m for m in model.modules() if isinstance(m, nn.BatchNorm2d)), None)
        stems.append(x if norm is None else norm(x))
    torch.testing.assert_close(*stems, rtol=1e-9, atol=1e-9)


def test_only_two_tensors_change_and_prefixes_stay():
    state = {f'backbone.{k}': v for k, v in ResNet(18).state_dict().items()}
    state['head.final.weight'] = torch.randn(17, 512, 1, 1)
    converted = gray.convert(state)
    changed = {k for k, v in converted.items() if v is not state[k]}
    assert changed == {'backbone.conv1.weight', 'backbone.bn1.running_mean'}
    assert converted['backbone.conv1.weight'].dtype == torch.float32
    assert list(converted) == list(state)


def test_files_of_torchvision_and_mmpose_have_known_names():
    for state, name in (
        (MobileNetV2(0.5).state_dict(), 'conv1.conv.weight'),
        (ResNet(50, deep_stem=True).state_dict(), 'stem.0.conv.weight'),
        ({'features.0.0.weight': torch.zeros(8, 3, 3, 3)}, 'features.0.0.weight'),
        (
            {'conv1.weight': torch.zeros(8, 3, 3, 3), 'aux.weight': torch.zeros(8, 3, 3, 3)},
            'conv1.weight',
        ),
    ):
        assert gray.find_first_conv(state) == name
    state = MobileNetV2(0.5).state_dict()
    converted = gray.convert(state)
    changed = {k for k, v in converted.items() if v is not state[k]}
    assert changed == {'conv1.conv.weight', 'conv1.bn.running_mean'}


def test_what_cannot_be_converted():
    conv = {'conv1.weight': torch.randn(8, 3, 3, 3)}
    two = dict.fromkeys(('a.weight', 'b.weight'), conv['conv1.weight'])
    for state, options, said in (
        ({'fc.weight': torch.randn(3, 3)}, {}, 'no convolution'),
        ({'backbone.conv1.weight': conv['conv1.weight'][:, :1]}, {}, 'has one channel'),
        (two, {}, r'2 layers.*a\.weight, b\.weight'),
        (conv, {}, r'conv1 has no bias.*bn1.*--mean M M M'),
        (conv, {'std': (1, 0, 1)}, 'above 0'),
        (conv, {'mean': (float('nan'), 1, 1)}, 'finite'),
        (conv, {'gray_std': float('inf')}, 'finite'),
        (conv, {'mean': (1,)}, '3 values'),
    ):
        with pytest.raises(UserError, match=said):
            gray.convert(state, **options)
    assert gray.convert(conv, *SAME)['conv1.weight'].shape == (8, 1, 3, 3)


def run(*arguments):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(['convert', 'gray', *map(str, arguments)])
    return args.run(args)


@pytest.mark.slow
def test_command(tmp_path, capsys):
    source, target = tmp_path / 'rgb.pth', tmp_path / 'gray.pth'
    state = ResNet(18).state_dict()
    torch.save({'state_dict': state, 'meta': {}}, source)
    assert run(source, target) == 0
    said = capsys.readouterr().out
    assert 'mean=[117.038], std=[57.53], bgr_to_rgb=False, in_channels=1' in said
    written = torch.load(target, weights_only=True)
    expected = gray.convert(state)
    assert set(written['state_dict']) == set(expected)
    assert all(torch.equal(v, expected[k]) for k, v in written['state_dict'].items())
    assert written['meta']['gray_mean'] == 117.038
    model = ResNet(18, in_channels=1, init_cfg={'type': 'Pretrained', 'checkpoint': str(target)})
    model.init_weights()
    assert torch.equal(model.conv1.weight, expected['conv1.weight'])

    with pytest.raises(UserError, match='--force'):
        run(source, target)
    with pytest.raises(UserError, match=r'gray\.pth: .*one channel'):
        run(target, tmp_path / 'again.pth')
    assert not (tmp_path / 'again.pth').exists()
    assert run(source, target, '--force', '--mean', *SAME[0], '--std', *SAME[1]) == 0
    assert 'mean=[128.0], std=[128.0]' in capsys.readouterr().out
    assert run(source, target, '--force', '--gray-mean', 100, '--gray-std', 50) == 0
    assert 'mean=[100.0], std=[50.0]' in capsys.readouterr().out


@pytest.mark.slow
def test_a_checkpoint_that_a_training_has_written(tmp_path, capsys):
    """MMEngine puts log history and the data set's arrays beside the tensors."""
    from mmengine.runner import Runner

    class Net(BaseModel):
        def __init__(self):
            super().__init__()
            self.backbone = ResNet(18)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            return {'loss': self.backbone(inputs)[0].mean()}

    class Pictures(list):
        metainfo = {'sigmas': np.ones(17, np.float32), 'best': np.float64(0.25)}

    runner = Runner(
        Net(),
        str(tmp_path / 'work'),
        train_dataloader=DataLoader(Pictures([{'inputs': torch.zeros(3, 32, 32)}] * 2), 2),
        train_cfg={'by_epoch': True, 'max_epochs': 1},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}},
        default_scope='mmengine',
        experiment_name='gray',
    )
    runner.train()
    source = tmp_path / 'work' / 'epoch_1.pth'
    with pytest.raises(pickle.UnpicklingError):
        torch.load(source, weights_only=True)
    assert load_file(source)['meta']['dataset_meta']['sigmas'].shape == (17,)
    assert run(source, tmp_path / 'gray.pth') == 0
    written = torch.load(tmp_path / 'gray.pth', weights_only=True)['state_dict']
    assert written['backbone.conv1.weight'].shape == (64, 1, 7, 7)


@pytest.mark.slow
def test_released_model_on_grey_pictures_of_real_people(root, shared):
    """One model three ways: in colour, on grey in three channels, converted to one."""
    from mmengine.config import Config
    from mmpose.apis import init_model

    from rlepose_ext.convert import files, mmpose_clean
    from rlepose_ext.inference import annotated

    file = shared / 'weights' / 'mmpose_clean_rle_mbv2_0.50x_192x192_float.pth'
    state = mmpose_clean.convert_model(files.read_state_dict(file))
    folder = shared / 'data' / 'mmpose_samples' / 'coco'
    images = annotated.read_annotated(folder / 'test_coco.json', folder)
    oks, keypoints = {}, {}
    for channels in (None, 3, 1):
        config = Config.fromfile(
            root / 'configs/rle/rle_mobilenetv2-050_1xb256-420e_coco-192x192.py'
        )
        config.model.backbone.init_cfg = None
        config.model.test_cfg.flip_test = False
        weights = state
        if channels is not None:
            step = {'type': 'rlepose_ext.ToGray', 'num_output_channels': channels}
            config.test_dataloader.dataset.pipeline.insert(-1, step)
        if channels == 1:
            weights = gray.convert(state, *SAME)
            config.model.data_preprocessor.update(mean=[128.0], std=[128.0], bgr_to_rgb=False)
        model = init_model(config, None, 'cpu')
        if channels == 1:
            # MMPose's MobileNetV2 has no in_channels.
            model.backbone.conv1.conv = nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False)
        missing = model.load_state_dict(weights, strict=False).missing_keys
        assert all('loss_module' in key for key in missing)
        samples = annotated.predict_annotated(model, images)
        oks[channels] = annotated.mean_oks(images, samples, model.dataset_meta['sigmas'])
        keypoints[channels] = [
            sample.pred_instances.keypoints for group in samples for sample in group
        ]
    for three, one in zip(keypoints[3], keypoints[1], strict=True):
        assert np.abs(three - one).max() < 0.01  # px; mean 128 in all channels: nothing is lost
    assert 0.83 < oks[None] < 0.85
    assert 0.78 < oks[3] < 0.80, 'colour is worth 0.05 to a model that was trained with it'
    assert oks[1] == pytest.approx(oks[3], abs=1e-4)
