"""SimCC, SimDR, SimCC + RLE, ShuffleNetV2 and heatmap pre-training: recipes, AIC's joints."""

import numpy as np
import pytest
import torch
from config_case import CONFIGS, load
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import KEYPOINT_CODECS, MODELS, TRANSFORMS

# AI Challenger's joint, COCO's joint: systems.md, section 4.1
AIC_TO_COCO = {
    'right_shoulder': (0, 6), 'right_elbow': (1, 8), 'right_wrist': (2, 10),
    'left_shoulder': (3, 5), 'left_elbow': (4, 7), 'left_wrist': (5, 9),
    'right_hip': (6, 12), 'right_knee': (7, 14), 'right_ankle': (8, 16),
    'left_hip': (9, 11), 'left_knee': (10, 13), 'left_ankle': (11, 15),
}  # fmt: skip


JOINT = [f'{path.parent.name}/{path.stem}' for path in CONFIGS.glob('[hs]*/*aic-coco*.py')]


@pytest.mark.parametrize('name', JOINT)
def test_aic_joints_become_cocos_joint_by_joint(name):
    dataset = load(name).train_dataloader.dataset
    assert dataset.sample_ratio_factor == [3.0, 1.0]
    coco, aic = dataset.datasets
    assert (coco.type, aic.type) == ('CocoDataset', 'AicDataset')
    assert coco.pipeline == []
    (convert,) = aic.pipeline
    assert sorted(map(tuple, convert.mapping)) == sorted(AIC_TO_COCO.values())

    names = [
        parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{kind}.py'))
        for kind in ('aic', 'coco')
    ]
    for joint, (source, target) in AIC_TO_COCO.items():
        assert [meta['keypoint_name2id'][joint] for meta in names] == [source, target]

    keypoints = np.arange(28, dtype=np.float32).reshape(1, 14, 2)
    results = TRANSFORMS.build(convert)(
        dict(keypoints=keypoints, keypoints_visible=np.ones((1, 14), np.float32))
    )
    visible = results['keypoints_visible'][0, :, 0]
    for source, target in AIC_TO_COCO.values():
        assert results['keypoints'][0, target].tolist() == keypoints[0, source].tolist()
        assert visible[target] == 1
    assert visible[:5].tolist() == [0] * 5
    assert visible.sum() == 12


STEPS, COSINE = ('MultiStepLR', [170, 200]), ('CosineAnnealingLR', (210, 420, 2e-4))
HALF_COSINE = ('CosineAnnealingLR', (105, 210, 2e-4))
# pattern: optimizer, rate, weight decay, epochs, decay, iterations of warm-up and their start
RECIPES = {
    'simcc/simdr-star*': ('Adam', 1e-3, 1e-4, 210, STEPS, 500, 0.001),
    'simcc/simdr_*': ('Adam', 1e-3, 0, 210, STEPS, 500, 0.001),
    'simcc/simcc_*aic-coco*': ('AdamW', 4e-3, 0, 420, COSINE, 1000, 1e-5),
    'simcc/simcc_*_1xb64*': ('Adam', 5e-4, 0, 210, STEPS, 500, 0.001),
    'simcc_rle/*': ('Adam', 5e-4, 0, 210, STEPS, 500, 0.001),
    'rle/rle_*-075_1xb64-210e*': ('Adam', 1e-3, 0, 210, STEPS, 500, 0.001),
    'rle/rle_shuffle*': ('Adam', 1e-3, 0, 210, STEPS, 500, 0.001),
    'heatmap_pretrain/msra*': ('Adam', 5e-4, 0, 210, STEPS, 500, 0.001),
    'heatmap_pretrain/udp*192x192': ('Adam', 5e-4, 0, 210, HALF_COSINE, 1000, 1e-5),
    'heatmap_pretrain/udp*256x192': ('AdamW', 4e-3, 0, 210, HALF_COSINE, 1000, 1e-5),
}


@pytest.mark.parametrize('pattern', RECIPES)
def test_recipes(pattern):
    kind, lr, decay, epochs, (second_type, second_how), warm_up, factor = RECIPES[pattern]
    paths = sorted(CONFIGS.glob(f'{pattern}.py'))
    assert paths
    for path in paths:
        config = load(f'{path.parent.name}/{path.stem}')
        optimizer = config.optim_wrapper.optimizer
        assert (optimizer.type, optimizer.lr) == (kind, lr), path
        assert optimizer.get('weight_decay', 0) == decay
        clips = pattern == 'simcc/simcc_*aic-coco*'
        assert config.optim_wrapper.get('clip_grad') == ({'max_norm': 10} if clips else None)
        assert config.train_cfg.max_epochs == epochs
        first, second = config.param_scheduler
        assert (first.type, first.begin, first.end) == ('LinearLR', 0, warm_up)
        assert (first.start_factor, first.by_epoch) == (factor, False)
        assert (second.type, second.by_epoch, second.end) == (second_type, True, epochs)
        if second.type == 'MultiStepLR':
            assert (second.milestones, second.gamma) == (second_how, 0.1)
        else:
            assert (second.begin, second.end, second.eta_min) == second_how
            assert second.T_max == second.end - second.begin
            assert second.convert_to_iter_based
        # the notebook's SimDR* and MMPose's ShuffleNetV2 take ImageNet's mean
        imagenet = 'simdr' in path.name or '8xb64' in path.name
        mean = config.model.data_preprocessor.mean
        assert mean == ([123.675, 116.28, 103.53] if imagenet else [128.0] * 3)


