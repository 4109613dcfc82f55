"""MoveNet's networks against Google's: parameters, raw maps, poses, batch norm, gradients."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmengine.structures import InstanceData, PixelData
from mmpose.structures import PoseDataSample
from torch import nn

from rlepose_ext.codecs import MoveNetLabel
from rlepose_ext.codecs.movenet_label import decode_many, decode_single
from rlepose_ext.convert import movenet
from rlepose_ext.errors import UserError
from rlepose_ext.models.heads import MoveNetHead, MoveNetMultiPoseHead
from rlepose_ext.registry import MODELS

sys.path.insert(0, str(Path(__file__).parents[1]))
from movenet_weights import ARCHS, model_json

PARTS = ('backbone', 'neck', 'head')
# backbone, neck, head
PARAMETERS = {
    'lightning': (2_206_816, 92_352, 18_806),
    'thunder': (6_110_664, 96_576, 18_806),
    'multipose': (4_603_624, 95_296, 24_426),
}
TOTALS = {'lightning': 2_317_974, 'thunder': 6_226_046, 'multipose': 4_723_346}
# Google's Lightning multiplies by 1/48 in float16.
UNIT = {'lightning': float(np.float16(1 / 48)), 'thunder': 1 / 64}


def build(arch, **norm):
    return nn.ModuleDict({k: MODELS.build(v) for k, v in movenet.network(arch, **norm).items()})


def run(net, x):
    return net['head'](net['neck'](net['backbone'](x)))


def as_input(rgb):
    x = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None]
    return x * 0.007843017578125 - 1


def close(found, stored):
    """Google's raw maps are stored in float16: to 1e-3 beside that rounding."""
    stored = stored.astype(np.float32)
    return (np.abs(found - stored) <= 1e-3 + np.abs(stored) * 2**-11).all()


def pairs(maps):
    """(2K, H, W), all x before all y, as Google has it: (H, W, 2K), y before x of each joint."""
    k = len(maps) // 2
    both = maps.reshape(2, k, *maps.shape[1:])[::-1]
    return both.transpose(2, 3, 1, 0).reshape(*maps.shape[1:], 2 * k)


@pytest.fixture(scope='module')
def golden():
    root = Path(os.environ.get('RLEPOSE_SHARED', Path(__file__).parents[2].parent / 'shared'))
    folder = root / 'reference/movenet'
    if not folder.is_dir():
        pytest.skip(f'no reference outputs at {folder} (set RLEPOSE_SHARED)')
    return {arch: np.load(folder / f'{arch}.npz') for arch in ARCHS}


@pytest.mark.parametrize('arch', ARCHS)
def test_parameters(arch):
    net = build(arch, norm_cfg=None)
    counts = tuple(sum(p.numel() for p in net[part].parameters()) for part in PARTS)
    assert counts == PARAMETERS[arch]
    assert sum(counts) == TOTALS[arch]


@pytest.mark.parametrize('arch', ['lightning', pytest.param('thunder', marks=pytest.mark.slow)])
def test_single_person_equals_google(arch, golden, shared):
    tensors = movenet.read_tensors(model_json(arch))
    found, state = movenet.convert(tensors)
    assert found == arch
    net = build(arch).eval()  # batch norm takes the folded weights
    net.load_state_dict(state)
    data = golden[arch]
    side = {'lightning': 192, 'thunder': 256}[arch]
    for i in range(12):
        picture = cv2.imread(str(shared / 'data/mmpose_samples/coco' / str(data['image'][i])))
        crop = cv2.warpAffine(
            picture[..., ::-1], data['M'][i], (side, side), flags=cv2.INTER_LINEAR
        )
        with torch.inference_mode():
            raw = run(net, as_input(crop))
            maps = [each.numpy() for each in net['head'].activate(raw)]
        points, scores = decode_single(*maps)
        expected = data['output'][i]
        np.testing.assert_allclose(
            points[0, :, ::-1] * UNIT[arch], expected[:, :2], atol=1e-4, rtol=0
        )
        np.testing.assert_allclose(scores[0], expected[:, 2], atol=1e-4, rtol=0)
        if i == 0:
            heatmap, centre, regression, offset = (each[0].numpy() for each in raw)
            assert close(heatmap.transpose(1, 2, 0), data['heatmap_0'])
            assert close(centre.transpose(1, 2, 0), data['centre_0'])
            assert close(pairs(regression), data['regression_0'])
            assert close(pairs(offset), data['offset_0'])


