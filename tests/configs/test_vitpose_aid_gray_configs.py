"""configs/vitpose, aid, low_resolution and gray: totals, sizes, pipelines, schedules, one step."""

from pathlib import Path

import mmpose
import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS

from rlepose_ext.convert import gray
from rlepose_ext.models.count import count_parameters

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
STOCK = Path(mmpose.__file__).parent / '.mim/configs/body_2d_keypoint/topdown_heatmap/coco'
# HRNet-W32 without a head, its last map of 17 channels, the linear layers of SimCC
HRNET, MAPS = 28_535_552, 17 * 33
DECONV = 256 * 256 * 16 + 2 * 256 + 2 * 256  # the second one, both normalisations
TOTALS = {
    'vitpose/heatmap_vitpose-small_8xb64-210e_coco-256x192': 21_663_360
    + 384 * 256 * 16
    + DECONV
    + 17 * 257,
    'vitpose/heatmap_vitpose-base_8xb64-210e_coco-256x192': 89_993_745,
    'vitpose/heatmap_vitpose-base-simple_8xb64-210e_coco-256x192': 85_794_048 + 17 * (9 * 768 + 1),
    # three maps a joint
    'aid/aid_hrnet-w32-udp-step1_8xb48-210e_coco-256x192': HRNET + 3 * MAPS,
    'aid/aid_hrnet-w32-udp-step2_8xb48-150e_coco-256x192': HRNET + 3 * MAPS,
    'aid/aid_simcc-hrnetlite-step2_1xb32-150e_coco-256x192': 10_439_601,
    # width and height of the map, bins
    'low_resolution/simdr_hrnet-w32_3xb64-210e_coco-64x64': HRNET
    + MAPS
    + (16 * 16 + 1) * (192 + 192),
    'low_resolution/simdr_hrnet-w32_3xb64-210e_coco-128x128': HRNET
    + MAPS
    + (32 * 32 + 1) * (256 + 256),
    'low_resolution/simdr_hrnet-w32_3xb64-210e_coco-128x96': HRNET
    + MAPS
    + (24 * 32 + 1) * (192 + 256),
    'low_resolution/heatmap_hrnet-w32_8xb64-210e_coco-64x64': HRNET + MAPS,
    'low_resolution/heatmap_hrnet-w32_8xb64-210e_coco-128x128': HRNET + MAPS,
    'low_resolution/rle_res50_8xb64-210e_coco-64x64': 23_647_364,
    'low_resolution/rle_res50_8xb64-210e_coco-128x128': 23_647_364,
    # two of three channels of the first kernels less
    'gray/rle_res50-gray1_8xb64-210e_coco-256x192': 23_647_364 - 2 * 64 * 49,
    'gray/rle_res50-gray3_8xb64-210e_coco-256x192': 23_647_364,
    'gray/rle_res50-graytest_8xb64-210e_coco-256x192': 23_647_364,
    'gray/simcc_hrnetlite-gray1_1xb32-210e_coco-256x192': 10_439_601 - 2 * 64 * 9,
}
FAMILIES = sorted({name.split('/')[0] for name in TOTALS})
# Cheap ones of each kind; the others are in `make test-slow`.
QUICK = (
    'low_resolution/simdr_hrnet-w32_3xb64-210e_coco-64x64',
    'gray/rle_res50-gray1_8xb64-210e_coco-256x192',
)


def load(name):
    init_default_scope('mmpose')
    return Config.fromfile(CONFIGS / f'{name}.py')


def without_downloads(config):
    config.model.backbone.init_cfg = None
    return config


def dicts(node):
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from dicts(value)


