"""The hybrid head on labels that are no numbers, extreme outputs, and wrong arguments."""

import numpy as np
import pytest
import torch
from mmpose.codecs import SimCCLabel
from simcc_rle_case import ARGS, CODEC, SIZE, C, K, features, make, samples, total

from rlepose_ext.errors import UserError
from rlepose_ext.models.heads import SimCCRLEHead


def test_labels_that_are_no_numbers_reach_no_weight():
    head = make()
    data = samples()
    labels = [sample.gt_instance_labels for sample in data]
    for label in labels:
        label.keypoint_weights.fill_(1)
        label.coord_weights.fill_(1)
    labels[0].keypoint_x_labels[0, 0] = float('nan')
    labels[1].keypoint_y_labels[0, 1, 3] = float('inf')
    labels[2].keypoint_labels[0, 2] = float('nan')
    labels[3].keypoint_weights[0, 0] = 0
    labels[3].keypoint_x_labels[0, 0] = float('nan')
    losses = head.loss(features(), data)
    assert all(value.isfinite() for value in losses.values())
    assert head.loss_rle.num_out_of_range[0] == 1
    total(losses).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_batch_without_joints_that_count():
    head = make()
    data = samples()
    for sample in data:
        sample.gt_instance_labels.keypoint_weights.zero_()
    losses = head.loss(features(), data)
    assert losses['loss_simcc'].item() == losses['loss_rle'].item() == 0
    total(losses).backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


def test_extreme_logits_stay_finite():
    head = make()
    with torch.no_grad():
        head.mlp_head_x.bias.fill_(-3e4)
        head.mlp_head_x.bias[0] = 3e4
        head.fc_sigma.bias.fill_(-200.0)
    losses = head.loss(features(), samples())
    total(losses).backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_types_under_autocast(dtype):
    head = make()
    with torch.autocast('cpu', dtype):
        losses = head.loss(features(), samples())
        with torch.no_grad():
            for branch in ('simcc', 'rle'):
                cfg = {'branch': branch, 'sigma_scores': True, 'flip_test': True}
                (pose, *_) = head.predict([features(), features()], samples(), cfg)
                assert np.isfinite(pose.keypoints).all()
    total(losses).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_bad_input_is_named():
    head = make()
    with pytest.raises(UserError, match=r'expected a feature map .* = \(12, 8, 6\), got \(2, 12'):
        head((torch.rand(2, C, 6, 6),))
    with pytest.raises(UserError, match='no neck that pools'):
        head((torch.rand(2, C),))
    with pytest.raises(UserError, match='no keypoint_labels, coord_weights'):
        head.loss(features(), samples(codec=SimCCLabel(SIZE)))
    with pytest.raises(UserError, match="branch is 'regression'"):
        head.predict(features(), samples(), {'branch': 'regression'})
    with pytest.raises(
        UserError, match=r'simcc_split_ratio is 3\.0, that of the decoder.* is 2\.0'
    ):
        make(simcc_split_ratio=3.0)
    with pytest.raises(UserError, match='input_size'):
        make(decoder={**CODEC, 'input_size': (64, 48)})
    with pytest.raises(UserError, match='of 0 or more'):
        make(rle_weight=-1)
    with pytest.raises(TypeError):
        make(weights=(1, 1))


@pytest.mark.parametrize(('options', 'named'), [
    ({'in_featuremap_size': (0, 0)}, r'in_featuremap_size to be \(width, height\).* got \(0, 0\)'),
    ({'in_featuremap_size': (8, 8)}, r'in_featuremap_size \(8, 8\) does not fit .*\(48, 64\)'),
    ({'in_featuremap_size': 8}, 'in_featuremap_size'),
    ({'input_size': ('a', 'b')}, "input_size .* got \\('a', 'b'\\)"),
    ({'rle_weight': float('nan')}, 'rle_weight .* got nan'),
    ({'rle_weight': float('inf')}, 'rle_weight .* got inf'),
    ({'rle_weight': '0.01'}, "rle_weight .* got '0.01'"),
    ({'simcc_weight': None}, 'simcc_weight .* got None'),
    ({'simcc_split_ratio': '2'}, "simcc_split_ratio .* got '2'"),
    ({'decoder': {'type': 'SimCCLabel', 'input_size': SIZE}}, 'a SimCCLabel, .*SimCCRLELabel'),
    ({'decoder': {'type': 'RegressionLabel', 'input_size': SIZE}}, 'a RegressionLabel, is None'),
])  # fmt: skip
def test_bad_options_are_named_when_it_is_built(options, named):
    with pytest.raises(UserError, match=named):
        make(**options)


@pytest.mark.parametrize(('channels', 'joints'), [(C, 0), (C, '17'), ('12', K), ([4, 1.5], K)])
def test_counts_that_are_none(channels, joints):
    with pytest.raises(UserError, match='_channels to be a whole number of at least 1'):
        SimCCRLEHead(channels, joints, **ARGS)


def test_a_map_of_a_crop_that_is_no_multiple_of_the_stride():
    """Convolutions round up: 72 x 96 px at stride 32 are 3 x 3."""
    SimCCRLEHead(C, K, input_size=(72, 96), in_featuremap_size=(3, 3), deconv_out_channels=None)
