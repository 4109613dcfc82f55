"""``RLEPOSE_PATCHES``: each repair and feature can be switched off by its name."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from rlepose_ext.engine.equip import FEATURES
from rlepose_ext.imports import STAND_IN

# A training of one step; prints the hooks of the run and its log's class.
RUN = """
import sys, tempfile
import rlepose_ext, torch
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
    def train_step(self, data, optim_wrapper):
        loss = self.layer(data).mean()
        optim_wrapper.update_params(loss)
        return {'loss': loss.detach()}

run = Runner(
    model=Model(),
    work_dir=tempfile.mkdtemp(),
    train_dataloader=DataLoader(torch.ones(4, 2), batch_size=2),
    train_cfg={'by_epoch': True, 'max_epochs': 1},
    optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
)
run.train()
print('HOOKS', *(type(hook).__name__ for hook in run.hooks), type(run.log_processor).__name__)
"""
OURS = {
    'checkpoint_writing': 'AtomicCheckpointHook',
    'bad_loss': 'BadLossHook',
    'out_of_range_labels': 'OutOfRangeLabelsHook',
    'interruption': 'InterruptHook',
    'exact_resume': 'ExactResumeHook',
    'throughput': 'RateLogProcessor',
}


def python(code, patches):
    environment = {**os.environ, 'RLEPOSE_PATCHES': patches}
    return subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize('off', [('exact_resume', 'throughput'), [each.name for each in FEATURES]])
def test_features_can_be_switched_off(off):
    done = python(RUN, ','.join(f'-{name}' for name in off))
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith('HOOKS'))
    assert set(OURS.values()) & set(line.split()) == {
        kind for name, kind in OURS.items() if name not in off
    }


@pytest.mark.slow
@pytest.mark.skipif(find_spec('mmcv._ext').origin != STAND_IN, reason='mmcv is compiled')
def test_a_repair_can_be_switched_off():
    code = 'import rlepose_ext, mmcv.ops'
    assert python(code, '').returncode == 0
    assert "No module named 'mmcv._ext'" in python(code, '-mmcv_ops').stderr


@pytest.mark.parametrize('patches', ['bad_loss', '-numpy2,-nothing'])
def test_a_wrong_name_is_an_error_once_mmengine_is_imported(patches):
    done = python('import rlepose_ext\nimport mmengine', patches)
    wrong = patches.split(',')[-1]
    assert f'got {wrong!r}. There are: ' in done.stderr.splitlines()[-1]
    assert 'bad_loss, ' in done.stderr.splitlines()[-1]


def test_commands_report_a_wrong_name():
    code = "import sys; from rlepose_ext.cli.main import main; sys.exit(main(['doctor']))"
    done = python(code, '-nothing')
    assert done.returncode == 2
    assert done.stderr.startswith('rlepose: error: RLEPOSE_PATCHES must be')
    assert done.stderr.count('\n') == 1