def plain(node):
    """Without the scope that MMEngine writes into what it takes from mmpose's configs."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items() if key != '_scope_'}
    return [plain(value) for value in node] if isinstance(node, (list, tuple)) else node


def steps(config, split):
    return {step.type: step for step in config[f'{split}_dataloader'].dataset.pipeline}


def test_every_config_has_a_total():
    found = {
        f'{path.parent.name}/{path.stem}' for f in FAMILIES for path in CONFIGS.glob(f'{f}/*.py')
    }
    assert found == set(TOTALS)


@pytest.mark.parametrize('name', TOTALS)
def test_totals(name):
    with torch.device('meta'):
        model = MODELS.build(without_downloads(load(name)).model)
    assert count_parameters(model) == TOTALS[name]


@pytest.mark.parametrize('family', FAMILIES)
def test_metafiles(family):
    content = yaml.safe_load((CONFIGS / family / 'metafile.yml').read_text())
    readme = (CONFIGS / family / 'README.md').read_text()
    models = {model['Name']: model for model in content['Models']}
    assert set(models) == {name.split('/')[1] for name in TOTALS if name.startswith(f'{family}/')}
    for name, model in models.items():
        meta = model['Metadata']
        assert meta['Parameters'] == TOTALS[f'{family}/{name}']
        assert ('Quoted From' in meta) == ('Results' in model)
        assert ('Weights License' in meta) == ('Weights' in model)
        if 'Results' in model and family != 'gray':
            figure = f'{100 * model["Results"][0]["Metrics"]["AP"]:.1f}'
            assert f'AP {figure}' in (CONFIGS / family / f'{name}.py').read_text()
        assert name in readme


@pytest.mark.parametrize('name', [name for name in TOTALS if name.startswith('low_resolution')])
def test_sizes_follow_the_name(name):
    config = load(name)
    height, width = (int(side) for side in name.rsplit('-', 1)[1].split('x'))
    assert tuple(config.codec.input_size) == (width, height)
    assert plain(config.model.head.decoder) == plain(config.codec)
    head = config.model.head
    if head.type == 'SimCCHead':
        assert tuple(head.input_size) == (width, height)
        assert tuple(head.in_featuremap_size) == (width // 4, height // 4)
    if config.codec.type == 'MSRAHeatmap':
        assert tuple(config.codec.heatmap_size) == (width // 4, height // 4)
    for split in ('train', 'val', 'test'):
        assert tuple(steps(config, split)['TopdownAffine'].input_size) == (width, height)
    assert plain(steps(config, 'train')['GenerateTarget'].encoder) == plain(config.codec)


@pytest.mark.parametrize('name', [name for name in TOTALS if name.startswith('vitpose')])
def test_vitpose_is_stock_but_for_the_backbone(name):
    ours = load(name)
    stock_name = 'td-hm_ViTPose-' + name.split('_vitpose-')[1]
    stock = Config.fromfile(STOCK / f'{stock_name}.py')
    theirs = stock.model.pop('backbone')
    mine = ours.model.pop('backbone')
    assert theirs.type == 'mmpretrain.VisionTransformer'
    for key in ('drop_path_rate', 'patch_size', 'qkv_bias', 'init_cfg'):
        assert mine.get(key, {'patch_size': 16, 'qkv_bias': True}.get(key)) == theirs[key], key
    assert (tuple(mine.img_size), theirs.patch_cfg) == (tuple(theirs.img_size), {'padding': 2})
    assert theirs.with_cls_token is False
    imports = ours.custom_imports.pop('imports')
    assert set(imports) == {'rlepose_ext', *stock.custom_imports.pop('imports')}
    assert plain(ours._cfg_dict) == plain(stock._cfg_dict)
    # the number of layers by which learning rates decay is the number that there are
    model = MODELS.build({**mine, 'init_cfg': None})
    assert len(model.layers) == ours.optim_wrapper.paramwise_cfg.num_layers


@pytest.mark.parametrize('name', [name for name in TOTALS if 'step2' in name])
def test_second_step_of_aid_is_the_first_and_cutout(name):
    second = load(name)
    folder, file = second.load_from.split('/')[-2:]
    (path,) = CONFIGS.glob(f'*/{folder}.py')
    first = Config.fromfile(path)
    assert file == f'epoch_{first.train_cfg.max_epochs}.pth' == 'epoch_210.pth'
    # the checkpoint is there after step 1
    assert 210 % first.default_hooks.checkpoint.interval == 0
    assert second.train_cfg.max_epochs == 150
    assert second.param_scheduler[1].milestones == [100, 140]
    assert first.param_scheduler[1].milestones == [170, 200]
    before, after = (c.train_dataloader.dataset.pipeline for c in (first, second))
    assert [step for step in after if step.type != 'rlepose_ext.AIDCutout'] == before
    order = [step.type for step in after]
    assert order[order.index('TopdownAffine') + 1] == 'rlepose_ext.AIDCutout'
    for key in ('optim_wrapper', 'model', 'codec', 'val_dataloader', 'test_dataloader'):
        assert second[key] == first[key], key
    assert second.train_dataloader.batch_size == first.train_dataloader.batch_size
    assert second.auto_scale_lr == first.auto_scale_lr


def test_recipe_of_aid():
    config = load('aid/aid_hrnet-w32-udp-step1_8xb48-210e_coco-256x192')
    assert config.codec.heatmap_type == 'combined'
    assert plain(config.optim_wrapper.optimizer) == {'type': 'Adam', 'lr': 3e-3}
    assert 8 * config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == 384
    assert steps(config, 'train')['TopdownAffine'].use_udp


@pytest.mark.parametrize('name', [name for name in TOTALS if name.startswith('gray')])
def test_grey_where_it_belongs(name):
    config = load(name)
    kind = name.split('-')[1].split('_')[0]
    channels = {'gray1': 1, 'gray3': 3, 'graytest': 3}[kind]
    for split in ('train', 'val', 'test'):
        step = steps(config, split).get('rlepose_ext.ToGray')
        if kind == 'graytest' and split == 'train':
            assert step is None
            continue
        assert step.num_output_channels == channels
        order = list(steps(config, split))
        assert order[order.index('TopdownAffine') + 1] == 'rlepose_ext.ToGray'
        assert order[-1] == 'PackPoseInputs'
    preprocessor = config.model.data_preprocessor
    assert config.model.backbone.get('in_channels', 3) == (1 if kind == 'gray1' else 3)
    if kind == 'gray1':
        assert preprocessor.mean == [gray.luma_of(gray.IMAGENET_MEAN)]
        assert preprocessor.std == [gray.luma_of(gray.IMAGENET_STD)]
        assert preprocessor.bgr_to_rgb is False
        assert config.model.backbone.init_cfg.checkpoint.endswith('_gray.pth')
    else:
        assert tuple(preprocessor.mean) == gray.IMAGENET_MEAN
        assert tuple(preprocessor.std) == gray.IMAGENET_STD


def batch_of(config, split, miniature):
    """Two persons of the drawn COCO, in the config's own pipeline."""
    loader = config[f'{split}_dataloader']
    for part in dicts(loader.dataset):
        for key in ('data_root', 'bbox_file'):
            if key in part:
                part[key] = str(miniature / 'coco' / part[key].partition('coco/')[2])
    dataset = DATASETS.build(loader.dataset)
    samples = [dataset[0], dataset[1]]
    return {key: [sample[key] for sample in samples] for key in samples[0]}


