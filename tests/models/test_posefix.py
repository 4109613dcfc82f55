"""PoseFix's network, losses and flip test, against the original and against formulas."""

import copy
import importlib

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.models.backbones import ResNet
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS

from rlepose_ext.convert import posefix
from rlepose_ext.errors import UserError
from rlepose_ext.models.backbones import PoseFixResNet
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.heads.integral import integral
from rlepose_ext.models.heads.posefix_head import (
    PoseFixHead,
    coordinate_loss,
    cross_entropy,
    widths,
)

NAME = 'posefix/posefix_res{}_2xb16-140e_coco-256x192.py'
COCO = parse_pose_metainfo({'from_file': 'configs/_base_/datasets/coco.py'})


@pytest.fixture(autouse=True)
def _quiet():
    MMLogger.get_current_instance().setLevel('WARNING')
    init_default_scope('mmpose')


def build(root, depth=50, **changes):
    config = Config.fromfile(root / 'configs' / NAME.format(depth))
    config.model.backbone.pop('init_cfg')
    config.merge_from_dict(changes)
    return MODELS.build(config.model)


@pytest.fixture(scope='module')
def small(root):
    """ResNet-18, a quarter as wide."""
    init_default_scope('mmpose')
    torch.manual_seed(0)
    changes = {'depth': 18, 'stem_channels': 16, 'base_channels': 16}
    changes = {f'model.backbone.{name}': value for name, value in changes.items()}
    changes |= {'model.head.in_channels': 128, 'model.head.deconv_out_channels': (16, 16, 16)}
    model = build(root, **changes)
    model.init_weights()
    # peaks, so that what goes in can be seen in what comes out
    torch.nn.init.normal_(model.head.final_layer.weight, std=20)
    return model.eval()


def sample_of(root, image, pose, scores=None):
    """An image and a pose (K, 2) in its px, through the pipeline of a test."""
    config = Config.fromfile(root / 'configs' / NAME.format(50))
    steps = [step for step in config.val_pipeline if step.type != 'LoadImage']
    low, high = pose.min(0), pose.max(0)
    data = {'img': image, 'img_shape': image.shape[:2], 'flip_indices': COCO['flip_indices']}
    data |= {'bbox': np.concatenate([low, high])[None].astype(np.float32), 'bbox_score': np.ones(1)}
    data |= {'keypoints': pose[None].astype(np.float32)}
    data |= {'keypoints_visible': np.ones((1, 17)) if scores is None else scores[None]}
    return Compose(steps)(data)


def test_totals(root):
    for depth, total in ((50, 34_053_009), (152, 68_688_785)):
        with torch.device('meta'):
            model = build(root, depth)
        assert count_parameters(model) == total
    with torch.device('meta'):
        parts = build(root)
    assert count_parameters(parts.backbone) == 23_561_344
    assert count_parameters(parts.head) == 10_491_665
    norms = [m for m in parts.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-9, 0.01)}
    # the stock network, but for the numbers of batch norm
    assert parts.head.state_dict().keys() == HeatmapHead(2048, 17).state_dict().keys()
    stock = ResNet(50, in_channels=20)
    assert parts.backbone.state_dict().keys() == stock.state_dict().keys()


@pytest.mark.parametrize('depth', [50, pytest.param(152, marks=pytest.mark.slow)])
def test_golden_network_coordinates_and_losses(root, golden, depth):
    arrays, state = golden(f'posefix-res{depth}')
    # The port's batch norm is torch's own.
    model = build(root, depth, **{'model.backbone.norm_cfg.eps': 1e-5})
    missing = model.load_state_dict(posefix.convert(state), strict=False)
    assert missing.unexpected_keys == []
    assert all('num_batches_tracked' in key for key in missing.missing_keys)
    model.eval()
    image, maps, target, weights = (
        torch.from_numpy(arrays[f'in/{name}'])
        for name in ('image', 'maps', 'target', 'target_valid')
    )
    with torch.inference_mode():
        logits = model.head(model.extract_feat(torch.cat([image, maps], dim=1)))
    expected = torch.from_numpy(arrays['out/heatmap'])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    coords, _, _ = integral(logits, 1.0)
    probability = model.head.activate(logits)
    for each, truth in zip(probability.numpy(), arrays['out/coord'], strict=True):
        found, _ = model.head.decoder.decode(each)
        np.testing.assert_allclose(found[0], truth, atol=1e-3)
    if 'out/onehot' in arrays:
        onehot = torch.from_numpy(arrays['out/onehot'])
        loss = cross_entropy(logits, onehot, weights)
        torch.testing.assert_close(loss.item(), float(arrays['out/loss_ce']), atol=1e-4, rtol=1e-4)
    labels = target / torch.tensor([192.0, 256.0])
    loss = coordinate_loss(coords, labels, weights, (48, 64))
    torch.testing.assert_close(loss.item(), float(arrays['out/loss_l1']), atol=1e-4, rtol=1e-4)