def test_many_persons_equal_google(golden, shared):
    _, state = movenet.convert(movenet.read_tensors(model_json('multipose')))
    net = build('multipose').eval()
    net.load_state_dict(state)
    data = golden['multipose']
    for i in range(len(data['output'])):
        with torch.inference_mode():
            raw = run(net, as_input(padded(data, i, shared)))
            maps = [each.numpy() for each in net['head'].activate(raw)]
        np.testing.assert_allclose(rows(maps), data['output'][i], atol=1e-4, rtol=0)
        if i == 0:
            for found, name in zip(
                (each[0].numpy() for each in raw),
                ('heatmap_0', 'centre_0', 'regression_0', 'offset_0', 'box_size_0', 'box_offset_0'),
                strict=True,
            ):
                found = found.transpose(1, 2, 0) if name[:3] in ('hea', 'cen') else pairs(found)
                assert close(found, data[name]), name


def padded(data, i, shared):
    """Input i as the reference was fed: picture top left, black right and below."""
    picture = cv2.imread(str(next((shared / 'data').rglob(Path(str(data['image'][i])).name))))
    factor = int(data['longer_side'][i]) / max(picture.shape[:2])
    size = [round(side * factor) for side in picture.shape[1::-1]]
    small = cv2.resize(picture[..., ::-1], size, interpolation=cv2.INTER_LINEAR)
    height, width = data['input_hw'][i]
    if data['rot90'][i]:
        height, width = width, height
    whole = np.zeros((height, width, 3), np.uint8)
    whole[: small.shape[0], : small.shape[1]] = small
    return np.ascontiguousarray(np.rot90(whole, 3) if data['rot90'][i] else whole)


def rows(maps):
    """Google's rows of 56 numbers from activated maps of one picture, six persons."""
    points, joint_scores, boxes, scores = decode_many(*maps, max_persons=6)
    height, width = maps[0].shape[2:]
    joints = np.concatenate([points[0][..., ::-1] / [height, width], joint_scores[0][..., None]], 2)
    corners = boxes[0][:, [1, 0, 3, 2]] / [height, width, height, width]
    return np.concatenate([joints.reshape(6, 51), corners, scores[0][:, None]], 1)


def test_decoding_the_stored_maps(golden):
    """Without weights: Google's own raw maps of one picture, which are rounded to float16."""

    def maps(data, *names):
        found = []
        for name in names:
            each = data[f'{name}_0'].astype(np.float32).transpose(2, 0, 1)
            if name in ('heatmap', 'centre'):
                each = torch.from_numpy(each).sigmoid().numpy()
            else:
                each = np.concatenate([each[1::2], each[0::2]])
            found.append(each[None])
        return found

    for arch in ('lightning', 'thunder'):
        points, scores = decode_single(
            *maps(golden[arch], 'heatmap', 'centre', 'regression', 'offset')
        )
        expected = golden[arch]['output'][0]
        np.testing.assert_allclose(points[0, :, ::-1] * UNIT[arch], expected[:, :2], atol=2e-4)
        np.testing.assert_allclose(scores[0], expected[:, 2], atol=2e-3)
    names = 'heatmap', 'centre', 'regression', 'offset', 'box_size', 'box_offset'
    found = rows(maps(golden['multipose'], *names))
    np.testing.assert_allclose(found, golden['multipose']['output'][0], atol=4e-3)


def random_batch_norm(net):
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


