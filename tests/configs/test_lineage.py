"""What MMPose_Clean's trainings start from: heatmaps from ImageNet, the others from heatmaps."""

from pathlib import Path

import pytest
from mmengine.config import Config

from rlepose_ext.chain.table import read_chains

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ZOO = 'td-hm_shufflenetv2_8xb64-210e_coco-256x192'
# config without schedule: where its backbone comes from
STARTS = {
    'heatmap_pretrain/msra_mobilenetv2-050_*_coco-192x192': 'mobilenetv2-050_imagenet',
    'heatmap_pretrain/msra_mobilenetv2-075_*_coco-192x192': 'mobilenetv2-075_imagenet',
    'heatmap_pretrain/msra_mobilenetv2-100_*_coco-256x192': 'mmcls://mobilenet_v2',
    'heatmap_pretrain/udp_mobilenetv2-050_*_aic-coco-192x192': 'mobilenetv2-050_imagenet',
    'heatmap_pretrain/udp_mobilenetv2-075_*_aic-coco-192x192': 'mobilenetv2-075_imagenet',
    'heatmap_pretrain/udp_mobilenetv2-075_*_aic-coco-256x192': 'mobilenetv2-075_imagenet',
    'heatmap_pretrain/udp_mobilenetv2-100_*_aic-coco-256x192': 'mmcls://mobilenet_v2',
    # on AI Challenger + COCO
    'rle/rle_mobilenetv2-050_*_aic-coco-192x192': 'mobilenetv2-050_udp_aic-coco_',
    'rle/rle_mobilenetv2-075_*_aic-coco-192x192': 'mobilenetv2-075_udp_aic-coco_',
    'simcc/simcc_mobilenetv2-075_*_aic-coco-192x192': 'mobilenetv2-075_udp_aic-coco_',
    'simcc/simcc_mobilenetv2-075_*_aic-coco-256x192': 'mobilenetv2-075_udp_aic-coco-256x192_',
    'simcc/simcc_mobilenetv2-100_*_aic-coco-256x192': 'mobilenetv2-100_udp_aic-coco-256x192_',
    # on COCO alone, a year before there were UDP weights
    'rle/rle_mobilenetv2-075_*_coco-192x192': 'mobilenetv2-075_msra_coco_',
    'rle/rle_shufflenetv2_*_coco-192x192': ZOO,
    'simcc/simcc_mobilenetv2-075_*_coco-192x192': 'mobilenetv2-075_msra_coco_',
    'simcc/simcc_shufflenetv2_*_coco-192x192': ZOO,
    'simcc_rle/simcc-rle_*_coco-192x192': 'mobilenetv2-075_msra_coco_',
    'simcc_rle/simcc-rle-1to1_*_coco-192x192': 'mobilenetv2-075_msra_coco_',
    'simcc_rle/simcc-rle-10to1_*_coco-192x192': 'mobilenetv2-075_msra_coco_',
}
# a start: the config that trains it
MADE_BY = {
    'mobilenetv2-050_udp_aic-coco_': 'udp_mobilenetv2-050_1xb128-210e_aic-coco-192x192',
    'mobilenetv2-075_udp_aic-coco_': 'udp_mobilenetv2-075_1xb128-210e_aic-coco-192x192',
    'mobilenetv2-075_udp_aic-coco-256x192_': 'udp_mobilenetv2-075_1xb128-210e_aic-coco-256x192',
    'mobilenetv2-100_udp_aic-coco-256x192_': 'udp_mobilenetv2-100_1xb128-210e_aic-coco-256x192',
    'mobilenetv2-075_msra_coco_': 'msra_mobilenetv2-075_1xb64-210e_coco-192x192',
    ZOO: 'msra_shufflenetv2_8xb64-210e_coco-256x192',
}


def start_of(path):
    return Config.fromfile(path).model.backbone.init_cfg.checkpoint.removeprefix('weights/')


@pytest.fixture(autouse=True)
def _no_weights_elsewhere(monkeypatch):
    monkeypatch.delenv('RLEPOSE_WEIGHTS', raising=False)


@pytest.mark.parametrize('pattern', STARTS)
def test_starts(pattern):
    paths = list(CONFIGS.glob(f'{pattern}.py'))
    if '_coco' in pattern:
        paths = [path for path in paths if 'aic' not in path.name]
    (path,) = paths
    assert STARTS[pattern] in start_of(path)


@pytest.mark.parametrize('name', read_chains())
def test_a_chain_trains_what_its_last_config_starts_from(name):
    first, last = read_chains()[name].stages
    (start,) = [start for start in MADE_BY if start in start_of(last.config)]
    assert first.name == MADE_BY[start]
