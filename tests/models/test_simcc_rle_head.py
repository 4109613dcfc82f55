"""The hybrid head: stock SimCC under the same weights, the soft-argmax, RLE's term."""

import numpy as np
import pytest
import torch
from mmpose.codecs import SimCCLabel
from mmpose.models.heads import SimCCHead
from simcc_rle_case import ARGS, FLIP, SIZE, C, K, features, make, samples, total

from rlepose_ext.codecs import SimCCRLELabel
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.heads import SimCCRLEHead
from rlepose_ext.models.heads.simcc_rle import soft_argmax
from rlepose_ext.models.losses import RLELoss
from rlepose_ext.registry import MODELS

STOCK_CODEC = {'type': 'SimCCLabel', 'input_size': SIZE}


def make_stock(head: SimCCRLEHead, **kwargs) -> SimCCHead:
    """MMPose's head with the weights of ours."""
    stock = SimCCHead(C, K, **{**ARGS, 'decoder': STOCK_CODEC, **kwargs})
    missing, unexpected = stock.load_state_dict(head.state_dict(), strict=False)
    assert not missing
    assert all(key.startswith(('fc_sigma', 'loss_rle')) for key in unexpected)
    return stock


# Against MMPose's SimCCHead


@pytest.mark.parametrize(
    'layout',
    [
        {},
        {'final_layer': {'kernel_size': 3, 'padding': 1}},
        {'deconv_out_channels': (8,), 'deconv_kernel_sizes': (4,)},
    ],
)
def test_vectors_predictions_and_simcc_term_are_those_of_stock(layout):
    head = make(**layout).eval()
    stock = make_stock(head, **layout).eval()
    feats, data = features(), samples()
    x, y, sigma = head(feats)
    assert sigma.shape == (6, K, 2)
    for ours, theirs in zip((x, y), stock(feats), strict=True):
        assert torch.equal(ours, theirs)

    theirs = stock.loss(feats, samples(codec=SimCCLabel(SIZE)))
    ours = head.loss(feats, data)
    assert set(ours) == {'loss_simcc', 'loss_rle', 'acc_pose'}
    torch.testing.assert_close(ours['loss_simcc'], theirs['loss_kpt'], rtol=0, atol=0)
    assert ours['acc_pose'].item() == theirs['acc_pose'].item()

    for test_cfg in ({}, {'flip_test': True}, {'flip_test': True, 'output_heatmaps': True}):
        views = [features(), features()] if 'flip_test' in test_cfg else feats
        pairs = head.predict(views, data, test_cfg), stock.predict(views, data, test_cfg)
        if 'output_heatmaps' in test_cfg:
            (ours, maps), (theirs, stock_maps) = pairs
            for a, b in zip(maps, stock_maps, strict=True):
                assert torch.equal(a.heatmaps, b.heatmaps)
        else:
            ours, theirs = pairs
        for a, b in zip(ours, theirs, strict=True):
            assert set(a.keys()) == {*b.keys(), 'sigma'}
            for key in b.keys():  # noqa: SIM118  (not a dict)
                np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_state_dict_goes_both_ways():
    head = make()
    stock = make_stock(head)
    other = make()
    missing, unexpected = other.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected
    assert {key.split('.')[0] for key in missing} == {'fc_sigma', 'loss_rle'}
    feats = features(2)
    assert torch.equal(other(feats)[0], head(feats)[0])


# RLE's term


def test_rle_term_is_the_loss_of_the_soft_argmax():
    head = make(simcc_weight=3.0, rle_weight=0.5)
    feats, data = features(), samples()
    x, y, sigma = head(feats)
    rle = RLELoss(use_target_weight=True)
    rle.load_state_dict(head.loss_rle.state_dict())
    labels = torch.cat([s.gt_instance_labels.keypoint_labels for s in data])
    weights = torch.cat([s.gt_instance_labels.coord_weights for s in data])
    coords = torch.stack(
        [(p.softmax(-1) * torch.arange(p.shape[-1])).sum(-1) / p.shape[-1] for p in (x, y)],
        -1,
    )
    losses = head.loss(feats, data)
    torch.testing.assert_close(losses['loss_rle'], 0.5 * rle(coords, sigma, labels, weights))
    plain = make_stock(head).loss(feats, data)['loss_kpt']
    torch.testing.assert_close(losses['loss_simcc'], 3 * plain)


def test_default_weights_are_1_and_1_percent():
    head = make()
    assert (head.simcc_weight, head.rle_weight) == (1.0, 0.01)
    feats, data = features(), samples()
    one = make(rle_weight=1.0)
    one.load_state_dict(head.state_dict())
    small, whole = head.loss(feats, data), one.loss(feats, data)
    torch.testing.assert_close(small['loss_rle'], 0.01 * whole['loss_rle'])
    assert small['loss_simcc'] == whole['loss_simcc']


def test_joints_off_the_crop_count_for_simcc_only():
    head = make()
    feats = features(1)
    codec = SimCCRLELabel(SIZE)
    keypoints = np.full((1, K, 2), 20.0, dtype=np.float32)
    keypoints[0, 0] = 50, 20  # 2 px off: its Gaussian reaches in
    encoded = codec.encode(keypoints)
    assert encoded['keypoint_weights'][0, 0] == 1
    assert encoded['coord_weights'][0, 0] == 0
    losses = []
    for shift in (0.0, 0.3):
        data = samples(1)
        for name, value in encoded.items():
            data[0].gt_instance_labels[name] = torch.from_numpy(value.copy())
        data[0].gt_instance_labels.keypoint_labels[0, 0, 0] += shift
        losses.append(head.loss(feats, data))
    assert losses[0]['loss_rle'] == losses[1]['loss_rle']


