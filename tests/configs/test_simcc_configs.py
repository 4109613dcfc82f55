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


@pytest.mark.parametrize(('variant', 'weights', 'branch'), [
    ('simcc-rle', (1.0, 0.01), 'simcc'),
    ('simcc-rle-1to1', (1.0, 1.0), 'rle'),
    ('simcc-rle-10to1', (10.0, 1.0), 'rle'),
])  # fmt: skip
def test_factors_of_simcc_and_rle_and_the_branch_that_predicts(variant, weights, branch):
    config = load(f'simcc_rle/{variant}_mobilenetv2-075_1xb64-210e_coco-192x192')
    model = MODELS.build(config.model)
    assert (model.head.simcc_weight, model.head.rle_weight) == weights
    assert model.test_cfg['branch'] == branch


@pytest.mark.parametrize(('name', 'split', 'smoothing'), [
    ('simcc/simdr_hrnet-w32_3xb64-210e_coco-256x192', 2, 0.1),
    ('low_resolution/simdr_hrnet-w32_3xb64-210e_coco-128x128', 2, 0.2),
    ('low_resolution/simdr_hrnet-w32_3xb64-210e_coco-128x96', 2, 0.1),
    ('low_resolution/simdr_hrnet-w32_3xb64-210e_coco-64x64', 3, 0.1),
])  # fmt: skip
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
