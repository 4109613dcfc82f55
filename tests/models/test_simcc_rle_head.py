"""The hybrid head: stock SimCC under the same weights, the soft-argmax, RLE's term, bad input."""

import numpy as np
import pytest
import torch
from mmpose.codecs import SimCCLabel
from mmpose.models.heads import SimCCHead
from model_case import (
    assert_finite,
    assert_learns,
    assert_no_joint_no_loss,
    assert_works_in_half,
    labelled,
    randomised,
    set_weights,
    total,
)

from rlepose_ext.codecs import SimCCRLELabel
from rlepose_ext.errors import UserError
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.heads import SimCCRLEHead
from rlepose_ext.models.heads.simcc_rle import drop_bad_rows, soft_argmax
from rlepose_ext.models.losses import RLELoss
from rlepose_ext.registry import MODELS

C, K, SIZE, MAP = 12, 5, (48, 64), (6, 8)
FLIP = [0, 2, 1, 4, 3]
ARGS = {'input_size': SIZE, 'in_featuremap_size': MAP, 'deconv_out_channels': None}
CODEC = {'type': 'rlepose_ext.SimCCRLELabel', 'input_size': SIZE}
STOCK_CODEC = {'type': 'SimCCLabel', 'input_size': SIZE}


def make(**kwargs) -> SimCCRLEHead:
    return randomised(SimCCRLEHead(C, K, **{**ARGS, 'decoder': CODEC, **kwargs}))


def samples(n: int = 6, codec=None):
    """Some joints off the crop or unseen."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform((-20, -20), (68, 84), (n, 1, K, 2))
    return labelled(codec or SimCCRLELabel(SIZE), keypoints, rng.random((n, 1, K)) > 0.2, FLIP)


def features(n: int = 6) -> tuple[torch.Tensor]:
    return (torch.rand(n, C, *reversed(MAP)),)


def make_stock(head: SimCCRLEHead, **kwargs) -> SimCCHead:
    """MMPose's head with the weights of ours."""
    stock = SimCCHead(C, K, **{**ARGS, 'decoder': STOCK_CODEC, **kwargs})
    missing, unexpected = stock.load_state_dict(head.state_dict(), strict=False)
    assert not missing
    assert all(key.startswith(('fc_sigma', 'loss_rle')) for key in unexpected)
    return stock


# The soft-argmax, and rows that are left out


def test_soft_argmax_of_a_delta_is_its_bin():
    width, height, split = 192, 256, 2
    for bin_x, bin_y in ((0, 0), (383, 511), (17, 400)):
        x, y = torch.zeros(1, 1, width * split), torch.zeros(1, 1, height * split)
        x[..., bin_x] = y[..., bin_y] = 1e4
        expected = [[[bin_x / (width * split), bin_y / (height * split)]]]
        torch.testing.assert_close(soft_argmax(x, y), torch.tensor(expected), rtol=0, atol=0)


def test_soft_argmax_by_hand_and_of_nothing():
    # p = (1, 3) / 4 over two bins, the mean is bin 3/4, of two; uniform over four: bin 3/2.
    x, y = torch.tensor([[[1.0, 3.0]]]).log(), torch.zeros(1, 1, 4)
    torch.testing.assert_close(soft_argmax(x, y), torch.tensor([[[3 / 8, 3 / 8]]]))


def test_soft_argmax_of_a_gaussian_is_its_middle_away_from_the_border():
    codec = SimCCRLELabel((192, 192))
    bins = np.array([[[100.5, 60.0], [0.0, 191.5]]])
    encoded = codec.encode(bins)
    logits = [torch.from_numpy(encoded[f'keypoint_{d}_labels']).double().log() for d in 'xy']
    points = soft_argmax(*logits) * 192
    assert np.abs(points[0, 0].numpy() - bins[0, 0]).max() < 1e-6
    # A Gaussian that the border cuts in half: 2.24 px inwards, as the module's text says.
    assert points[0, 1, 0].item() == pytest.approx(2.239, abs=1e-3)
    assert 191.5 - points[0, 1, 1].item() == pytest.approx(2.239, abs=1e-3)