def test_every_parameter_gets_a_gradient():
    head = make()
    total(head.loss(features(16), samples(16))).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_rle_term_reaches_the_classifiers():
    head = make(simcc_weight=0.0, rle_weight=1.0)
    total(head.loss(features(16), samples(16))).backward()
    for layer in (head.mlp_head_x, head.mlp_head_y, head.final_layer, head.fc_sigma):
        assert layer.weight.grad.abs().max() > 0


# Prediction


def test_rle_branch_without_flip():
    head = make()
    feats, data = features(), samples()
    x, y, sigma = head(feats)
    poses = head.predict(feats, data, {'branch': 'rle'})
    points = soft_argmax(x, y) * torch.tensor(SIZE)
    for pose, point, s in zip(poses, points, sigma.sigmoid(), strict=True):
        np.testing.assert_allclose(pose.keypoints[0], point.detach(), rtol=1e-5)
        np.testing.assert_allclose(pose.keypoint_scores[0], 1 - s.mean(-1).detach(), rtol=1e-5)


def test_sigma_scores_change_scores_only():
    head = make()
    views, data = [features(), features()], samples()
    plain = head.predict(views, data, {'flip_test': True})
    scored = head.predict(views, data, {'flip_test': True, 'sigma_scores': True})
    sigma, mirrored = (head(view)[2].sigmoid().detach().numpy() for view in views)
    expected = 1 - ((sigma + mirrored[:, FLIP]) / 2).mean(-1)
    for index, (a, b) in enumerate(zip(plain, scored, strict=True)):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_allclose(b.keypoint_scores[0], expected[index], rtol=1e-5)
        assert not np.allclose(a.keypoint_scores, b.keypoint_scores)


def test_flip_of_points_is_exact_for_a_mirrored_network(monkeypatch):
    """If the mirrored crop gives the mirrored points, averaging changes nothing."""
    head = make()
    points = torch.tensor([[[10.0, 5.0], [20.5, 6.0], [30.0, 63.0], [0.0, 0.0], [47.0, 9.0]]])
    mirrored = points.clone()
    mirrored[..., 0] = SIZE[0] - 1 - points[..., 0]
    mirrored = mirrored[:, FLIP]
    sigma = torch.zeros(1, K, 2)

    def vectors(points):
        result = []
        for axis, size in enumerate(SIZE):
            logits = torch.full((1, K, 2 * size), -1e4)
            logits.scatter_(2, (2 * points[..., axis : axis + 1]).long(), 1e4)
            result.append(logits)
        return (*result, sigma)

    monkeypatch.setattr(head, 'forward', lambda points: vectors(points))
    for test_cfg, error in (({}, 0.0), ({'shift_coords': False}, 0.5)):
        cfg = {'branch': 'rle', 'flip_test': True, **test_cfg}
        (pose,) = head.predict([points, mirrored], samples(1), cfg)
        expected = points[0].numpy() + np.array([error, 0])
        np.testing.assert_allclose(pose.keypoints[0], expected, atol=1e-4)


# What must not break


def test_totals():
    args = {'input_size': (192, 192), 'in_featuremap_size': (6, 6), 'deconv_out_channels': None}
    assert count_parameters(SimCCRLEHead(1280, 17, **args)) == 21_777 + 28_416 + 43_554
    legacy = SimCCRLEHead([24, 1280], 17, legacy_fc_coord=True, **args)
    assert count_parameters(legacy) == 21_777 + 28_416 + 2 * 43_554
    assert not any(p.requires_grad for p in legacy.fc_coord.parameters())
    backbone = MODELS.build(
        {'type': 'mmpose.MobileNetV2', 'widen_factor': 0.75, 'out_indices': (7,)}
    )
    assert count_parameters(backbone) + count_parameters(legacy) == 1_492_725


def test_old_state_dict_loads_whole():
    head = make(legacy_fc_coord=True)
    state = make(legacy_fc_coord=True).state_dict()
    assert {'fc_coord.weight', 'fc_coord.bias'} <= set(state)
    head.load_state_dict(state, strict=True)
    feats = features(1)
    plain = make()
    plain.load_state_dict({k: v for k, v in state.items() if 'fc_coord' not in k}, strict=True)
    for a, b in zip(head(feats), plain(feats), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('layout', [{}, {'final_layer': None}, {'legacy_fc_coord': True}])
def test_initialisation_leaves_the_flow_alone(layout):
    channels = 400
    args = {**ARGS, 'input_size': (80, 80), 'in_featuremap_size': (20, 20)}
    head = SimCCRLEHead(channels, 17, **{**args, **layout})
    flow = {k: v.clone() for k, v in head.loss_rle.state_dict().items()}
    head.init_weights()
    for key, value in head.loss_rle.state_dict().items():
        assert torch.equal(value, flow[key]), key
    for layer in (head.mlp_head_x, head.mlp_head_y, head.fc_sigma):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not layer.bias.any()
    if head.final_layer is not None:
        assert head.final_layer.weight.std().item() == pytest.approx(0.001, rel=0.05)