@pytest.mark.parametrize('arch', ['lightning', 'multipose'])
def test_batch_norm_folds_exactly(arch):
    net = build(arch).double().eval()
    random_batch_norm(net)
    plain = build(arch, norm_cfg=None).double().eval()
    x = torch.rand(1, 3, 64, 96, dtype=torch.double) * 2 - 1
    with torch.no_grad():
        expected = run(net, x)
        folded = fuse_conv_bn(net)
        plain.load_state_dict(folded.state_dict())
        for a, b in zip(run(plain, x), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_folded_weights_load_into_batch_norm_and_train_from_the_same_function():
    plain = build('lightning', norm_cfg=None)
    for parameter in plain.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    plain.double().eval()
    net = build('lightning').double()
    net.load_state_dict(plain.state_dict())
    x = torch.rand(4, 3, 64, 64, dtype=torch.double) * 2 - 1
    with torch.no_grad():
        expected = run(plain, x)
        net.eval()
        for a, b in zip(run(net, x), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
        net.train()
        # in float32: statistics of the first batch
        for a, b in zip(run(net, x), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        # and they are kept for inference
        net.eval()
        for a, b in zip(run(net, x), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        mean = net['backbone'].conv1.bn.running_mean
        assert mean.abs().max() > 0
        # a checkpoint with batch norm is loaded as it is
        again = build('lightning').double().train()
        again.load_state_dict(net.state_dict())
        run(again, -x)
        assert not torch.equal(again['backbone'].conv1.bn.running_mean, mean)
        torch.testing.assert_close(
            again['backbone'].conv1.bn.weight, net['backbone'].conv1.bn.weight
        )


def labelled(codec, persons, boxes=None, rng=None):
    rng = rng or np.random.default_rng(0)
    keypoints = rng.uniform(8, 56, (persons, 17, 2))
    kwargs = {} if boxes is None else {'bbox': boxes}
    encoded = codec.encode(keypoints, np.ones((persons, 17), np.float32), **kwargs)
    sample = PoseDataSample()
    fields = codec.field_mapping_table
    sample.gt_fields = PixelData(**{k: encoded[k] for k in fields if k in encoded}).to_tensor()
    labels = {k: encoded[k] for k in codec.label_mapping_table}
    sample.gt_instance_labels = InstanceData(**labels).to_tensor()
    return sample


SINGLE = {'type': 'rlepose_ext.MoveNetLabel', 'input_size': (64, 64), 'heatmap_size': (16, 16)}
MANY = {**SINGLE, 'persons': 'many', 'shape': 'gaussian'}


@pytest.mark.parametrize('many', [False, True])
@pytest.mark.parametrize('nobody', [False, True])
def test_every_parameter_gets_a_gradient(many, nobody):
    """Also from a batch where nobody is: distributed training needs all of them."""
    config = MANY if many else SINGLE
    codec = MoveNetLabel(**{k: v for k, v in config.items() if k != 'type'})
    arch = 'multipose' if many else 'lightning'
    network = movenet.network(arch)
    network['head']['decoder'] = config
    net = nn.ModuleDict({k: MODELS.build(v) for k, v in network.items()})
    if many:
        boxes = np.array([[4, 4, 60, 60.0]] * 2) + (100 if nobody else 0)
        samples = [labelled(codec, 2, boxes) for _ in range(2)]
    else:
        samples = [labelled(codec, 1) for _ in range(2)]
        if nobody:
            for sample in samples:
                sample.gt_instance_labels.keypoint_weights *= 0
    feats = net['neck'](net['backbone'](torch.rand(2, 3, 64, 64)))
    losses = net['head'].loss(feats, samples)
    names = {'loss_heatmap', 'loss_centre', 'loss_regression', 'loss_offset'}
    names |= {'loss_box_size', 'loss_box_offset'} if many else {'acc_pose'}
    assert set(losses) == names
    total = sum(value for key, value in losses.items() if key.startswith('loss'))
    assert torch.isfinite(total)
    total.backward()
    assert all(p.grad is not None for p in net.parameters())
    if not nobody:
        still = [k for k, p in net.named_parameters() if not p.grad.abs().max() > 0]
        assert still == []


def test_losses_in_closed_form():
    """All maps 0: probabilities are 1/2, guesses and offsets 0."""
    codec = MoveNetLabel(input_size=(64, 64), heatmap_size=(16, 16))
    head = MoveNetHead(24, 17, decoder=SINGLE)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    sample = labelled(codec, 1)
    losses = head.loss([torch.zeros(1, 24, 16, 16)], [sample])
    target, centre = sample.gt_fields.heatmaps, sample.gt_fields.centre
    expected = ((8 * target + 1) * (0.5 - target) ** 2).sum() / 17
    torch.testing.assert_close(losses['loss_heatmap'], expected)
    torch.testing.assert_close(
        losses['loss_centre'], ((8 * centre + 1) * (0.5 - centre) ** 2).sum()
    )
    for name in ('regression', 'offset'):
        label = sample.gt_instance_labels[name]
        torch.testing.assert_close(losses[f'loss_{name}'], label.abs().mean())


def test_joints_without_label_teach_nothing():
    codec = MoveNetLabel(input_size=(64, 64), heatmap_size=(16, 16))
    head = MoveNetHead(24, 17, decoder=SINGLE)
    feats = [torch.rand(1, 24, 16, 16)]
    samples = [labelled(codec, 1), labelled(codec, 1)]
    for sample, value in zip(samples, (0.0, 7.0), strict=True):
        sample.gt_instance_labels.keypoint_weights[0, 3] = 0
        sample.gt_fields.heatmaps[3] = value / 10
        sample.gt_instance_labels.regression[0, 3] = value
        sample.gt_instance_labels.offset[0, 3] = value
    first, second = (head.loss(feats, [sample]) for sample in samples)
    for name in ('loss_heatmap', 'loss_centre', 'loss_regression', 'loss_offset'):
        torch.testing.assert_close(first[name], second[name])


def test_masked_cells_teach_nothing():
    """Of the mask that MMPose's BottomupGetHeatmapMask makes: crowds, persons without joints."""
    codec = MoveNetLabel(**{k: v for k, v in MANY.items() if k != 'type'})
    head = MoveNetMultiPoseHead(24, 17, decoder=MANY)
    feats = [torch.rand(2, 24, 16, 16)]
    losses = []
    for value in (0.0, 1.0):
        samples = [labelled(codec, 1, np.array([[4, 4, 60, 60.0]])) for _ in range(2)]
        for sample in samples:
            mask = np.ones((16, 16), np.float32)
            mask[:, :5] = 0
            sample.gt_fields.heatmap_mask = torch.from_numpy(mask)
            sample.gt_fields.heatmaps[..., :5] = value
            sample.gt_fields.centre[..., :5] = value
        losses.append(head.loss(feats, samples))
    for name in ('loss_heatmap', 'loss_centre'):
        torch.testing.assert_close(losses[0][name], losses[1][name])


@pytest.mark.parametrize('mixed', [False, True], ids=['float32', 'bfloat16'])
def test_extreme_maps_have_finite_losses(mixed):
    head = MoveNetMultiPoseHead(
        24,
        17,
        heatmap_loss={'type': 'FocalHeatmapLoss', 'use_target_weight': True},
        peak_weight=0.0,
        decoder=MANY,
    )
    codec = MoveNetLabel(**{k: v for k, v in MANY.items() if k != 'type'})
    sample = labelled(codec, 1, np.array([[4, 4, 60, 60.0]]))
    for sign in (-1, 1):
        for part in head.parts(17):
            nn.init.constant_(getattr(head, part)[-1].bias, sign * 1e4)
        with torch.autocast('cpu', torch.bfloat16, enabled=mixed):
            losses = head.loss([torch.zeros(1, 24, 16, 16)], [sample])
        assert all(torch.isfinite(value) for value in losses.values())


def test_sizes_that_do_not_fit():
    net = build('lightning')
    with pytest.raises(UserError, match='multiples of 32, got 100 x 64'):
        net['backbone'](torch.zeros(1, 3, 64, 100))
    with pytest.raises(UserError, match='multiples of 32'):
        MoveNetLabel(input_size=(100, 64), heatmap_size=(25, 16))
    with pytest.raises(UserError, match='quarter'):
        MoveNetLabel(input_size=(64, 64), heatmap_size=(32, 32))
    with pytest.raises(UserError, match="persons='many'"):
        MoveNetMultiPoseHead(24, 17, decoder=SINGLE)
    with pytest.raises(UserError, match="one of \\['lightning', 'multipose', 'thunder'\\]"):
        MODELS.build({'type': 'rlepose_ext.MoveNetBackbone', 'arch': 'heavy'})
    codec = MoveNetLabel(input_size=(64, 64), heatmap_size=(16, 16))
    with pytest.raises(UserError, match='maps of 16 x 16, got 8 x 16'):
        codec.batch_decode(*(np.zeros((1, c, 16, 8)) for c in (17, 1, 34, 34)))
