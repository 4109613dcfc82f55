"""The head: released checkpoints, losses put together, predictions, the flip test."""

import numpy as np
import pytest
import torch
from mmpose.models.heads import HeatmapHead
from mmpose.models.losses import AdaptiveWingLoss as StockAdaptiveWingLoss
from model_case import (
    assert_finite,
    assert_learns,
    assert_no_joint_no_loss,
    assert_works_in_half,
    labelled,
    randomised,
    total,
)

from rlepose_ext.codecs import SKPSHeatmap
from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import flip_points, swap_sides
from rlepose_ext.models.heads import SKPSHead

C, K = 12, 5
INPUT, MAP = (48, 64), (12, 16)
CODEC = {'type': 'rlepose_ext.SKPSHeatmap', 'input_size': INPUT, 'heatmap_size': MAP, 'sigma': 2}
FLIP = [0, 2, 1, 4, 3]
LOSS = {'type': 'rlepose_ext.AdaptiveWingLoss', 'use_target_weight': True}


def make(**kwargs) -> SKPSHead:
    kwargs = {'conv_out_channels': (8,), 'conv_kernel_sizes': (3,), 'decoder': CODEC} | kwargs
    return randomised(SKPSHead(C, K, **kwargs), 0.2)


def features(n: int = 3) -> tuple[torch.Tensor]:
    return (torch.randn(n, C, MAP[1], MAP[0]),)


def points(n: int = 3) -> np.ndarray:
    last = np.array(INPUT) - 1
    return np.random.default_rng(3).uniform(0, last, (n, 1, K, 2)).astype(np.float32)


def samples(n: int = 3):
    """Labelled by the codec; joint 1 of every person is not visible."""
    visible = np.float32([[[1, 0, 1, 1, 1]]]).repeat(n, 0)
    return labelled(SKPSHeatmap(INPUT, MAP, 2), points(n), visible, FLIP)


