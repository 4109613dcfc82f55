"""AdaptivePose's network, losses and persons: the authors' own, closed forms, bad input."""

import math

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from model_case import assert_finite, assert_learns, randomised, total
from torch.nn import functional

from rlepose_ext.codecs import AdaptivePoseLabel
from rlepose_ext.convert import adaptivepose
from rlepose_ext.errors import UserError
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.heads import AdaptivePoseHead
from rlepose_ext.models.heads.adaptive_pose_head import Maps, suppress_softly
from rlepose_ext.models.layers.deformable import ModulatedDeformConv, sample_at

CODEC = {
    'type': 'rlepose_ext.AdaptivePoseLabel', 'input_size': (96, 64), 'heatmap_size': (24, 16),
}  # fmt: skip
OKS = {'type': 'OKSLoss', 'metainfo': 'configs/_base_/datasets/coco.py'}
OKS |= {'norm_target_weight': True, 'loss_weight': 5.0}
# What the authors' loss takes for bones on COCO; without left and right hip, unlike the skeleton.
BONES = [(0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10), (5, 11), (6, 12)]
BONES += [(11, 13), (12, 14), (13, 15), (14, 16)]
CONFIGS = {
    'w32': 'adaptivepose_hrnet-w32_8xb8-280e_coco-512x512',
    'w48': 'adaptivepose_hrnet-w48_8xb8-280e_coco-640x640',
    'crowdpose': 'adaptivepose_hrnet-w48_8xb8-280e_crowdpose-640x640',
}
# at the test, in training
TOTALS = {
    'w32': (29_623_214, 29_701_567),
    'w48': (64_756_302, 64_871_519),
    # three joints less in the face's part, 17 - 14 maps of joints
    'crowdpose': (64_756_302 - 6 * 65, 64_871_519 - 6 * 65 - 3 * 257),
}


def build(root, network, **head):
    init_default_scope('mmpose')
    config = Config.fromfile(root / f'configs/adaptivepose/{CONFIGS[network]}.py')
    config.model.backbone.init_cfg = None
    config.model.head.update(head)
    return MODELS.build(config.model)


def make_head(**options):
    init_default_scope('mmpose')
    options = {'oks_loss': OKS, 'decoder': CODEC, 'feat_channels': 12, **options}
    return AdaptivePoseHead(in_channels=8, out_channels=17, part_channels=4, **options)


def sample(keypoints, visible=None, codec=CODEC):
    codec = AdaptivePoseLabel(codec['input_size'], codec['heatmap_size'])
    encoded = codec.encode(np.asarray(keypoints), visible)
    found = PoseDataSample()
    found.gt_fields = PixelData(centre=encoded['centre'], heatmaps=encoded['heatmaps']).to_tensor()
    labels = {name: encoded[name] for name in codec.label_mapping_table}
    found.gt_instance_labels = InstanceData(**labels).to_tensor()
    return found


def persons(number, seed=0):
    """Joints (N, 17, 2) in a picture of 96 x 64."""
    return np.random.default_rng(seed).uniform(4, (90, 60), (number, 17, 2))


@pytest.fixture
def batch():
    feats = (torch.randn(3, 8, 16, 24),)
    return feats, [sample(persons(2)), sample(persons(1, 1)), sample(persons(0))]


def interleaved(maps):
    """(N, 2K, H, W), all x before all y, as the authors have it: x, y of each joint."""
    return maps.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


@pytest.mark.parametrize('network', TOTALS)
def test_totals(root, network):
    with torch.device('meta'):
        model = build(root, network)
    found = (count_parameters(model), sum(p.numel() for p in model.parameters()))
    assert found == TOTALS[network]


