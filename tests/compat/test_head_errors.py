"""Stock heads on labels, flip pairs and maps of another shape: an error that names both."""

import copy

import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models.heads import HeatmapHead, RegressionHead, RTMCCHead, SimCCHead
from mmpose.models.losses.heatmap_loss import CombinedTargetMSELoss
from mmpose.models.utils import tta
from mmpose.structures import PoseDataSample

from rlepose_ext.errors import UserError

C, K, SIZE, MAP = 6, 5, (24, 32), (6, 8)
MSRA = dict(type='MSRAHeatmap', input_size=SIZE, heatmap_size=MAP, sigma=1)
SIMCC = dict(type='SimCCLabel', input_size=SIZE, sigma=2.0, simcc_split_ratio=2.0)
GAU = dict(hidden_dims=8, s=4, expansion_factor=2, dropout_rate=0.0, drop_path=0.0,
           act_fn='ReLU', use_rel_bias=False, pos_enc=False)  # fmt: skip
TOKENS = dict(in_channels=C, input_size=SIZE, in_featuremap_size=MAP, decoder=SIMCC)


def heatmap(joints=K, **options):
    return HeatmapHead(C, joints, deconv_out_channels=None, decoder=MSRA, **options)


def rtmcc(joints=K, **options):
    return RTMCCHead(out_channels=joints, gau_cfg=GAU, **copy.deepcopy(TOKENS | options))


def simcc(joints=K, **options):
    return SimCCHead(
        out_channels=joints, deconv_out_channels=None, **copy.deepcopy(TOKENS | options)
    )


def features(width=MAP[0], height=MAP[1], channels=C):
    return (torch.randn(2, channels, height, width),)


def samples(map_size=MAP, bins=(48, 64)):
    found = []
    for _ in range(2):
        sample = PoseDataSample(metainfo={'flip_indices': [0, 1, 2, 4, 3], 'input_size': SIZE})
        sample.gt_fields = PixelData(heatmaps=torch.rand(K, *map_size[::-1]))
        sample.gt_instance_labels = InstanceData(
            keypoint_weights=torch.ones(1, K),
            keypoint_x_labels=torch.rand(1, K, bins[0]),
            keypoint_y_labels=torch.rand(1, K, bins[1]),
        )
        found.append(sample)
    return found


@pytest.mark.parametrize('make', [heatmap, rtmcc, simcc])
def test_what_fits_passes(make):
    head = make().eval()
    assert head.loss(features(), samples())['loss_kpt'].isfinite()
    poses = head.predict([features(), features()], samples(), {'flip_test': True})
    assert poses[0].keypoints.shape == (1, K, 2)


@pytest.mark.parametrize('make', [heatmap, rtmcc, simcc])
def test_labels_of_another_joint_count(make):
    with pytest.raises(UserError, match=r'got \(2, 4, .* and \(2, 5, .* out_channels of the head'):
        make(4).loss(features(), samples())


@pytest.mark.parametrize('make', [heatmap, rtmcc, simcc])
def test_flip_pairs_of_another_joint_count(make):
    with pytest.raises(UserError, match='has 5 joints, the head predicts 4'):
        make(4).eval().predict([features(), features()], samples(), {'flip_test': True})


def test_flip_pairs_of_regressed_joints():
    head = RegressionHead(C, 4, decoder=dict(type='RegressionLabel', input_size=SIZE)).eval()
    views = [features(1, 1), features(1, 1)]
    with pytest.raises(UserError, match='has 5 joints, the head predicts 4'):
        head.predict(views, samples(), {'flip_test': True})


@pytest.mark.parametrize(
    ('mode', 'channels'), [('heatmap', 4), ('udp_combined', 12), ('offset', 8)]
)
def test_flip_pairs_in_every_mode_of_maps(mode, channels):
    maps = torch.rand(1, channels, 3, 3)
    assert tta.flip_heatmaps(maps.clone(), [0, 2, 1, 3], mode).shape == maps.shape
    with pytest.raises(UserError, match='has 3 joints, the head predicts 4'):
        tta.flip_heatmaps(maps, [0, 2, 1], mode)


def test_labels_of_another_size():
    with pytest.raises(UserError, match=r'\(2, 5, 8, 6\) and \(2, 5, 4, 3\).*the codec'):
        heatmap().loss(features(), samples(map_size=(3, 4)))
    for make in (rtmcc, simcc):
        with pytest.raises(UserError, match=r'\(2, 5, 64\) and \(2, 5, 32\).*the codec'):
            make().loss(features(), samples(bins=(48, 32)))
    maps = torch.rand(1, 6, 4, 4), torch.rand(1, 6, 4, 3)
    with pytest.raises(UserError, match='CombinedTargetMSELoss: expected'):
        CombinedTargetMSELoss()(*maps, torch.ones(1, 2))


@pytest.mark.parametrize('make', [rtmcc, simcc])
@pytest.mark.parametrize('feats', [features(3, 4), features(8, 6), features(channels=4)])
def test_a_feature_map_of_another_shape(make, feats):
    with pytest.raises(UserError, match=r'CCHead: expected a map .* \(6, 8, 6\), got'):
        make()(feats)


@pytest.mark.parametrize(('options', 'named'), [
    (dict(in_featuremap_size=(6, 6)), r'in_featuremap_size \(6, 6\) does not fit'),
    (dict(in_featuremap_size=(0, 0)), r'in_featuremap_size .* got \(0, 0\)'),
    (dict(input_size=(48, 64)), r'input_size is \(48, 64\), that of the decoder is \[?\(?24'),
    (dict(simcc_split_ratio=1.0), r'simcc_split_ratio is 1\.0, that of the decoder is 2\.0'),
    (dict(decoder=MSRA), 'a MSRAHeatmap, which has no simcc_split_ratio'),
])  # fmt: skip
def test_sizes_of_a_token_head_are_checked_when_it_is_built(options, named):
    with pytest.raises(UserError, match=f'RTMCCHead: .*{named}'):
        rtmcc(**options)
