"""Poseur's head: the original's outputs and losses, noisy groups, the flip test, bad input."""

import copy
import itertools

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.codecs import RegressionLabel
from mmpose.registry import MODELS
from model_case import (
    assert_finite,
    assert_learns,
    assert_no_joint_no_loss,
    assert_works_in_half,
    labelled,
    randomised,
    total,
)
from torch import nn

from rlepose_ext.convert import poseur
from rlepose_ext.errors import UserError
from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.loading import spread_of
from rlepose_ext.models.heads import PoseurHead
from rlepose_ext.models.heads.poseur_head import (
    encode_pixels,
    fuse_views,
    joint_certainty,
    logit,
    mean_loss,
    noisy_copies,
    sine_encode,
)
from rlepose_ext.resources import resource

C, K, SIZE = 16, 5, (48, 64)
CODEC = {'type': 'RegressionLabel', 'input_size': SIZE}
FLIP = [0, 2, 1, 4, 3]
SMALL = {'num_layers': 2, 'num_heads': 2, 'num_points': 2, 'feedforward_channels': 24}
CONFIG = 'configs/poseur/poseur_res50_8xb32-325e_coco-256x192.py'
NECK_AND_HEAD = ('neck', 'head')
EXACT = {'rtol': 2e-5, 'atol': 2e-5}


def make(std=0.15, **options) -> PoseurHead:
    return randomised(PoseurHead(C, K, decoder=CODEC, **{**SMALL, **options}), std)


def samples(n: int = 3):
    rng = np.random.default_rng(0)
    visible = rng.random((n, 1, K)) > 0.2
    return labelled(RegressionLabel(SIZE), rng.uniform(-10, 70, (n, 1, K, 2)), visible, FLIP)


