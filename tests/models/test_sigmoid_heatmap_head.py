"""SigmoidHeatmapHead: exact totals, stock's weights, one sigmoid in loss and prediction."""

import math

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from model_case import assert_finite, assert_learns, share_weights

from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.heads.heatmap_heads import SigmoidHeatmapHead

CODEC = {'type': 'MSRAHeatmap', 'input_size': (64, 64), 'heatmap_size': (16, 16), 'sigma': 1}
SMALL = {'in_channels': 8, 'out_channels': 3, 'deconv_out_channels': (8, 8, 8), 'decoder': CODEC}
MSE = {'type': 'KeypointMSELoss', 'use_target_weight': False}


@pytest.fixture(autouse=True)
def _mmpose_scope():
    init_default_scope('mmpose')


def both():
    """Our head and stock's, of the same weights, which are not tiny as at first."""
    ours, stock = SigmoidHeatmapHead(**SMALL, loss=MSE), HeatmapHead(**SMALL, loss=MSE)
    share_weights(ours, stock, 0.3)
    return ours.eval(), stock.eval()


def samples(joints=3, flip_indices=(1, 0, 2)):
    given = []
    for _ in range(2):
        sample = PoseDataSample(metainfo={'flip_indices': list(flip_indices)})
        sample.gt_fields = PixelData(heatmaps=torch.rand(joints, 16, 16))
        sample.gt_instance_labels = InstanceData(keypoint_weights=torch.ones(1, joints))
        given.append(sample)
    return given


def test_parameters():
    sizes = {'in_channels': 512, 'out_channels': 16}
    sizes |= {'deconv_out_channels': (512,) * 3, 'deconv_kernel_sizes': (4,) * 3}
    with torch.device('meta'):
        head = MODELS.build({'type': 'rlepose_ext.SigmoidHeatmapHead', **sizes})
    assert isinstance(head, SigmoidHeatmapHead)
    assert count_parameters(head) == 12_594_192
    assert count_parameters(head) == 3 * (512 * 512 * 16 + 2 * 512) + 512 * 16 + 16


def test_sigmoid_of_stock():
    ours, stock = both()
    feats = (torch.randn(2, 8, 2, 2),)
    maps = ours(feats)
    torch.testing.assert_close(maps, torch.sigmoid(stock(feats)))
    assert 0 < maps.min() < 0.4
    assert 0.6 < maps.max() < 1
    assert ours.activate(maps) is maps


def test_loss_is_of_activated_maps():
    ours, stock = both()
    feats, labels = (torch.randn(2, 8, 2, 2),), samples()
    losses = ours.loss(feats, labels)
    target = torch.stack([label.gt_fields.heatmaps for label in labels])
    expected = (torch.sigmoid(stock(feats)) - target).square().mean()
    torch.testing.assert_close(losses['loss_kpt'], expected)
    assert set(losses) == {'loss_kpt', 'acc_pose'}
    assert set(ours.loss(feats, labels, {'compute_acc': False})) == {'loss_kpt'}
    ours.train()
    assert_learns(ours, ours.loss(feats, labels)['loss_kpt'])
    assert_finite(ours, ours.loss((1e8 * feats[0],), labels))


@pytest.mark.parametrize('flip', [False, True])
def test_prediction_takes_the_same_maps(flip):
    ours, stock = both()
    feats = (torch.randn(2, 8, 2, 2),)
    given = [feats, tuple(x.flip(-1) + 0.1 for x in feats)] if flip else feats
    test_cfg = {'flip_test': flip, 'flip_mode': 'heatmap', 'output_heatmaps': True}
    poses, fields = ours.predict(given, samples(), test_cfg)
    expected = torch.sigmoid(stock(feats))
    if flip:
        mirrored = torch.sigmoid(stock(given[1])).flip(-1)[:, [1, 0, 2]]
        expected = (expected + mirrored) / 2
    torch.testing.assert_close(torch.stack([field.heatmaps for field in fields]), expected)
    for pose, maps in zip(poses, expected, strict=True):
        peaks = maps.flatten(1).amax(1).detach().numpy()
        assert pose.keypoint_scores[0] == pytest.approx(peaks, rel=1e-6)


@pytest.mark.slow
def test_learns_to_the_resolution_of_its_codec():
    """Three images by heart: empty maps first, then peaks, within half a heatmap pixel (2 px).

    The first part is where a sigmoid's squared error is slow: with all maps at 0 the loss is
    pi / 256 per map, and hardly falls for a hundred steps.
    """
    codec = {'type': 'rlepose_ext.LIPHeatmap', 'input_size': (64, 64), 'heatmap_size': (16, 16)}
    head = SigmoidHeatmapHead(32, 3, deconv_out_channels=(32, 32, 32), decoder=codec, loss=MSE)
    head.init_weights()
    feats = (torch.randn(3, 32, 2, 2),)
    points = np.random.default_rng(0).uniform(4, 60, (3, 3, 2))
    labels = samples() + samples()[:1]
    for label, joints in zip(labels, points, strict=True):
        maps = head.decoder.encode(joints[None])['heatmaps']
        label.gt_fields = PixelData(heatmaps=torch.from_numpy(maps))
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(350):
        loss = head.loss(feats, labels, {'compute_acc': False})['loss_kpt']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01 * math.pi / 256
    head.eval()
    found = np.concatenate([pose.keypoints for pose in head.predict(feats, labels)])
    assert np.abs(found - points).max() <= 2
