"""Leaves over MMPose's own configs: what they change, their quoted figures and weights."""

import re
from pathlib import Path

import pytest
import yaml
from config_case import CONFIGS, STOCK, load, load_stock, plain
from mmengine.config import Config

FAMILIES = ('hrnet', 'hrformer', 'dekr', 'crowdpose', 'mpii', 'ochuman', 'integral', 'simcc',
            'rtmpose', 'yoloxpose')  # fmt: skip
BASE = re.compile(r"_base_ = \(?\s*'mmpose::body_2d_keypoint/([^']+)'(?:\s*'([^']+)')?")
# other tests have what changes more than these do
ELSEWHERE = ('crowdpose/shared12', 'crowdpose/heatmap_hrnet-w32-udp', 'simcc/simdr', 'integral/ipr')


def stock_of(path):
    """MMPose's config that a leaf builds on, if it builds on one."""
    found = BASE.search(path.read_text())
    return ''.join(part or '' for part in found.groups()).removesuffix('.py') if found else None


# leaf: MMPose's config
LEAVES = {
    f'{family}/{path.stem}': stock_of(path)
    for family in FAMILIES
    for path in sorted((CONFIGS / family).glob('*.py'))
    if stock_of(path) and not f'{family}/{path.stem}'.startswith(ELSEWHERE)
}
# What a leaf may say besides its base, as prefixes of keys; all others say nothing.
MULTISCALE = {
    'val_dataloader.dataset.pipeline',
    'test_dataloader.dataset.pipeline',
    'model.type',
    'model.data_preprocessor.type',
    'model.head.type',
    'model.test_cfg.multiscale_test',
    'model.test_cfg.multiscale_score_decrease',
    'model.test_cfg.nms_dist_thr',
}
CHANGES = {
    'dekr/dekr-rescore-multiscale_hrnet-w32_8xb10-140e_coco-512x512': MULTISCALE,
    'dekr/dekr-rescore-multiscale_hrnet-w48_8xb10-140e_coco-640x640': MULTISCALE,
    'integral/debiased_res50_8xb64-210e_coco-256x256': {'model.head.type'},
    'ochuman/heatmap_hrnet-w32_8xb64-210e_coco-ochuman-256x192': {
        'test_dataloader.dataset.type',
        'test_dataloader.dataset.data_root',
        'test_dataloader.dataset.ann_file',
        'test_dataloader.dataset.bbox_file',
        'test_dataloader.dataset.data_prefix.img',
        'test_evaluator.ann_file',
        'test_evaluator.prefix',
    },
    'rtmpose/rtmpose_cspnext-m_8xb256-420e_coco-256x192': {
        'train_dataloader.dataset.pipeline',
        'val_dataloader.dataset.bbox_file',
        'test_dataloader.dataset.bbox_file',
        'custom_hooks',
    },
    'yoloxpose/yoloxpose_cspdarknet-s_8xb32-300e_coco-640x640': {'custom_hooks'},
}
each = pytest.mark.parametrize('leaf', LEAVES)
# Variables of a leaf: MMEngine reads none of them.
PARTS = (
    'model', 'codec', 'train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper', 'param_scheduler',
    'auto_scale_lr', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'val_evaluator',
    'test_evaluator', 'default_hooks', 'custom_hooks', 'default_scope', 'env_cfg', 'visualizer',
    'log_processor', 'log_level', 'load_from', 'resume', 'randomness', 'find_unused_parameters',
)  # fmt: skip