def test_losses_are_their_formulas():
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    target = torch.softmax(torch.randn(2, 3, 20, dtype=torch.float64), -1).view(2, 3, 4, 5)
    weights = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64)
    expected = 0.0
    for n in range(2):
        for k in range(3):
            h = logits[n, k].exp() / logits[n, k].exp().sum()
            expected -= weights[n, k] * (target[n, k] * h.log()).sum() / 6
    torch.testing.assert_close(cross_entropy(logits, target, weights), expected, atol=1e-6, rtol=0)
    coords, _, _ = integral(logits, 1.0)
    labels = torch.rand(2, 3, 2, dtype=torch.float64)
    by_hand = ((coords - labels) * torch.tensor([5.0, 4.0])).abs() * weights[..., None]
    assert coordinate_loss(coords, labels, weights, (5, 4)) == by_hand.mean()
    loss = cross_entropy(logits, target, weights) + coordinate_loss(coords, labels, weights, (5, 4))
    (gradient,) = torch.autograd.grad(loss, logits)
    # what has no weight teaches nothing, in both terms
    assert (gradient.abs().sum((2, 3)) == 0).tolist() == (weights == 0).tolist()
    extreme = torch.tensor([[[[1e4, -1e4], [0.0, 1e4]]]])
    assert torch.isfinite(cross_entropy(extreme, torch.full((1, 1, 2, 2), 0.25), torch.ones(1, 1)))


def test_gradients_are_right():
    target = torch.softmax(torch.randn(2, 2, 12, dtype=torch.float64), -1).view(2, 2, 3, 4)
    weights = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    labels = torch.rand(2, 2, 2, dtype=torch.float64)

    def losses(logits):
        coords, _, _ = integral(logits, 1.0)
        return coordinate_loss(coords, labels, weights, (4, 3))

    logits = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(losses, logits)
    # the cross entropy is computed in float32
    (found,) = torch.autograd.grad(cross_entropy(logits, target, weights), logits)
    softmax = logits.flatten(2).softmax(-1).view_as(target)
    expected = (softmax - target) * weights[..., None, None] / 4
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_weights_for_images_widen():
    stock, ours = ResNet(18), PoseFixResNet(18)
    torch.manual_seed(0)
    missing = ours.load_state_dict(stock.state_dict())
    assert missing.missing_keys == []
    kernels = ours.conv1.weight
    torch.testing.assert_close(kernels[:, :3], stock.conv1.weight.flip(1))
    assert kernels[:, 3:].std().item() == pytest.approx((2 / (20 * 49)) ** 0.5, rel=0.02)
    # its own checkpoints are left as they are
    again = PoseFixResNet(18)
    again.load_state_dict(ours.state_dict())
    torch.testing.assert_close(again.conv1.weight, kernels)