@pytest.mark.parametrize(
    ('network', 'kind'),
    [
        ('w32', 'test'),
        pytest.param('w32', 'train', marks=pytest.mark.slow),
        pytest.param('w48', 'train', marks=pytest.mark.slow),
        pytest.param('w48', 'test', marks=pytest.mark.slow),
    ],
)
def test_equals_the_original(root, golden, network, kind):
    arrays, state = golden(f'adaptivepose-{network}-{kind}')
    model = build(root, network, joint_maps=kind == 'train').double().eval()
    missing, unexpected = model.load_state_dict(adaptivepose.convert(state), strict=False)
    assert not unexpected
    # counters of batch norm, which the golden cases leave out
    assert all(name.endswith('num_batches_tracked') for name in missing)
    with torch.no_grad():
        feats = model.extract_feat(torch.from_numpy(arrays['in/image']).double())
        maps = model.head(feats)
        found = {
            'hm': maps.centre,
            'hps': interleaved(maps.offset),
            'ap': maps.points.flatten(1, 2),
        }
        if kind == 'train':
            found['hm_hp'] = model.head.joint_maps(feats[-1])
    for name, value in found.items():
        expected = arrays[f'out/{name}']
        # Random weights give values of 400 to 2200, and where features of that size are read twice
        # between cells, float32 itself was up to 1.1e-4 off, at one of 43,520 offsets.
        error = np.abs(value.numpy() - expected) / np.abs(expected).max()
        assert np.quantile(error, 0.9999) < 1e-4, name
        assert error.max() < 1.2e-4, name