def test_soft_argmax_gradient():
    x, y = torch.randn(2, 3, 6, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(soft_argmax, (x.requires_grad_(), y.requires_grad_()))


def test_soft_argmax_in_half_precision_counts_bins():
    x = torch.full((1, 1, 512), -100.0, dtype=torch.bfloat16)
    x[..., 257] = 0  # bfloat16 would count 256, 258
    point = soft_argmax(x, x)
    assert point.dtype == torch.float32
    assert point[0, 0, 0].item() == 257 / 512


def test_drop_bad_rows():
    x, y = torch.ones(1, 4, 3), torch.ones(1, 4, 2)
    x[0, 1, 2], y[0, 2, 0] = float('nan'), float('inf')
    weights = torch.tensor([[1.0, 1.0, 0.5, 0.0]])
    (x_, y_), kept = drop_bad_rows((x, y), weights)
    assert kept.tolist() == [[1, 0, 0, 0]]
    assert x_[0].tolist() == [[1] * 3, [0] * 3, [0] * 3, [0] * 3]
    assert y_[0].tolist() == [[1] * 2, [0] * 2, [0] * 2, [0] * 2]


# Against MMPose's SimCCHead


@pytest.mark.parametrize('layout', [
    {},
    {'final_layer': {'kernel_size': 3, 'padding': 1}},
    {'deconv_out_channels': (8,), 'deconv_kernel_sizes': (4,)},
])  # fmt: skip
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
    assert (make().simcc_weight, make().rle_weight) == (1.0, 0.01)
    head = make(simcc_weight=3.0, rle_weight=0.5)
    feats, data = features(), samples()
    x, y, sigma = head(feats)
    pooled = head.fc_sigma(feats[0].mean((2, 3)))
    torch.testing.assert_close(sigma, pooled.view(6, K, 2))
    rle = RLELoss(use_target_weight=True)
    rle.load_state_dict(head.loss_rle.state_dict())
    labels = torch.cat([s.gt_instance_labels.keypoint_labels for s in data])
    weights = torch.cat([s.gt_instance_labels.coord_weights for s in data])
    coords = torch.stack(
        [(p.softmax(-1) * torch.arange(p.shape[-1])).sum(-1) / p.shape[-1] for p in (x, y)], -1
    )
    losses = head.loss(feats, data)
    torch.testing.assert_close(losses['loss_rle'], 0.5 * rle(coords, sigma, labels, weights))
    plain = make_stock(head).loss(feats, data)['loss_kpt']
    torch.testing.assert_close(losses['loss_simcc'], 3 * plain)


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
    """The classifiers from RLE's term alone, too."""
    head = make()
    assert_learns(head, total(head.loss(features(16), samples(16))))
    head.zero_grad()
    head.loss(features(16), samples(16))['loss_rle'].backward()
    for layer in (head.mlp_head_x, head.mlp_head_y, head.final_layer, head.fc_sigma):
        assert layer.weight.grad.any()


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


def test_labels_that_are_no_numbers_reach_no_weight():
    head, data = make(), samples()
    set_weights(data, 1)
    labels = [sample.gt_instance_labels for sample in data]
    labels[0].keypoint_x_labels[0, 0] = float('nan')
    labels[1].keypoint_y_labels[0, 1, 3] = float('inf')
    labels[2].keypoint_labels[0, 2] = float('nan')
    labels[3].keypoint_weights[0, 0] = 0
    labels[3].keypoint_x_labels[0, 0] = float('nan')
    assert_finite(head, head.loss(features(), data))
    assert head.loss_rle.num_out_of_range[0] == 1


def test_batch_without_joints_that_count():
    assert_no_joint_no_loss(make(), features(), samples())


def test_extreme_logits_stay_finite():
    head = make()
    with torch.no_grad():
        head.mlp_head_x.bias.fill_(-3e4)
        head.mlp_head_x.bias[0] = 3e4
        head.fc_sigma.bias.fill_(-200.0)
    assert_finite(head, head.loss(features(), samples()))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_types_under_autocast(dtype):
    options = {'sigma_scores': True, 'flip_test': True}
    branches = [{'branch': branch, **options} for branch in ('simcc', 'rle')]
    assert_works_in_half(make(), dtype, features(), samples(), *branches)


def test_bad_input_is_named():
    head = make()
    with pytest.raises(UserError, match=r'\(12, 8, 6\), got \(2, 12'):
        head((torch.rand(2, C, 6, 6),))
    with pytest.raises(UserError, match='no neck that pools'):
        head((torch.rand(2, C),))
    with pytest.raises(UserError, match='no keypoint_labels, coord_weights'):
        head.loss(features(), samples(codec=SimCCLabel(SIZE)))
    with pytest.raises(UserError, match="branch is 'regression'"):
        head.predict(features(), samples(), {'branch': 'regression'})


@pytest.mark.parametrize(('options', 'named'), [
    ({'in_featuremap_size': 8}, 'in_featuremap_size'),
    ({'in_featuremap_size': (8, 8)}, r'in_featuremap_size \(8, 8\) does not fit .*\(48, 64\)'),
    ({'rle_weight': -1}, 'rle_weight'),
    ({'simcc_weight': None}, 'simcc_weight'),
    ({'simcc_split_ratio': 3.0}, r'simcc_split_ratio is 3\.0.* decoder.* is 2\.0'),
    ({'decoder': {**CODEC, 'input_size': (64, 48)}}, 'input_size'),
    ({'decoder': STOCK_CODEC}, 'a SimCCLabel, .*SimCCRLELabel'),
])  # fmt: skip
def test_bad_options_are_named_when_it_is_built(options, named):
    with pytest.raises(UserError, match=named):
        make(**options)


def test_a_map_of_a_crop_that_is_no_multiple_of_the_stride():
    """Convolutions round up: 72 x 96 px at stride 32 are 3 x 3."""
    SimCCRLEHead(C, K, input_size=(72, 96), in_featuremap_size=(3, 3), deconv_out_channels=None)
