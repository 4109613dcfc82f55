"""One config of each family through ``mim train mmpose`` and ``mim test mmpose -C``.

The front door, as the documents show it: two processes per family, two iterations of two
samples, one validation, a checkpoint, a test of it. Every config is in ``test_matrix.py``.
"""

import json
import math
import os
import subprocess
import sys

import pytest
from _miniature_data import draw
from mmengine.config import Config
from mmengine.registry import init_default_scope

pytestmark = pytest.mark.slow

SMALL = [
    'model.backbone.init_cfg=None',
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.indices=4',
    'default_hooks.logger.interval=1',
    *(
        f'{split}_dataloader.{option}'
        for split in ('train', 'val', 'test')
        for option in ('num_workers=0', 'persistent_workers=False')
    ),
]
# Mosaics of 128 px instead of 640.
SMALL_MOSAICS = [
    'train_dataloader.dataset.pipeline.1.img_scale=(128,128)',
    *(
        f'{key}.input_size=(128,128)'
        for key in (
            'model.head.decoder',
            'train_dataloader.dataset.pipeline.2',
            'train_dataloader.dataset.pipeline.6.encoder',
            'val_dataloader.dataset.pipeline.1',
            'test_dataloader.dataset.pipeline.1',
        )
    ),
]
# config, options of the test, metrics that it must give
FAMILIES = {
    'rle': ('configs/rle/rle_alexnet_8xb64-210e_coco-256x192.py', [], ['coco/AP']),
    'poseur': ('configs/poseur/poseur_res50_8xb32-325e_coco-256x192.py', [], ['coco/AP']),
    'skps': (
        'configs/skps/td-hm_hrnetv2-w18_skps-1xb64-80e_wflw-256x256.py',
        [],
        ['NME', 'NME_blur'],
    ),
    'simcc_rle': (
        'configs/simcc_rle/simcc-rle_mobilenetv2-075_1xb64-210e_coco-192x192.py',
        ['model.test_cfg.sigma_scores=True'],
        ['coco/AP'],
    ),
    'hrnet_lite': (
        'configs/hrnet_lite/gcn_hrnetlite-parallel_1xb64-210e_coco-256x192.py',
        [],
        ['coco/AP'],
    ),
    # over a stock config, whose paths begin with data/ and are moved to RLEPOSE_DATA
    'integral': (
        'configs/integral/ipr_mobilenetv2-075_8xb64-210e_coco-256x256.py',
        [],
        ['coco/AP'],
    ),
    'movenet': (
        'configs/movenet/movenet_lightning_8xb64-120e_coco-192x192.py',
        ['model.test_cfg.flip_test=True'],
        ['coco/AP'],
    ),
    # whole pictures, all persons
    'movenet_multipose': (
        'configs/movenet/movenet_multipose_8xb16-140e_coco-384x384.py',
        [],
        ['coco/AP'],
    ),
    # no backbone that learns
    'tokenpose': (
        'configs/tokenpose/tokenpose_t_4xb32-300e_coco-256x192.py',
        ['model.test_cfg.flip_test=True'],
        ['coco/AP'],
    ),
    'yolopose': (
        'configs/yolopose/yolopose_yolov5s6_4xb16-300e_coco-640x640.py',
        [],
        ['coco/AP'],
    ),
    'adaptivepose': (
        'configs/adaptivepose/adaptivepose_hrnet-w32_8xb8-280e_coco-512x512.py',
        [],
        ['coco/AP'],
    ),
    'adaptivepose_crowdpose': (
        'configs/adaptivepose/adaptivepose_hrnet-w48_8xb8-280e_crowdpose-640x640.py',
        [],
        ['crowdpose/AP'],
    ),
    'quant': (
        'configs/quant/rle-qat_mobilenetv2-050_1xb64-10e_lsp-192x192.py',
        [],
        ['PCK@0.2/PCK'],
    ),
    'lip': ('configs/lip/heatmap-sigmoid_res18_1xb32-20e_lip-256x256.py', [], ['PCKh/Total']),
}

# HRNet at 512 and 640 px wants more memory and time than a test has.
AT_128 = [
    *(
        f'{codec}.{size}'
        for codec in ('model.head.decoder', 'train_dataloader.dataset.pipeline.4.encoder')
        for size in ('input_size=(128,128)', 'heatmap_size=(32,32)')
    ),
    'train_dataloader.dataset.pipeline.2.input_size=(128,128)',
    'val_dataloader.dataset.pipeline.1.input_size=(128,128)',
    'test_dataloader.dataset.pipeline.1.input_size=(128,128)',
]
SMALLER = {
    'adaptivepose': AT_128,
    'adaptivepose_crowdpose': AT_128,
    'yolopose': SMALL_MOSAICS,
}
# further options of the training
OPTIONS = {'quant': ['model.quant.batches=1', 'load_from=None']}


def mim(root, data, command, config, *arguments):
    done = subprocess.run(
        [sys.executable, '-m', 'mim', command, 'mmpose', config, *map(str, arguments)],
        cwd=root,
        env={**os.environ, 'RLEPOSE_DATA': str(data), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize('family', FAMILIES)
def test_mim_trains_and_tests(family, root, tmp_path, monkeypatch):
    config, test_options, metrics = FAMILIES[family]
    small = [*SMALL, *SMALLER.get(family, ())]
    data = tmp_path / 'data'
    monkeypatch.setenv('RLEPOSE_DATA', str(data))
    init_default_scope('mmpose')
    draw(Config.fromfile(root / config), data)
    options = [*small, *OPTIONS.get(family, ())]
    where = ['--work-dir', tmp_path / 'work']
    log = mim(root, data, 'train', config, *where, '--cfg-options', *options)
    assert log.count('Epoch(train) [1][') == 2
    assert 'Epoch(val) [1]' in log
    checkpoint = tmp_path / 'work/epoch_1.pth'
    assert checkpoint.is_file()

    out = tmp_path / 'metrics.json'
    where = ['-C', checkpoint, '--work-dir', tmp_path / 'test', '--out', out]
    mim(root, data, 'test', config, *where, '--cfg-options', *small, *test_options)
    measured = json.loads(out.read_text())
    for name in metrics:
        assert math.isfinite(measured[name]), name
