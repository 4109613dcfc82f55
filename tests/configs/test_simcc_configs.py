"""SimCC, SimDR, ShuffleNetV2 and heatmap pre-training: totals, schedules, AIC's joints, sizes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import KEYPOINT_CODECS, MODELS, TRANSFORMS

from rlepose_ext.models.count import count_parameters

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
HEATMAP_HEAD = 7_345_937
# family, parameters, quoted AP in percent
TOTALS = {
    'simdr-star_hrnet-w32_3xb64-210e_coco-256x192': ('simcc', 31_289_521, None),
    'simdr-star_hrnet-w48_3xb64-210e_coco-256x192': ('simcc', 66_349_153, 75.4),
    'simdr_hrnet-w32_3xb64-210e_coco-256x192': ('simcc', 31_289_521, 75.3),
    'simdr_hrnet-w48_3xb64-210e_coco-256x192': ('simcc', 66_349_153, 75.9),
    'simcc_mobilenetv2-075_1xb64-210e_coco-192x192': ('simcc', 1_405_617, 55.79),
    'simcc_mobilenetv2-075_1xb64-210e_coco-256x192': ('simcc', 1_421_105, None),
    'simcc_mobilenetv2-075_1xb128-420e_aic-coco-192x192': ('simcc', 1_405_617, 58.60),
    'simcc_mobilenetv2-075_1xb128-420e_aic-coco-256x192': ('simcc', 1_421_105, 60.44),
    'simcc_mobilenetv2-100_1xb128-420e_aic-coco-256x192': ('simcc', 2_289_553, None),
    # backbone, 1x1 to 17 maps, 36 or 48 px to the bins of x and of y
    'simcc_shufflenetv2_1xb64-210e_coco-192x192': (
        'simcc', 1_253_604 + 17 * 1025 + 2 * 37 * 384, 51.73,
    ),
    'simcc_shufflenetv2_1xb64-210e_coco-256x192': (
        'simcc', 1_253_604 + 17 * 1025 + 49 * (384 + 512), None,
    ),
    'rle_mobilenetv2-075_1xb64-210e_coco-192x192': ('rle', 1_442_532, 55.28),
    'rle_shufflenetv2_1xb64-210e_coco-192x192': ('rle', 1_323_304, 50.96),
    'rle_shufflenetv2_8xb64-210e_coco-256x192': ('rle', 1_323_304, None),
    'msra_mobilenetv2-050_1xb64-210e_coco-192x192': (
        'heatmap_pretrain', 687_680 + HEATMAP_HEAD, 52.08,
    ),
    'msra_mobilenetv2-075_1xb64-210e_coco-192x192': (
        'heatmap_pretrain', 1_355_424 + HEATMAP_HEAD, 58.41,
    ),
    'msra_mobilenetv2-100_1xb64-210e_coco-256x192': (
        'heatmap_pretrain', 2_223_872 + HEATMAP_HEAD, 65.34,
    ),
    # 256 fewer channels into the first deconvolution
    'msra_shufflenetv2_8xb64-210e_coco-256x192': (
        'heatmap_pretrain', 1_253_604 + HEATMAP_HEAD - 256 * 256 * 16, 60.2,
    ),
    'udp_mobilenetv2-050_1xb128-210e_aic-coco-192x192': (
        'heatmap_pretrain', 687_680 + HEATMAP_HEAD, 53.32,
    ),
    'udp_mobilenetv2-075_1xb128-210e_aic-coco-192x192': (
        'heatmap_pretrain', 1_355_424 + HEATMAP_HEAD, 59.59,
    ),
    'udp_mobilenetv2-075_1xb128-210e_aic-coco-256x192': (
        'heatmap_pretrain', 1_355_424 + HEATMAP_HEAD, 63.71,
    ),
    'udp_mobilenetv2-100_1xb128-210e_aic-coco-256x192': (
        'heatmap_pretrain', 2_223_872 + HEATMAP_HEAD, 65.31,
    ),
}  # fmt: skip
JOINT = [name for name in TOTALS if 'aic-coco' in name]
# AI Challenger's joint, COCO's joint: systems.md, section 4.1
AIC_TO_COCO = {
    'right_shoulder': (0, 6), 'right_elbow': (1, 8), 'right_wrist': (2, 10),
    'left_shoulder': (3, 5), 'left_elbow': (4, 7), 'left_wrist': (5, 9),
    'right_hip': (6, 12), 'right_knee': (7, 14), 'right_ankle': (8, 16),
    'left_hip': (9, 11), 'left_knee': (10, 13), 'left_ankle': (11, 15),
}  # fmt: skip


def load(name):
    init_default_scope('mmpose')
    return Config.fromfile(CONFIGS / TOTALS[name][0] / f'{name}.py')


def plain(codec):
    # MMEngine marks what comes from `mmpose::` bases.
    return {key: value for key, value in codec.items() if key != '_scope_'}


def step_of(pipeline, kind):
    (step,) = [step for step in pipeline if step.type == kind]
    return step


@pytest.mark.parametrize('name', TOTALS)
def test_totals(name):
    model = load(name).model
    model.backbone.init_cfg = None
    with torch.device('meta'):
        model = MODELS.build(model)
    assert count_parameters(model) == TOTALS[name][1]


@pytest.mark.parametrize('name', TOTALS)
def test_files_say_the_quoted_figure_and_the_total(name):
    family, total, ap = TOTALS[name]
    header = (CONFIGS / family / f'{name}.py').read_text().split('_base_')[0]
    metafile = yaml.safe_load((CONFIGS / family / 'metafile.yml').read_text())
    (entry,) = [model for model in metafile['Models'] if model['Name'] == name]
    assert entry['Config'] == f'configs/{family}/{name}.py'
    assert entry['In Collection'] in {c['Name'] for c in metafile['Collections']}
    assert entry['Metadata']['Parameters'] == total
    if ap is None:
        assert 'Results' not in entry
        assert 'no published figure' in header
    else:
        assert entry['Results'][0]['Metrics']['AP'] == pytest.approx(ap / 100)
        on = 'COCO test-dev' if 'star' in name else 'COCO'
        assert entry['Results'][0]['Dataset'] == on
        assert entry['Metadata']['Quoted From']
        assert f'AP {ap:.2f}' in header or f'AP {ap}' in header


def test_every_aic_config_is_there():
    assert len(JOINT) == 7
    found = CONFIGS.glob('[shr]*/*aic-coco*.py')
    assert set(JOINT) <= {path.stem for path in found}


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


COCO_210 = ('Adam', 5e-4, 64, 210, ('MultiStepLR', [170, 200]), 500, 0.001)
RLE_210 = ('Adam', 1e-3, *COCO_210[2:])
SIMCC_420 = ('AdamW', 4e-3, 128, 420, ('CosineAnnealingLR', (210, 420, 2e-4)), 1000, 1e-5)
UDP_210 = ('AdamW', 4e-3, 128, 210, ('CosineAnnealingLR', (105, 210, 2e-4)), 1000, 1e-5)


def schedule_of(name):
    if name.startswith('udp'):
        return ('Adam', 5e-4, *UDP_210[2:]) if '192x192' in name else UDP_210
    if 'aic-coco' in name:
        return SIMCC_420
    return RLE_210 if name.startswith(('rle', 'simdr')) else COCO_210


@pytest.mark.parametrize('name', TOTALS)
def test_schedules(name):
    config = load(name)
    kind, lr, batch, epochs, decay, warm_up, factor = schedule_of(name)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr) == (kind, lr)
    # SimDR* is the notebook's, which decays weights
    assert optimizer.get('weight_decay', 0) == (1e-4 if name.startswith('simdr-star') else 0)
    clips = name.startswith('simcc') and 'aic-coco' in name
    assert config.optim_wrapper.get('clip_grad') == ({'max_norm': 10} if clips else None)
    assert config.train_dataloader.batch_size == batch
    gpus = int(name.split('xb')[0][-1])
    assert config.auto_scale_lr.base_batch_size == gpus * batch
    assert config.train_cfg.max_epochs == epochs
    first, second = config.param_scheduler
    assert (first.type, first.begin, first.end) == ('LinearLR', 0, warm_up)
    assert (first.start_factor, first.by_epoch) == (factor, False)
    assert second.type == decay[0]
    assert second.by_epoch
    assert second.end == epochs
    if second.type == 'MultiStepLR':
        assert (second.milestones, second.gamma) == (decay[1], 0.1)
    else:
        assert (second.begin, second.end, second.eta_min) == decay[1]
        assert second.T_max == second.end - second.begin
        assert second.convert_to_iter_based


@pytest.mark.parametrize('name', TOTALS)
def test_sizes_and_codec_are_the_same_everywhere(name):
    config = load(name)
    codec = config.codec
    height, width = map(int, name.rpartition('-')[2].split('x'))
    assert codec.input_size == (width, height)
    assert plain(config.model.head.decoder) == plain(codec)
    KEYPOINT_CODECS.build(codec)
    udp = True if name.startswith('udp') else None
    pipelines = [loader.dataset.pipeline for loader in (config.train_dataloader,
                 config.val_dataloader, config.test_dataloader)]  # fmt: skip
    hooks = [h for h in config.get('custom_hooks', []) if 'PipelineSwitch' in h.type]
    assert len(hooks) == ('aic-coco' in name)
    if hooks:
        assert hooks[0].switch_epoch == config.train_cfg.max_epochs - 30
        pipelines.append(hooks[0].switch_pipeline)
    for number, pipeline in enumerate(pipelines):
        affine = step_of(pipeline, 'TopdownAffine')
        assert affine.input_size == codec.input_size
        assert affine.get('use_udp') == udp
        if number in (0, 3):
            assert plain(step_of(pipeline, 'GenerateTarget').encoder) == plain(codec)
    if codec.type == 'SimCCLabel':
        head = config.model.head
        assert head.input_size == codec.input_size
        stride = 4 if name.startswith('simdr') else 32
        assert head.in_featuremap_size == tuple(side // stride for side in codec.input_size)
        assert head.simcc_split_ratio == codec.simcc_split_ratio == 2
        assert head.deconv_out_channels is None
        sigma = 4.0 if stride == 4 else (4.9, 4.9) if 'aic-coco' in name else 6.0
        assert codec.sigma == sigma
        assert codec.get('normalize', True) is ('aic-coco' not in name)
    elif 'Heatmap' in codec.type:
        assert codec.heatmap_size == (width // 4, height // 4)
        assert codec.sigma == 2
        assert codec.type == ('UDPHeatmap' if udp else 'MSRAHeatmap')
        assert config.model.test_cfg.shift_heatmap is (udp is None)


@pytest.mark.parametrize('name', TOTALS)
def test_inputs_are_scaled_as_the_author_did(name):
    mean = load(name).model.data_preprocessor.mean
    # SimDR* is the notebook's; two ShuffleNetV2 configs are MMPose's recipe
    imagenet = name.startswith('simdr') or '8xb64' in name
    assert mean == ([123.675, 116.28, 103.53] if imagenet else [128.0] * 3)


@pytest.mark.parametrize('kind', ['simdr', 'simdr-star'])
@pytest.mark.parametrize(('width', 'channels'), [('w32', 32), ('w48', 48)])
def test_simdr_reads_the_finest_map(kind, width, channels):
    config = load(f'{kind}_hrnet-{width}_3xb64-210e_coco-256x192')
    stages = config.model.backbone.extra
    for number in (2, 3, 4):
        assert stages[f'stage{number}'].num_channels == tuple(
            channels * 2**branch for branch in range(number)
        )
    assert config.model.head.type == 'SimCCHead'
    assert config.model.head.in_channels == channels
    assert f'hrnet_{width}-' in config.model.backbone.init_cfg.checkpoint


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
    init_default_scope('mmpose')
    config = Config.fromfile(CONFIGS / f'{name}.py')
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