def labels_of(arrays):
    """The authors' targets: cells and offsets of the persons of the case, and their weights."""
    weights = arrays['out/target_hps_mask'][0].reshape(-1, 17, 2)[..., 0]
    used = weights.any(-1)
    cells = arrays['out/target_ind'][0][used]
    cells = np.stack([cells % 32, cells // 32], -1)
    offset = arrays['out/target_hps'][0].reshape(-1, 17, 2)[used]
    return cells, offset, weights[used], arrays['out/target_area'][0][used]


def test_targets_of_the_original(golden):
    arrays, _ = golden('adaptivepose-w32-train')
    cells, offset, weights, area = labels_of(arrays)
    assert len(cells) == 2
    joints = 4 * (cells[:, None] + offset)
    codec = AdaptivePoseLabel((128, 128), (32, 32))
    found = codec.encode(joints, weights, area=16 * area)
    np.testing.assert_array_equal(found['centre_cell'], cells)
    np.testing.assert_array_equal(found['keypoint_weights'], weights)
    np.testing.assert_allclose(found['area'], area)
    np.testing.assert_allclose(found['offset'] * weights[..., None], offset, atol=1e-5)
    np.testing.assert_allclose(found['centre'], arrays['out/target_hm'][0], atol=1e-6)
    np.testing.assert_allclose(found['heatmaps'], arrays['out/target_hm_hp'][0], atol=1e-6)


@pytest.mark.parametrize('bones', [False, True])
def test_losses_of_the_original(golden, monkeypatch, bones):
    arrays, _ = golden('adaptivepose-w32-train')
    cells, offset, weights, area = labels_of(arrays)
    given = {key: torch.from_numpy(arrays[f'in/pred_{key}']) for key in ('hm', 'hps', 'hm_hp')}
    loss = {'type': 'rlepose_ext.JointOffsetLoss', 'bones': BONES if bones else None}
    head = make_head(offset_loss=loss)
    maps = given['hps'].unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2)
    monkeypatch.setattr(head, 'forward', lambda feats: Maps(given['hm'], maps, None))
    head.joint_maps = torch.nn.Identity()
    labelled = PoseDataSample()
    labelled.gt_fields = PixelData(
        centre=arrays['out/target_hm'][0], heatmaps=arrays['out/target_hm_hp'][0]
    ).to_tensor()
    labelled.gt_instance_labels = InstanceData(
        centre_cell=cells, offset=offset, keypoint_weights=np.float32(weights), area=area
    ).to_tensor()
    losses = head.loss((given['hm_hp'],), [labelled])
    expected = {'centre': 'hm', 'heatmap': 'hm_hp', 'oks': 'oks'}
    expected['offset'] = 'hps_bone' if bones else 'hps'
    for ours, theirs in expected.items():
        value = float(arrays[f'out/loss_{theirs}'])
        assert losses[f'loss_{ours}'].item() == pytest.approx(value, rel=1e-5), ours


def test_persons_of_the_original(golden):
    arrays, _ = golden('adaptivepose-w32-train')
    maps = torch.from_numpy(arrays['in/pred_hps']).unflatten(1, (-1, 2))
    maps = maps.transpose(1, 2).flatten(1, 2)
    centre = torch.from_numpy(arrays['in/pred_hm']).sigmoid()
    points, scores = AdaptivePoseLabel((128, 128), (32, 32)).decode(centre[0], maps[0])
    expected = arrays['out/decoded'][0]
    np.testing.assert_allclose(scores, expected[:, 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(points.reshape(20, -1) / 4, expected[:, 1:-1], rtol=0, atol=1e-4)


def test_sampling_by_hand():
    x, y = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing='xy')
    feature = torch.stack([x, 10 * y])[None]
    # a plane is read where the point is, between cells too, and not beyond the border
    points = torch.tensor([0.25, -1.5]).view(1, 2, 1, 1).expand(1, 2, 5, 6)
    found = sample_at(feature, points)
    torch.testing.assert_close(found[0, 0], (x + 0.25).clamp(max=5))
    torch.testing.assert_close(found[0, 1], 10 * (y - 1.5).clamp(min=0))
    one = sample_at(torch.full((1, 1, 1, 1), 3.0), torch.ones(1, 2, 1, 1))
    assert one.item() == 3


def test_sampling_has_the_gradient_of_finite_differences():
    feature = torch.randn(1, 2, 4, 5, dtype=torch.double, requires_grad=True)
    # off the cells, where it bends
    points = torch.rand(1, 2, 4, 5, dtype=torch.double) * 0.8 + 0.1
    assert torch.autograd.gradcheck(sample_at, (feature, points.requires_grad_()))


def test_a_deformable_convolution_begins_as_half_a_plain_one():
    deform, x = ModulatedDeformConv(6), torch.randn(2, 6, 7, 9)
    plain = functional.conv2d(x, deform.weight / 2, deform.bias, padding=1)
    torch.testing.assert_close(deform(x), plain, rtol=1e-5, atol=1e-5)


def test_every_parameter_learns(batch):
    head = randomised(make_head())
    assert_learns(head, total(head.loss(*batch)))
    fresh = make_head()
    assert_learns(fresh, total(fresh.loss(*batch)))


def test_losses_without_persons():
    head = make_head()
    feats = (torch.randn(2, 8, 16, 24),)
    blind = np.zeros((2, 17))
    losses = head.loss(feats, [sample(persons(0)), sample(persons(2), blind)])
    assert losses['loss_offset'] == losses['loss_oks'] == 0
    assert_finite(head, losses)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision(batch, dtype):
    head = randomised(make_head())
    feats, samples = batch
    with torch.autocast('cpu', dtype):
        losses = head.loss(feats, samples)
        views = [feats, tuple(each.flip(-1) for each in feats)]
        found = head.predict(views, samples, {'flip_test': True})
    assert {value.dtype for value in losses.values()} == {torch.float32}
    assert_finite(head, losses)
    assert all(np.isfinite(each.keypoints).all() for each in found)


def stubbed(head, monkeypatch):
    """The features are what the head says: logits of the centre map, and offsets."""
    monkeypatch.setattr(head, 'forward', lambda maps: Maps(*maps, None))
    return head


def maps_of(pose, size, strength=1.0):
    """What a head that knows a pose (17, 2) says in an input of ``size``."""
    codec = AdaptivePoseLabel(size, (size[0] // 4, size[1] // 4))
    encoded = codec.encode(pose[None])
    (x, y), offset = encoded['centre_cell'][0], np.zeros((34, size[1] // 4, size[0] // 4))
    offset[:, y, x] = encoded['offset'][0].T.ravel()
    centre = torch.from_numpy(strength * encoded['centre'])
    return centre.clamp(1e-6, 1 - 1e-6).logit()[None], torch.from_numpy(offset)[None].float()


def test_flip_averages_centres_and_keeps_offsets(monkeypatch):
    head = stubbed(make_head(), monkeypatch)
    pose = persons(1)[0]
    centre, offset = maps_of(pose, (96, 64), 0.8)
    mirrored = maps_of(pose, (96, 64), 0.4)[0].flip(-1)
    views = [(centre, offset), (mirrored, -offset)]
    (found,) = head.predict(views, [], {'flip_test': True})
    np.testing.assert_allclose(found.keypoints[0], pose, atol=1e-3)
    np.testing.assert_allclose(found.keypoint_scores[0], 0.6, rtol=1e-5)
    np.testing.assert_allclose(found.bboxes[0], [*pose.min(0), *pose.max(0)], atol=1e-3)
    assert found.bbox_scores[0] == found.keypoint_scores[0, 0]


# padded inputs (w, h) of a picture: scale 1, 0.8 whose shorter side was rounded up to 64, and 1.6
SIZES = {1.0: (160, 64), 1.0001: (160, 64), 2.5: (416, 160)}


@pytest.mark.parametrize('only', SIZES)
def test_a_pose_comes_out_where_it_is_whatever_scale_saw_it(monkeypatch, only):
    head = stubbed(make_head(), monkeypatch)
    pose = persons(1)[0]
    first = np.array(SIZES[1.0])
    views = []
    for name, size in SIZES.items():
        scale = size[1] / first[1]
        shown = scale * (pose - first / 2) + np.array(size) / 2
        views.append(maps_of(shown, size, 0.9 * (name == only)))
    (found,) = head.predict(views, [], {'multiscale_test': True})
    np.testing.assert_allclose(found.keypoints[0], pose, atol=1e-3)
    assert found.bbox_scores[0] == pytest.approx(0.9, rel=1e-5)


def test_scores_fall_with_the_overlap():
    pose = np.array([[0.0, 0.0], [19.0, 9.0]], np.float32)
    poses = pose + np.float32([[[0, 0]], [[0, 5]], [[500, 0]]])
    found, scores = suppress_softly(poses, np.float32([0.5, 0.8, 0.3]))
    # 20 x 5 of 20 x 15 px are shared: a box covers its last pixel
    lowered = 0.5 * math.exp(-((1 / 3) ** 2) / 0.5)
    np.testing.assert_allclose(scores, [0.8, lowered, 0.3], rtol=1e-5)
    np.testing.assert_array_equal(found, poses[[1, 0, 2]])


def test_without_joint_maps_the_same_checkpoint_loads():
    whole, head = randomised(make_head()), make_head(joint_maps=False)
    head.load_state_dict(whole.state_dict())
    assert not any(name.startswith('joint_maps') for name in head.state_dict())
    x = (torch.randn(1, 8, 8, 8),)
    with torch.no_grad():
        torch.testing.assert_close(head.eval()(x).offset, whole.eval()(x).offset)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        ({'parts': [(0, 1), (2,)]}, 'each of 17 joints once'),
        ({'feat_channels': 0}, 'feat_channels'),
        ({'decoder': {**CODEC, 'type': 'rlepose_ext.MoveNetLabel'}}, 'AdaptivePoseLabel'),
        ({'offset_loss': {'type': 'rlepose_ext.JointOffsetLoss', 'bones': [(1, 2, 3)]}}, 'pairs'),
    ],
)
def test_wrong_options(options, match):
    with pytest.raises(UserError, match=match):
        make_head(**options)