def test_preprocessor(root, small):
    image = np.random.default_rng(0).integers(0, 256, (300, 260, 3), np.uint8)
    pose = np.random.default_rng(1).uniform(60, 240, (17, 2))
    packed = sample_of(root, image, pose)
    batch = small.data_preprocessor(pseudo_collate([packed, packed]))
    inputs = batch['inputs']
    assert inputs.shape == (2, 20, 256, 192)
    raw = packed['inputs'].float()
    assert torch.equal(inputs[0, :3], raw - torch.tensor([123.68, 116.78, 103.94])[:, None, None])
    # the peak of each map is where the joint is in the crop
    joints = packed['data_samples'].gt_instance_labels.input_keypoints[0]
    peak = inputs[0, 3:].flatten(1).argmax(-1)
    found = torch.stack([peak % 192, peak // 192], -1)
    assert ((found - joints).abs() <= 0.5).all()
    packed['data_samples'].gt_instance_labels = InstanceData()
    with pytest.raises(UserError, match='GenerateTarget'):
        small.data_preprocessor(pseudo_collate([packed]))


def test_mirrored_input_gives_the_mirrored_pose(root, small, monkeypatch):
    """With the flip test the model commutes with mirroring: W - 1 - x, partners exchanged."""
    rng = np.random.default_rng(0)
    pairs = COCO['flip_indices']
    packed = sample_of(
        root, rng.integers(0, 256, (300, 260, 3), np.uint8), rng.uniform(60, 240, (17, 2))
    )
    # a crop whose px are those of the image
    packed['data_samples'].set_metainfo(
        {'input_center': np.array([96, 128]), 'input_scale': np.array([192, 256])}
    )
    batch = small.data_preprocessor(pseudo_collate([packed]))
    # all joints are moved, as the samples' poses are not mirrored
    monkeypatch.setitem(small.test_cfg, 'keep_within', 0)
    inputs = batch['inputs']
    flipped = inputs.flip(-1)
    flipped = torch.cat([flipped[:, :3], flipped[:, 3:][:, pairs]], 1)
    with torch.inference_mode():
        found = [
            small.predict(each, copy.deepcopy(batch['data_samples']))[0].pred_instances.keypoints[0]
            for each in (inputs, flipped)
        ]
    back = found[1][pairs].copy()
    back[:, 0] = 191 - back[:, 0]
    np.testing.assert_allclose(back, found[0], atol=1e-3)
    # one view alone does not
    small.test_cfg['flip_test'] = False
    with torch.inference_mode():
        (one,) = small.predict(inputs, copy.deepcopy(batch['data_samples']))
    small.test_cfg['flip_test'] = True
    assert np.abs(one.pred_instances.keypoints[0] - found[0]).max() > 0.01


def test_widths_are_standard_deviations():
    """Of normal densities, in px of the crop; a map with one pixel has none."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing='ij')
    deviations = [(1.0, 1.0), (2.0, 4.0)]
    logits = [-((x - 20.3) ** 2) / (2 * a**2) - (y - 30) ** 2 / (2 * b**2) for a, b in deviations]
    maps = torch.stack(logits)[None].flatten(2).softmax(-1).view(1, -1, 64, 48)
    expected = [4 * ((a**2 + b**2) / 2) ** 0.5 for a, b in deviations]
    torch.testing.assert_close(
        widths(maps, (192, 256))[0], torch.tensor(expected), rtol=1e-3, atol=0
    )
    one = torch.zeros(1, 1, 64, 48)
    one[..., 7, 5] = 1
    assert widths(one, (192, 256)).item() == 0


def test_a_joint_moves_where_the_network_is_sure(root, small, monkeypatch):
    """Farther than ``keep_within`` widths of its map; one that was not found always."""
    pose = np.random.default_rng(1).uniform(60, 240, (17, 2))
    packed = sample_of(root, np.zeros((300, 260, 3), np.uint8), pose)
    labels = packed['data_samples'].gt_instance_labels
    labels.input_weights[0, 3] = 0
    given = labels.input_keypoints.numpy()
    far = np.stack([np.arange(17), np.zeros(17)], -1)[None]
    found = {'keypoints': given + far, 'keypoint_widths': np.full((1, 17), 3.0)}
    monkeypatch.setattr(small.head, 'predict', lambda *_, **__: [InstanceData(**found)])
    monkeypatch.setattr(small, 'add_pred_to_datasample', lambda poses, *_: poses)
    batch = small.data_preprocessor(pseudo_collate([packed]))
    for within, kept in ((0, []), (2.0, [1, 2, 4, 5])):
        monkeypatch.setitem(small.test_cfg, 'keep_within', within)
        with torch.inference_mode():
            (moved,) = small.predict(batch['inputs'], batch['data_samples'])
        expected = np.where(np.isin(np.arange(17), kept)[:, None], given, given + far)
        np.testing.assert_allclose(moved.keypoints, expected)


def test_scores_stay_those_of_the_input(root, small):
    scores = np.linspace(0, 3, 17)
    pose = np.random.default_rng(1).uniform(60, 240, (17, 2))
    packed = sample_of(root, np.zeros((300, 260, 3), np.uint8), pose, scores)
    with torch.inference_mode():
        (sample,) = small.test_step(pseudo_collate([packed]))
    assert sample.pred_instances.keypoint_scores.tolist() == [scores.tolist()]
    assert np.isfinite(sample.pred_instances.keypoints).all()


def test_a_batch_without_a_valid_joint_teaches_nothing(root, small):
    packed = sample_of(root, np.zeros((300, 260, 3), np.uint8), np.full((17, 2), 150.0))
    packed['data_samples'].gt_instance_labels.keypoint_weights[:] = 0
    packed['data_samples'].gt_fields.heatmaps[:] = 0
    batch = small.data_preprocessor(pseudo_collate([packed, packed]))
    losses = small(**batch, mode='loss')
    assert losses['loss_heatmap'] == losses['loss_coords'] == losses['acc_pose'] == 0
    total, _ = small.parse_losses(losses)
    total.backward()
    gradients = [p.grad for p in small.parameters() if p.grad is not None]
    assert gradients
    assert not any(gradient.any() for gradient in gradients)


def test_mistakes():
    with pytest.raises(UserError, match='PoseFixLabel'):
        PoseFixHead(8, 17, decoder={'type': 'MSRAHeatmap', 'input_size': (64, 64),
                                    'heatmap_size': (16, 16), 'sigma': 2})  # fmt: skip


@pytest.mark.slow
def test_eight_persons(root, monkeypatch):
    """A wrong pose and the picture give the right pose."""
    monkeypatch.syspath_prepend(root / 'benchmarks')
    harness = importlib.import_module('overfit')
    config = harness.load_for_overfit(NAME.format(50))
    config.model.backbone.update(depth=18, stem_channels=32, base_channels=32)
    config.model.head.update(in_channels=256, deconv_out_channels=(64, 64, 64))
    config.model.data_preprocessor.sigma = 2.0
    names = [COCO['keypoint_id2name'][k] for k in range(17)]
    people = [
        {**person, 'sigmas': COCO['sigmas'], 'keypoint_names': names}
        for person in harness.draw_people()
    ]
    result = harness.overfit(config, people, rates=harness.Rates(2e-3))
    assert result.steps is not None, result.curve
    assert result.error < 0.02
