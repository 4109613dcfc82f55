"""A chain of two real trainings that is killed after the first and goes on."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from mmengine.runner import CheckpointLoader

CHAINS = """
small:
  stages:
  - config: first.py
  - config: second.py
    takes: backbone
"""
STAGE = """
_base_ = '{base}'
model = dict(backbone=dict(widen_factor=0.25))
train_cfg = dict(max_epochs=1)
optim_wrapper = dict(optimizer=dict(lr={lr}))
train_dataloader = dict(batch_size=3, num_workers=0, persistent_workers=False)
val_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_best=None))
randomness = dict(seed={seed})
"""


@pytest.mark.slow
def test_a_chain_that_is_killed_after_its_first_stage_goes_on(root, miniature, tmp_path):
    # Two iterations each, seeds of their own. The second stage does not learn, so that it ends
    # with the weights that it started from.
    heatmaps = root / 'configs/heatmap_pretrain/msra_mobilenetv2-050_1xb64-210e_coco-192x192.py'
    rle = root / 'configs/rle/rle_mobilenetv2-050_1xb256-420e_coco-192x192.py'
    (tmp_path / 'first.py').write_text(STAGE.format(base=heatmaps, lr=0.1, seed=1))
    (tmp_path / 'second.py').write_text(STAGE.format(base=rle, lr=0.0, seed=2))
    (tmp_path / 'chains.yml').write_text(CHAINS)
    work = tmp_path / 'a work dir'
    command = [sys.executable, '-m', 'rlepose_ext.cli.main', 'chain', 'small']
    command += [
        '--file',
        str(tmp_path / 'chains.yml'),
        '--work-dir',
        str(work),
        '--cfg-options',
        'model.backbone.init_cfg=None',
    ]
    env = {**os.environ, 'RLEPOSE_DATA': str(miniature), 'OMP_NUM_THREADS': '1'}

    log = (tmp_path / 'log.txt').open('w')
    with subprocess.Popen(
        command, env=env, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
    ) as chain:
        wait_until_done('first', work / 'chain.json', chain)
        os.killpg(chain.pid, signal.SIGKILL)
    log.close()
    first = work / 'first/epoch_1.pth'
    before = hashlib.sha256(first.read_bytes()).hexdigest()

    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert '[1/2] first: skip' in done.stdout
    assert hashlib.sha256(first.read_bytes()).hexdigest() == before
    start, end = (load(work / name / 'epoch_1.pth') for name in ('first', 'second'))
    backbone = {key for key in start if key.startswith('backbone.')}
    assert len(backbone) == len([key for key in end if key.startswith('backbone.')]) > 200
    learned = [key for key in backbone if 'running' not in key and 'num_batches' not in key]
    for key in learned:
        assert torch.equal(start[key], end[key]), key
    assert json.loads((work / 'chain.json').read_text())['stages']['second']['status'] == 'done'


def wait_until_done(stage, path, process):
    for _ in range(5000):
        # written whole or not at all
        if path.exists() and json.loads(path.read_text())['stages'][stage]['status'] == 'done':
            return
        assert process.poll() is None, (path.parent.parent / 'log.txt').read_text()[-3000:]
        time.sleep(0.02)
    pytest.fail('the first stage did not end')


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')['state_dict']