@pytest.mark.parametrize(
    ('variant', 'weights', 'branch'),
    [
        ('simcc-rle', (1.0, 0.01), 'simcc'),
        ('simcc-rle-1to1', (1.0, 1.0), 'rle'),
        ('simcc-rle-10to1', (10.0, 1.0), 'rle'),
    ],
)
def test_factors_of_simcc_and_rle_and_the_branch_that_predicts(variant, weights, branch):
    config = load(f'simcc_rle/{variant}_mobilenetv2-075_1xb64-210e_coco-192x192')
    model = MODELS.build(config.model)
    assert (model.head.simcc_weight, model.head.rle_weight) == weights
    assert model.test_cfg['branch'] == branch


@pytest.mark.parametrize(
    'pattern', ['simcc/simdr*', 'simcc/simcc_[ms]*_1xb*', 'heatmap_pretrain/*']
)
def test_codecs(pattern):
    for path in CONFIGS.glob(f'{pattern}.py'):
        config = load(f'{path.parent.name}/{path.stem}')
        codec, head = config.codec, config.model.head
        if codec.type == 'SimCCLabel':
            simdr, joint = 'simdr' in path.name, 'aic-coco' in path.name
            stride = 4 if simdr else 32
            assert head.in_featuremap_size == tuple(side // stride for side in codec.input_size)
            assert head.simcc_split_ratio == codec.simcc_split_ratio == 2
            assert head.deconv_out_channels is None
            assert codec.sigma == (4.0 if simdr else (4.9, 4.9) if joint else 6.0)
            assert codec.get('normalize', True) is not joint
            if simdr:
                width = int(path.name.split('hrnet-w')[1][:2])
                assert config.model.backbone.extra.stage4.num_channels[0] == width
                assert head.in_channels == width
        else:
            udp = path.name.startswith('udp')
            assert (codec.type, codec.sigma) == ('UDPHeatmap' if udp else 'MSRAHeatmap', 2)
            assert codec.heatmap_size == tuple(side // 4 for side in codec.input_size)
            assert config.model.test_cfg.shift_heatmap is not udp
            for loader in (config.train_dataloader, config.val_dataloader):
                (affine,) = [s for s in loader.dataset.pipeline if s.type == 'TopdownAffine']
                assert affine.get('use_udp', False) is udp
        hooks = [h for h in config.get('custom_hooks', []) if 'PipelineSwitch' in h.type]
        assert len(hooks) == ('aic-coco' in path.name)
        for hook in hooks:
            assert hook.switch_epoch == config.train_cfg.max_epochs - 30


@pytest.mark.parametrize(
    ('name', 'split', 'smoothing'),
    [
        ('simcc/simdr_hrnet-w32_3xb64-210e_coco-256x192', 2, 0.1),
        ('low_resolution/simdr_hrnet-w32_3xb64-210e_coco-128x128', 2, 0.2),
        ('low_resolution/simdr_hrnet-w32_3xb64-210e_coco-128x96', 2, 0.1),
        ('low_resolution/simdr_hrnet-w32_3xb64-210e_coco-64x64', 3, 0.1),
    ],
)
def test_simdr_is_the_cross_entropy_with_one_bin(name, split, smoothing):
    """SimDR* has Gaussians in its place; the gradient is that of the smoothed cross-entropy."""
    config = load(name)
    codec = KEYPOINT_CODECS.build(config.codec)
    point = np.array([[[10.3, 20.6]]], np.float32)
    encoded = codec.encode(point, np.ones((1, 1), np.float32))
    bins = [round(split * side) for side in config.codec.input_size]
    loss = MODELS.build(config.model.head.loss)
    vectors = [torch.randn(1, 1, count, dtype=torch.float64) for count in bins]
    for vector in vectors:
        vector.requires_grad_()
    targets = [torch.from_numpy(encoded[f'keypoint_{axis}_labels']).double() for axis in 'xy']
    loss(vectors, targets, torch.ones(1, 1, dtype=torch.float64)).backward()
    for vector, count, place in zip(vectors, bins, point[0, 0], strict=True):
        by_hand = torch.full((1, count), smoothing / (count - 1), dtype=torch.float64)
        by_hand[0, round(split * float(place))] = 1 - smoothing
        again = vector.detach().clone().requires_grad_()
        torch.nn.functional.cross_entropy(again[0], by_hand).backward()
        torch.testing.assert_close(vector.grad * count, again.grad, rtol=0, atol=1e-7)