def as_outputs(keypoints: np.ndarray, height: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps as a perfect network gives them for keypoints (N, 1, K, 2)."""
    encoded = [SKPSHeatmap(INPUT, MAP, 2).encode(person) for person in keypoints]
    heatmap, offset = (
        torch.from_numpy(np.stack([person[name] for person in encoded]))
        for name in ('heatmaps', 'displacements')
    )
    return heatmap * height, offset


@pytest.mark.parametrize(('joints', 'total'), [(98, 153_384), (29, 97_287)])
def test_parameters_and_keys_of_released_checkpoints(joints, total):
    head = SKPSHead(270, joints, conv_out_channels=(270,), conv_kernel_sizes=(1,))
    assert sum(p.numel() for p in head.parameters()) == total
    released = {
        'conv_layers.0.weight': (270, 270, 1, 1),
        'conv_layers.0.bias': (270,),
        'conv_layers.1.weight': (270,),
        'conv_layers.1.bias': (270,),
        'conv_layers.1.running_mean': (270,),
        'conv_layers.1.running_var': (270,),
        'conv_layers.1.num_batches_tracked': (),
        'final_layer.weight': (3 * joints, 270, 1, 1),
        'final_layer.bias': (3 * joints,),
    }
    assert {key: tuple(v.shape) for key, v in head.state_dict().items()} == released
    state = {key: torch.rand(shape) for key, shape in released.items()}
    state['conv_layers.1.num_batches_tracked'] = torch.tensor(7)
    assert str(head.load_state_dict(state, strict=True)) == '<All keys matched successfully>'
    for key, value in head.state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize('layers', [
    {},
    {'conv_out_channels': (8, 6), 'conv_kernel_sizes': (1, 3)},
    {'conv_out_channels': None, 'conv_kernel_sizes': None},
    {'final_layer': {'kernel_size': 3, 'padding': 1}},
])  # fmt: skip
def test_maps_of_mmposes_heatmap_head(layers):
    """With 3K channels it is the same function of the same state dict."""
    ours = make(**layers).eval()
    arguments = {'conv_out_channels': (8,), 'conv_kernel_sizes': (3,)} | layers
    stock = HeatmapHead(C, 3 * K, deconv_out_channels=None, **arguments).eval()
    stock.load_state_dict(ours.state_dict(), strict=True)
    feats = features()
    heatmap, offset = ours(feats)
    assert heatmap.shape == (3, K, 16, 12)
    assert offset.shape == (3, 2 * K, 16, 12)
    torch.testing.assert_close(torch.cat([heatmap, offset], 1), stock(feats))
    assert ours.activate((heatmap, offset)) == (heatmap, offset)


def test_losses_are_the_formula_in_stock_parts():
    head = make()
    feats, data = features(), samples()
    losses = head.loss(feats, data)
    assert list(losses) == ['loss_heatmap', 'loss_offset', 'acc_pose']
    heatmap, offset = head(feats)
    g = torch.stack([sample.gt_fields.heatmaps for sample in data])
    d = torch.stack([sample.gt_fields.displacements for sample in data])
    weights = torch.cat([sample.gt_instance_labels.keypoint_weights for sample in data])
    awing = StockAdaptiveWingLoss(use_target_weight=True)
    torch.testing.assert_close(losses['loss_heatmap'], awing(heatmap, g, weights))
    along_x = awing(offset[:, :K], d[:, :K], g)
    along_y = awing(offset[:, K:], d[:, K:], g)
    torch.testing.assert_close(losses['loss_offset'], (along_x + along_y) / 2)


def test_perfect_maps_cost_nothing(monkeypatch):
    head, data = make(), samples()
    outputs = as_outputs(points())
    monkeypatch.setattr(head, 'forward', lambda feats: outputs)
    losses = head.loss(features(), data)
    assert losses['loss_heatmap'].item() == pytest.approx(0, abs=1e-6)
    assert losses['loss_offset'].item() == pytest.approx(0, abs=1e-6)
    assert losses['acc_pose'].item() == 1
    # one of four visible joints a tenth of the map's width off
    outputs[1][:, 2] += 0.1 * MAP[0]
    assert head.loss(features(), data)['acc_pose'].item() == 0.75
    assert 'acc_pose' not in head.loss(features(), data, {'compute_acc': False})


def test_an_invisible_joint_changes_nothing():
    """Whatever a transform left in its maps."""
    head, feats, data = make(), features(), samples()
    expected = head.loss(feats, data)
    for sample in data:
        sample.gt_fields.heatmaps[1] = torch.rand(MAP[::-1])
        sample.gt_fields.displacements[[1, K + 1]] = float('nan')
    losses = head.loss(feats, data)
    assert losses == expected
    sum(losses.values()).backward()
    rows = [1, K + 1, 2 * K + 1]
    assert not head.final_layer.weight.grad[rows].any()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_every_parameter_gets_a_gradient():
    head = make()
    assert_learns(head, total(head.loss(features(), samples())))
    # heatmaps and offsets have rows of their own in the last layer
    head.zero_grad()
    head.loss(features(), samples())['loss_heatmap'].backward()
    assert not head.final_layer.weight.grad[K:].any()


def test_batch_without_visible_joints():
    assert_no_joint_no_loss(make(), features(), samples())


@pytest.mark.parametrize('scale', [1e4, 1e12])
def test_extreme_features(scale):
    head = make()
    assert_finite(head, head.loss((features()[0] * scale,), samples()))


def test_prediction_is_the_decoded_maps(monkeypatch):
    head, keypoints = make(), points()
    outputs = as_outputs(keypoints, height=0.8)
    monkeypatch.setattr(head, 'forward', lambda feats: outputs)
    poses = head.predict(features(), samples())
    for pose, expected, heatmap in zip(poses, keypoints, outputs[0], strict=True):
        np.testing.assert_allclose(pose.keypoints, expected, atol=1e-3)
        np.testing.assert_array_equal(pose.keypoint_scores[0], heatmap.amax((1, 2)))


@pytest.mark.parametrize('moved', [(0, 0), (3, -2)])
def test_flip_test_averages_in_input_pixels_and_keeps_its_scores(monkeypatch, moved):
    """A network that sees the mirrored crop right gives the same points, to the fraction."""
    head, keypoints = make(), points()
    mirrored = swap_sides(flip_points(keypoints + np.float32(moved), INPUT[0]), FLIP)
    views = [as_outputs(keypoints, 1.0), as_outputs(mirrored, 0.5)]
    monkeypatch.setattr(head, 'forward', lambda feats: views[feats])
    poses = head.predict([0, 1], samples(), {'flip_test': True})
    alone = [head.predict(view, samples()) for view in (0, 1)]
    for pose, one, other, expected in zip(poses, *alone, keypoints, strict=True):
        middle = expected + np.float32(moved) / 2
        np.testing.assert_allclose(pose.keypoints, middle, atol=1e-3)
        scores = (one.keypoint_scores + other.keypoint_scores[:, FLIP]) / 2
        np.testing.assert_allclose(pose.keypoint_scores, scores)
        assert pose.keypoint_scores.shape == (1, K)
        assert (pose.keypoint_scores > 0.5).all()


def test_heatmaps_on_demand():
    head = make().eval()
    feats = features()
    poses, fields = head.predict(feats, samples(), {'output_heatmaps': True})
    assert len(poses) == len(fields) == 3
    assert torch.equal(fields[1].heatmaps, head(feats)[0][1])
    assert not fields[1].heatmaps.requires_grad


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_types_under_autocast(dtype):
    assert_works_in_half(make(), dtype, features(), samples())


MSRA = {'type': 'MSRAHeatmap', 'input_size': INPUT, 'heatmap_size': MAP, 'sigma': 2}


@pytest.mark.parametrize(('options', 'said'), [
    ({'conv_kernel_sizes': (1, 1)}, 'same length'),
    ({'conv_kernel_sizes': (4,)}, 'must be odd'),
    ({'conv_kernel_sizes': ('3',)}, 'conv_kernel_sizes'),
    ({'decoder': CODEC | {'sigma': 4}}, r'Set sigma below 3\.46'),
    ({'decoder': MSRA}, 'takes no offset maps'),
    ({'final_layer': {'kernel_size': 3}}, 'final_layer has kernel_size'),
    ({'final_layer': {'kernel_size': 3, 'padding': 1, 'stride': 2}}, 'size of its input'),
    ({'final_layer': {'kernel_size': 3, 'padding': 1, 'dilation': 2}}, 'size of its input'),
    ({'final_layer': {'kernel_size': 3, 'padding': 'valid'}}, 'size of its input'),
])  # fmt: skip
def test_bad_options_are_named(options, said):
    with pytest.raises(UserError, match=said):
        make(**options)


def test_what_is_unusual_and_right():
    make(decoder=CODEC | {'sigma': 4}, offside_loss=LOSS | {'alpha': 3.0})
    for layer in (
        {'padding': 'valid'},
        {'kernel_size': 3, 'padding': 'same'},
        {'kernel_size': (3, 1), 'padding': (2, 0), 'dilation': 2},
    ):
        assert make(final_layer=layer)(features())[0].shape == (3, K, MAP[1], MAP[0])


def test_bad_input_is_named():
    head, small = make(), (torch.rand(3, C, 8, 6),)
    with pytest.raises(UserError, match='FeatureMapProcessor'):
        head((torch.rand(2, C + 1, 16, 12),))
    with pytest.raises(UserError, match='heatmap_size of the codec'):
        head.loss(small, samples())
    with pytest.raises(UserError, match=r'expected heatmaps \(N, K, 16, 12\)'):
        head.predict(small, samples())