def predict(model, data):
    model.eval()
    with torch.no_grad():
        return model(**model.data_preprocessor(data, False), mode='predict')


@pytest.mark.parametrize(
    'name', [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in TOTALS]
)
def test_one_step_and_one_prediction(name, miniature):
    config = without_downloads(load(name))
    model = MODELS.build(config.model)
    model.init_weights()
    model.train()
    data = batch_of(config, 'train', miniature)
    width, height = config.codec.input_size
    channels = config.model.backbone.get('in_channels', 3)
    assert data['inputs'][0].shape == (channels, height, width)
    losses, _ = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
    losses.backward()
    assert torch.isfinite(losses)
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    for sample in predict(model, batch_of(config, 'val', miniature)):
        assert sample.pred_instances.keypoints.shape == (1, 17, 2)
        assert np.isfinite(sample.pred_instances.keypoints).all()


def test_converted_rgb_model_predicts_as_before_on_grey(miniature):
    """A whole pose model: the RGB one on grey in three channels, its conversion on one."""
    three = without_downloads(load('gray/rle_res50-graytest_8xb64-210e_coco-256x192'))
    one = without_downloads(load('gray/rle_res50-gray1_8xb64-210e_coco-256x192'))
    rgb, mono = (MODELS.build(config.model) for config in (three, one))
    rgb.init_weights()
    for module in rgb.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
    mono.load_state_dict(gray.convert(rgb.state_dict()), strict=True)
    found = []
    for config, model in ((three, rgb), (one, mono)):
        # no flip test: one forward pass says as much
        model.test_cfg['flip_test'] = False
        samples = predict(model, batch_of(config, 'val', miniature))
        found.append(np.concatenate([sample.pred_instances.keypoints for sample in samples]))
    # the border alone differs, by zero padding that stands for another grey
    difference = np.abs(found[0] - found[1]).max()
    assert np.ptp(found[0]) > 100
    assert difference < 0.3  # px; 0.07 was seen