def differences(mine, theirs, key=''):
    """Keys at which two plain configs differ, dotted; lists are compared as a whole."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for name in mine.keys() | theirs.keys():
            yield from differences(
                mine.get(name, ...), theirs.get(name, ...), f'{key}.{name}' if key else name
            )
    elif mine != theirs:
        yield key


@each
def test_a_leaf_is_mmposes_config(leaf):
    mine = plain(Config.fromfile(CONFIGS / f'{leaf}.py')._cfg_dict)
    theirs = plain(load_stock(LEAVES[leaf])._cfg_dict)
    mine, theirs = ({k: config[k] for k in PARTS if k in config} for config in (mine, theirs))
    assert set(differences(mine, theirs)) == CHANGES.get(leaf, set())


def wheels_entries():
    """MMPose's own model index: its metafiles, by name of the config."""
    entries = {}
    for path in (STOCK / 'body_2d_keypoint').rglob('*.yml'):
        for model in yaml.safe_load(path.read_text())['Models']:
            # one name in the wheel has a dash too many
            entries.setdefault(Path(model['Config']).stem.replace('--', '-'), model)
    return entries


def test_quoted_figures_and_weights_are_mmposes():
    theirs = wheels_entries()
    assert len(LEAVES) == 28
    for leaf, stock in LEAVES.items():
        family, name = leaf.split('/')
        metafile = yaml.safe_load((CONFIGS / family / 'metafile.yml').read_text())
        (entry,) = [model for model in metafile['Models'] if model['Name'] == name]
        if family == 'ochuman':  # figures of version 0.x
            assert entry['Results'][0]['Dataset'] == 'OCHuman'
            continue
        if family == 'integral' and 'debiased' in name:
            assert not {'Results', 'Weights'} & entry.keys()
            continue
        if 'multiscale' in name:  # which MMPose 1.x cannot
            assert entry['Metadata']['Quoted From'].startswith("the paper's code")
            assert entry['Results'][0]['Metrics']['AP'] == (0.707 if 'w32' in name else 0.723)
            assert 'Weights' not in entry
            continue
        zoo = theirs[Path(stock).name]
        assert entry['Metadata']['Quoted From'] == "MMPose's model zoo"
        assert entry['Results'][0]['Dataset'] == zoo['Results'][0]['Dataset']
        # MMPose's file calls CrowdPose's hard images (L), as if they were COCO's large persons.
        metrics = {k.replace('(L)', '(H)'): v for k, v in zoo['Results'][0]['Metrics'].items()}
        assert entry['Results'][0]['Metrics'] == metrics
        assert entry['Weights'] == zoo['Weights']
        assert entry['Metadata']['Weights License'] == 'Apache-2.0'


def test_yoloxpose_has_the_same_hooks_but_one():
    name = 'yoloxpose/yoloxpose_cspdarknet-s_8xb32-300e_coco-640x640'
    mine = plain(load(name).custom_hooks)
    theirs = plain(load_stock(LEAVES[name]).custom_hooks)
    assert theirs[1]['type'] == 'SyncNormHook'
    assert mine == [theirs[0], {'type': 'SyncBuffersHook'}, theirs[2]]


def test_rtmpose_has_the_same_augmentation_without_albumentations():
    config = load('rtmpose/rtmpose_cspnext-m_8xb256-420e_coco-256x192')
    first = config.train_dataloader.dataset.pipeline
    _, ema, switch = config.custom_hooks
    assert ema.type == 'EMAHook'
    assert (switch.type, switch.switch_epoch) == ('rlepose_ext.PipelineSwitchHook', 390)
    for pipeline, prob, rotation in ((first, 1.0, 80), (switch.switch_pipeline, 0.5, 60)):
        kinds = [step.type for step in pipeline]
        assert kinds == [
            'LoadImage', 'GetBBoxCenterScale', 'RandomFlip', 'RandomHalfBody',
            'RandomBBoxTransform', 'TopdownAffine', 'mmdet.YOLOXHSVRandomAug',
            'rlepose_ext.RandomBlur', 'rlepose_ext.RandomMedianBlur', 'rlepose_ext.RandomErase',
            'GenerateTarget', 'PackPoseInputs',
        ]  # fmt: skip
        assert pipeline[9].prob == prob
        assert pipeline[4].rotate_factor == rotation
