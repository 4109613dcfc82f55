"""Leaves over MMPose's own configs: what they change, their quoted figures and weights."""

from pathlib import Path

import pytest
import yaml
from config_case import CONFIGS, STOCK, load, load_stock, plain
from mmengine.config import Config

HM = 'topdown_heatmap/coco/td-hm_'
IPR = 'integral_regression/coco/ipr_res50_'
CROWDPOSE = 'crowdpose/td-hm_hrnet-w32_8xb64-210e_crowdpose-256x192'
# leaf: MMPose's config, quoted main metric
LEAVES = {
    'hrnet/heatmap_hrnet-w32_8xb64-210e_coco-256x192': (
        f'{HM}hrnet-w32_8xb64-210e_coco-256x192', 0.746),
    'hrnet/heatmap_hrnet-w48_8xb32-210e_coco-256x192': (
        f'{HM}hrnet-w48_8xb32-210e_coco-256x192', 0.756),
    'hrnet/heatmap_hrnet-w32_8xb64-210e_coco-384x288': (
        f'{HM}hrnet-w32_8xb64-210e_coco-384x288', 0.760),
    'hrnet/heatmap_hrnet-w48_8xb32-210e_coco-384x288': (
        f'{HM}hrnet-w48_8xb32-210e_coco-384x288', 0.767),
    'hrnet/heatmap_hrnet-w32-udp_8xb64-210e_coco-256x192': (
        f'{HM}hrnet-w32_udp-8xb64-210e_coco-256x192', 0.762),
    'hrnet/heatmap_hrnet-w48-udp_8xb32-210e_coco-256x192': (
        f'{HM}hrnet-w48_udp-8xb32-210e_coco-256x192', 0.768),
    'hrnet/heatmap_hrnet-w32-udp-regress_8xb64-210e_coco-256x192': (
        f'{HM}hrnet-w32_udp-regress-8xb64-210e_coco-256x192', 0.759),
    'hrnet/heatmap_litehrnet-18_8xb64-210e_coco-256x192': (
        f'{HM}litehrnet-18_8xb64-210e_coco-256x192', 0.642),
    'hrnet/heatmap_litehrnet-30_8xb64-210e_coco-256x192': (
        f'{HM}litehrnet-30_8xb64-210e_coco-256x192', 0.676),
    'hrformer/heatmap_hrformer-small_8xb32-210e_coco-256x192': (
        f'{HM}hrformer-small_8xb32-210e_coco-256x192', 0.738),
    'hrformer/heatmap_hrformer-small_8xb32-210e_coco-384x288': (
        f'{HM}hrformer-small_8xb32-210e_coco-384x288', 0.757),
    'hrformer/heatmap_hrformer-base_8xb32-210e_coco-256x192': (
        f'{HM}hrformer-base_8xb32-210e_coco-256x192', 0.754),
    'hrformer/heatmap_hrformer-base_8xb32-210e_coco-384x288': (
        f'{HM}hrformer-base_8xb32-210e_coco-384x288', 0.774),
    'dekr/dekr-rescore_hrnet-w32_8xb10-140e_coco-512x512': (
        'dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512', 0.686),
    'dekr/dekr-rescore_hrnet-w48_8xb10-140e_coco-640x640': (
        'dekr/coco/dekr_hrnet-w48_8xb10-140e_coco-640x640', 0.714),
    'dekr/dekr-rescore-multiscale_hrnet-w32_8xb10-140e_coco-512x512': (
        'dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512', 0.707),
    'dekr/dekr-rescore-multiscale_hrnet-w48_8xb10-140e_coco-640x640': (
        'dekr/coco/dekr_hrnet-w48_8xb10-140e_coco-640x640', 0.723),
    'crowdpose/dekr-rescore_hrnet-w32_8xb10-300e_crowdpose-512x512': (
        'dekr/crowdpose/dekr_hrnet-w32_8xb10-300e_crowdpose-512x512', 0.663),
    'crowdpose/heatmap_hrnet-w32_8xb64-210e_crowdpose-256x192': (
        f'topdown_heatmap/{CROWDPOSE}', 0.675),
    'mpii/heatmap_hrnet-w32_8xb64-210e_mpii-256x256': (
        'topdown_heatmap/mpii/td-hm_hrnet-w32_8xb64-210e_mpii-256x256', 0.900),
    'ochuman/heatmap_hrnet-w32_8xb64-210e_coco-ochuman-256x192': (
        f'{HM}hrnet-w32_8xb64-210e_coco-256x192', None),
    'integral/integral_res50_8xb64-210e_coco-256x256': (
        f'{IPR}8xb64-210e_coco-256x256', 0.633),
    'integral/dsnt_res50_8xb64-210e_coco-256x256': (
        f'{IPR}dsnt-8xb64-210e_coco-256x256', 0.674),
    'integral/debiased_res50_8xb64-210e_coco-256x256': (
        f'{IPR}debias-8xb64-210e_coco-256x256', None),
    'simcc/simcc_res50-deconv_8xb64-210e_coco-256x192': (
        'simcc/coco/simcc_res50_8xb64-210e_coco-256x192', 0.721),
    'simcc/simcc_mobilenetv2-100_8xb64-210e_coco-256x192': (
        'simcc/coco/simcc_mobilenetv2_wo-deconv-8xb64-210e_coco-256x192', 0.620),
    'rtmpose/rtmpose_cspnext-m_8xb256-420e_coco-256x192': (
        'rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192', 0.746),
    'yoloxpose/yoloxpose_cspdarknet-s_8xb32-300e_coco-640x640': (
        'yoloxpose/coco/yoloxpose_s_8xb32-300e_coco-640', 0.641),
}  # fmt: skip
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
    theirs = plain(load_stock(LEAVES[leaf][0])._cfg_dict)
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
    for leaf, (stock, ap) in LEAVES.items():
        family, name = leaf.split('/')
        metafile = yaml.safe_load((CONFIGS / family / 'metafile.yml').read_text())
        (entry,) = [model for model in metafile['Models'] if model['Name'] == name]
        if family == 'ochuman':  # figures of version 0.x
            assert entry['Results'][0]['Dataset'] == 'OCHuman'
            continue
        if ap is None:
            assert not {'Results', 'Weights'} & entry.keys()
            continue
        if 'multiscale' in name:  # which MMPose 1.x cannot
            assert entry['Metadata']['Quoted From'].startswith("the paper's code")
            assert entry['Results'][0]['Metrics']['AP'] == ap
            assert 'Weights' not in entry
            continue
        zoo = theirs[Path(stock).name]
        assert entry['Metadata']['Quoted From'] == "MMPose's model zoo"
        assert entry['Results'][0]['Dataset'] == zoo['Results'][0]['Dataset']
        # MMPose's file calls CrowdPose's hard images (L), as if they were COCO's large persons.
        metrics = {k.replace('(L)', '(H)'): v for k, v in zoo['Results'][0]['Metrics'].items()}
        assert entry['Results'][0]['Metrics'] == metrics
        assert ap in entry['Results'][0]['Metrics'].values()
        assert entry['Weights'] == zoo['Weights']
        assert entry['Metadata']['Weights License'] == 'Apache-2.0'


def test_yoloxpose_has_the_same_hooks_but_one():
    name = 'yoloxpose/yoloxpose_cspdarknet-s_8xb32-300e_coco-640x640'
    mine = plain(load(name).custom_hooks)
    theirs = plain(load_stock(LEAVES[name][0]).custom_hooks)
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