def features(n: int = 3) -> list[torch.Tensor]:
    return [torch.randn(n, C, SIZE[1] // s, SIZE[0] // s) for s in (4, 8, 16, 32)]


# The original


@pytest.fixture(scope='module')
def case(golden):
    """Weights, and what the original was given and answered."""
    arrays, state = golden('poseur-R50')
    return state, {key: torch.from_numpy(np.asarray(each)) for key, each in arrays.items()}


@pytest.fixture(scope='module')
def original(case):
    """Neck and head of the config with the original's weights, its maps, and what it answered."""
    state, data = case
    model = Config.fromfile(resource(CONFIG)).model
    net = nn.ModuleDict({k: MODELS.build({**model[k], '_scope_': 'mmpose'}) for k in NECK_AND_HEAD})
    net.load_state_dict(poseur.convert(state), strict=True)
    net.eval().double()
    with torch.no_grad():
        maps = net['neck']([data[f'in/map{level}'].double() for level in range(4)])
    return net['head'], maps, data


@torch.no_grad()
def test_outputs_of_the_original(original):
    """In float64, so that the rounding is the original's alone.

    Made weights make a chaotic network: from layer to layer a difference grows about fivefold. So
    2e-5 holds for the first answer, and as many times more for later ones as a change of the maps
    by 1e-9 grows.
    """
    head, maps, data = original

    def answer(maps):
        return head.find_coarse(maps), torch.stack(
            head.refine(maps, head.find_coarse(maps)[..., :2])
        )

    coarse, answers = answer(maps)
    torch.testing.assert_close(coarse[..., :2], data['out/coarse'].double(), **EXACT)
    torch.testing.assert_close(
        coarse[..., 2:].sigmoid(), data['out/coarse_sigma'].double(), **EXACT
    )
    nudged = answer([each * (1 + 1e-9 * torch.randn_like(each)) for each in maps])[1] - answers
    growth = nudged.abs().amax((1, 2, 3)) / nudged[0].abs().max()
    assert growth[1] < 10
    for ours, coords, sigma, times in zip(
        answers, data['out/coords'], data['out/sigmas'], growth.clamp(min=1).tolist(), strict=True
    ):
        near = {'rtol': 0, 'atol': 2e-5 * times}
        torch.testing.assert_close(ours[..., :2], coords.double(), **near)
        torch.testing.assert_close(ours[..., 2:].sigmoid(), sigma.double(), **near)
    assert torch.equal(head.forward(maps), answers[-1])


def test_losses_of_the_original(original):
    """Of the answers that the original gave."""
    head, _, data = original
    target, weight = data['in/target'], data['in/weight']
    given = [
        (head.coarse.loss_module, 'enc_rle_loss', data['out/coarse'], data['out/coarse_sigma'])
    ]
    for layer, (coords, sigma) in enumerate(
        zip(data['out/coords'], data['out/sigmas'], strict=True)
    ):
        given.append((head.loss_module, f'dec_rle_loss_{layer}', coords, sigma))
    for loss, name, coords, sigma in given:
        found = mean_loss(loss, torch.cat([coords, sigma.logit()], dim=-1), target, weight)
        torch.testing.assert_close(found.float(), data[f'out/loss_{name}'], **EXACT)


def test_fusion_of_the_original(case):
    _, data = case
    ours = torch.cat([data['in/c1'], data['in/s1']], dim=-1)
    theirs = torch.cat([data['in/c2'], data['in/s2']], dim=-1)
    torch.testing.assert_close(joint_certainty(data['in/s1']), data['out/flip_p'], **EXACT)
    torch.testing.assert_close(1 - data['out/sigmas'][-1].mean(-1, True), data['out/score'])
    fused, scores = fuse_views(ours, theirs, 'type2')
    torch.testing.assert_close(fused[..., :2], data['out/flip_fused'], **EXACT)
    both = (joint_certainty(data['in/s1']) + joint_certainty(data['in/s2'])) / 2
    torch.testing.assert_close(scores, both[..., 0])


# Its parts


def test_parameter_counts():
    head = PoseurHead(256, 17)
    flows = [p.numel() for name, p in head.named_parameters() if '.flow_model.' in f'.{name}']
    assert sum(flows) == 2 * 53_784
    assert sum(p.numel() for p in head.parameters()) - sum(flows) == 8_655_720
    assert sum(p.numel() for p in head.layers[0].parameters()) == 1_416_838


def test_encoding():
    p, dim = torch.tensor([0.0, 0.3]), 8
    found = sine_encode(p, dim)
    for i in range(dim // 2):
        angle = 2 * np.pi * p / 10000 ** (2 * i / dim)
        torch.testing.assert_close(found[:, 2 * i], angle.sin())
        torch.testing.assert_close(found[:, 2 * i + 1], angle.cos())
    pixels = encode_pixels(torch.zeros(1, 16, 2, 5))
    torch.testing.assert_close(pixels[:8, 1, 3], sine_encode(torch.tensor(1.5 / 2), 8))
    torch.testing.assert_close(pixels[8:, 1, 3], sine_encode(torch.tensor(3.5 / 5), 8))


def test_logit_inverts_the_sigmoid_within_the_margin():
    x = torch.linspace(-11, 11, 50, dtype=torch.float64)
    torch.testing.assert_close(logit(x.sigmoid()), x)
    assert logit(torch.tensor([-3.0, 0.0, 1.0, 2.0])).isfinite().all()


def test_twelve_of_fifty_one_points_move():
    coords = torch.rand(64, 17, 2)
    found = noisy_copies(coords, 3)
    assert found.shape == (64, 51, 2)
    moved = found != coords.repeat(1, 3, 1)
    assert (moved.all(-1) == moved.any(-1)).all()
    which = moved.any(-1)
    assert (which == which[0]).all()  # the same ones in all poses
    assert which[0].sum() == 12
    noise = (found - coords.repeat(1, 3, 1))[:, which[0]]
    assert noise.std().item() == pytest.approx(0.2**0.5, rel=0.05)
    assert noise.abs().max() <= 1
    assert not torch.equal(noisy_copies(coords, 3) != coords.repeat(1, 3, 1), moved)


def test_displaced_joints_stay_near_the_crop():
    coords = torch.tensor([[-0.69, 1.69]]).expand(500, 17, 2)
    found = noisy_copies(coords, 3)
    assert found.min() == pytest.approx(-0.7)
    assert found.max() == pytest.approx(1.7)
    assert torch.equal(noisy_copies(coords + 3, 3).amax(-1).unique(), torch.tensor([1.7, 4.69]))


def test_groups_do_not_see_each_other():
    head, maps = make().eval(), features()
    alone = torch.rand(3, K, 2)
    other = torch.rand(3, K, 2)
    with torch.no_grad():
        answers = head.refine(maps, alone)
        both = head.refine(maps, torch.cat([alone, other], dim=1))
        swapped = head.refine(maps, torch.cat([other, alone], dim=1))
    for answer, two, turned in zip(answers, both, swapped, strict=True):
        torch.testing.assert_close(two[:, :K], answer)
        torch.testing.assert_close(turned[:, K:], answer)


def test_a_new_decoder_answers_the_coarse_pose():
    head = PoseurHead(C, K, **SMALL).eval()
    inside = torch.rand(3, K, 2) * 0.9 + 0.05
    with torch.no_grad():
        for answer in head.refine(features(), inside):
            torch.testing.assert_close(answer[..., :2], inside)
            assert (answer[..., 2:].sigmoid() - 0.5).abs().max() < 0.05


# Training


def test_every_parameter_gets_a_gradient():
    head = make(dropout=0.0)
    losses = head.loss(features(), samples())
    assert sorted(losses) == ['acc_pose', 'loss_0', 'loss_1', 'loss_coarse']
    assert_learns(head, total(losses))


def test_the_coarse_pose_learns_by_its_own_loss_alone():
    head, data = make(dropout=0.0), samples()
    maps = features()
    losses = head.loss(maps, data)
    (losses['loss_0'] + losses['loss_1']).backward()
    assert all(p.grad is None for p in head.coarse.parameters())


def test_noise_is_for_training_only():
    head, maps, data = make(dropout=0.0), features(), samples()
    with torch.no_grad():
        first, second = (head.loss(maps, data)['loss_1'] for _ in range(2))
        assert first != second
        head.eval()
        first, second = (head.loss(maps, data)['loss_1'] for _ in range(2))
    assert first == second


def test_losses_are_means_over_joints():
    head, data = make(noisy_groups=0).eval(), samples()
    maps = features()
    labels = torch.cat([each.gt_instance_labels.keypoint_labels for each in data])
    weights = torch.cat([each.gt_instance_labels.keypoint_weights for each in data])
    with torch.no_grad():
        losses, coarse = head.loss(maps, data), head.find_coarse(maps)
        expected = head.coarse.loss_module(coarse[..., :2], coarse[..., 2:], labels, weights) / K
    torch.testing.assert_close(losses['loss_coarse'], expected)


def test_labels_out_of_range_are_counted_once():
    head, data = make(), samples()
    data[0].gt_instance_labels.keypoint_labels[0, 0] = float('nan')
    data[1].gt_instance_labels.keypoint_labels[0, 1] = 1e9
    assert_finite(head, head.loss(features(), data))
    counts = [
        m.num_out_of_range[0].item() for m in head.modules() if hasattr(m, 'num_out_of_range')
    ]
    assert sum(counts) == 2


def test_batch_without_visible_joints():
    assert_no_joint_no_loss(make(), features(), samples())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_types_under_autocast(dtype):
    tests = ({}, {'flip_test': True}, {'flip_test': True, 'flip_fusion': 'type2'})
    assert_works_in_half(make(0.1), dtype, features(), samples(), *tests)


def test_positions_keep_their_precision_in_half_types():
    head, maps = make(0.1).eval(), features()
    with torch.no_grad():
        exact = head(maps)
        half = copy.deepcopy(head).bfloat16()([each.bfloat16() for each in maps])
    assert half.dtype == torch.float32
    assert (half[..., :2] - exact[..., :2]).abs().max() < 0.05


# Prediction


def answering(head, monkeypatch, *answers):
    """The head answers these in turn, (K, 4) before ``activate``."""
    waiting = itertools.cycle(answers)
    monkeypatch.setattr(head, 'forward', lambda feats: next(waiting)[None])
    return head


def test_prediction_worked_out_by_hand(monkeypatch):
    answer = torch.tensor([0.25, 0.5, 0.0, float(np.log(3))]).repeat(K, 1)
    head = answering(make(), monkeypatch, answer)
    (pose,) = head.predict(features(1), samples(1), {})
    np.testing.assert_allclose(pose.keypoints, np.full((1, K, 2), [12, 32]), rtol=1e-6)
    np.testing.assert_allclose(pose.keypoint_scores, np.full((1, K), 1 - (0.5 + 0.75) / 2))
    np.testing.assert_allclose(pose.sigma, np.full((1, K, 2), [24, 48]), rtol=1e-6)


@pytest.mark.parametrize('shift', [True, False])
def test_the_flip_test_mirrors(monkeypatch, shift):
    """A pose and its mirror image, sides exchanged, are one pose."""
    answer = torch.rand(K, 4)
    mirrored = answer[FLIP].clone()
    mirrored[:, 0] = 1 - mirrored[:, 0] - (1 / SIZE[0] if shift else 0)
    (plain,) = answering(make(), monkeypatch, answer).predict(features(1), samples(1), {})
    for fusion in ('default', 'type2'):
        head = answering(make(), monkeypatch, answer, mirrored)
        test_cfg = {'flip_test': True, 'shift_coords': shift, 'flip_fusion': fusion}
        (pose,) = head.predict([features(1)] * 2, samples(1), test_cfg)
        np.testing.assert_allclose(pose.keypoints, plain.keypoints, rtol=1e-5)
        np.testing.assert_allclose(pose.sigma, plain.sigma, rtol=1e-5)


def test_type2_believes_the_view_that_is_sure(monkeypatch):
    sure = torch.tensor([0.2, 0.2, -5.0, -5.0]).repeat(K, 1)
    unsure = torch.tensor([0.4, 0.4, 2.0, 2.0]).repeat(K, 1)
    head = answering(make(), monkeypatch, sure, unsure)
    test_cfg = {'flip_test': True, 'shift_coords': False, 'flip_fusion': 'type2'}
    (pose,) = head.predict([features(1)] * 2, samples(1), test_cfg)
    a, b = (joint_certainty(each[0, 2:].sigmoid()).item() for each in (sure, unsure))
    weight = a**5 / (a**5 + b**5)
    expected = [SIZE[0] * (0.2 * weight + 0.6 * (1 - weight)), SIZE[1] * (0.4 - 0.2 * weight)]
    np.testing.assert_allclose(pose.keypoints, np.full((1, K, 2), expected), rtol=1e-5)
    np.testing.assert_allclose(pose.keypoint_scores, np.full((1, K), (a + b) / 2), rtol=1e-5)
    assert pose.keypoint_scores.dtype == np.float32

    test_cfg['flip_fusion'] = 'default'  # both views alike
    (pose,) = head.predict([features(1)] * 2, samples(1), test_cfg)
    expected = np.full((1, K, 2), [SIZE[0] * 0.4, SIZE[1] * 0.3])
    np.testing.assert_allclose(pose.keypoints, expected, rtol=1e-5)


def test_spread_is_that_of_the_decoder():
    head = make(std=0.3)
    model = nn.ModuleDict({'head': head})
    model.head = head
    spread = spread_of(model)()
    assert spread is not None
    nn.init.normal_(head.coarse.loss_module.flow_model.s[0][0].weight, std=3)
    np.testing.assert_array_equal(spread_of(model)(), spread)


# Bad input


@pytest.mark.parametrize(('change', 'said'), [
    ({'num_joints': 0}, r'num_joints to be a whole number of at least 1, got 0'),
    ({'in_channels': [256, 512]}, r'in_channels to be a whole number of at least 1, got \[256'),
    ({'in_channels': 20, 'num_heads': 8}, r'multiple of 4 and of num_heads \(8\), got 20'),
    ({'num_levels': 2.5}, r'num_levels to be a whole number of at least 1, got 2\.5'),
    ({'noisy_groups': -1}, r'noisy_groups to be a whole number of at least 0, got -1'),
    ({'dropout': 1.0}, r'dropout to be from 0 to below 1, got 1\.0'),
])  # fmt: skip
def test_bad_options_are_named(change, said):
    with pytest.raises(UserError, match=said):
        PoseurHead(**{'in_channels': C, 'num_joints': K, **SMALL, **change})


def test_maps_that_do_not_fit_are_named():
    head, maps = make(), features()
    said = r'expected 4 maps \(N, 16, h, w\), got \(3, 16, 16, 12\), '
    with pytest.raises(UserError, match=said + r'\(3, 16, 8, 6\), \(3, 16, 4, 3\)\. out_indices'):
        head(maps[:3])
    with pytest.raises(UserError, match=said + r'\(3, 8, 8, 6\)'):
        head([maps[0], maps[1][:, :8], *maps[2:]])
    with pytest.raises(UserError, match=r"flip_fusion to be one of .*'type2'.*, got 'type3'"):
        head.predict(maps, samples(), {'flip_fusion': 'type3'})


@pytest.mark.parametrize(('change', 'said'), [
    ({'out_indices': (1, 2, 3)}, r'in_channels is \[256, .* of \[512, 1024, 2048\]'),
    ({'depth': 18}, r'in_channels is \[256, .* of \[64, 128, 256, 512\]'),
])  # fmt: skip
def test_a_backbone_that_does_not_fit_is_named(change, said):
    config = Config.fromfile(resource(CONFIG)).model
    config.backbone.pop('init_cfg')
    config.backbone.update(change)
    parts = [MODELS.build({**config[part], '_scope_': 'mmpose'}) for part in ('backbone', 'neck')]
    with pytest.raises(UserError, match=said):
        parts[1](parts[0](torch.zeros(1, 3, 64, 64)))


def test_labels_of_other_joints_are_named():
    data = labelled(RegressionLabel(SIZE), np.ones((3, 1, 4, 2)), flip_indices=FLIP)
    with pytest.raises(UserError, match=r'num_joints does not fit the data set'):
        make().loss(features(), data)


@pytest.mark.slow
def test_embeddings_of_another_model_are_named(tmp_path):
    config = Config.fromfile(resource(CONFIG))
    config.model.backbone.pop('init_cfg')
    head = PoseurHead(256, 17)
    state = {f'head.{key}': value for key, value in head.state_dict().items()}
    state['head.joint_embed'] = torch.zeros(14, 256)
    torch.save({'state_dict': state, 'meta': {}}, tmp_path / 'other.pth')
    said = r'head\.joint_embed: file \(14, 256\), model \(17, 256\)'
    with pytest.raises(UserError, match=said):
        PoseEstimator(config, tmp_path / 'other.pth', device='cpu')
