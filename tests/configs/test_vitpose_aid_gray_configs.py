"""configs/vitpose, aid and gray: what they change, and grey before and after a conversion."""

import numpy as np
import pytest
import torch
from config_case import CONFIGS, load, load_stock, plain, steps
from mmengine.config import Config
from mmpose.registry import DATASETS, MODELS

from rlepose_ext.convert import gray


def names(pattern):
    return sorted(f'{path.parent.name}/{path.stem}' for path in CONFIGS.glob(f'{pattern}.py'))


@pytest.mark.parametrize('name', names('vitpose/*'))
def test_vitpose_is_stock_but_for_the_backbone(name):
    ours = Config.fromfile(CONFIGS / f'{name}.py')
    stock = load_stock('topdown_heatmap/coco/td-hm_ViTPose-' + name.split('_vitpose-')[1])
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


@pytest.mark.parametrize('name', names('aid/*step2*'))
def test_second_step_of_aid_is_the_first_and_cutout(name):
    second = Config.fromfile(CONFIGS / f'{name}.py')
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


@pytest.mark.parametrize('name', names('gray/*'))
def test_grey_where_it_belongs(name):
    config = Config.fromfile(CONFIGS / f'{name}.py')
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


def batch_of(config):
    """Two persons of the drawn COCO, in the config's own pipeline."""
    dataset = DATASETS.build(config.val_dataloader.dataset)
    samples = [dataset[0], dataset[1]]
    return {key: [sample[key] for sample in samples] for key in samples[0]}


def predict(model, data):
    model.eval()
    with torch.no_grad():
        return model(**model.data_preprocessor(data, False), mode='predict')


@pytest.mark.slow
def test_converted_rgb_model_predicts_as_before_on_grey(miniature, monkeypatch):
    """A whole pose model: the RGB one on grey in three channels, its conversion on one."""
    monkeypatch.setenv('RLEPOSE_DATA', str(miniature))
    three = load('gray/rle_res50-graytest_8xb64-210e_coco-256x192')
    one = load('gray/rle_res50-gray1_8xb64-210e_coco-256x192')
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
        samples = predict(model, batch_of(config))
        found.append(np.concatenate([sample.pred_instances.keypoints for sample in samples]))
    # the border alone differs, by zero padding that stands for another grey
    difference = np.abs(found[0] - found[1]).max()
    assert np.ptp(found[0]) > 100
    assert difference < 0.3  # px; 0.07 was seen
