"""Python 3.14's ``pkgutil``, which has no ``find_loader``, by taking it away."""

import subprocess
import sys

import pytest

CODE = """
import pkgutil
vars(pkgutil).pop('find_loader', None)
{imports}
import torch
from mmengine.optim import build_optim_wrapper
from mmcv.utils.ext_loader import check_ops_exist
wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1),
    paramwise_cfg=dict(bias_lr_mult=2.0),
)
groups = build_optim_wrapper(torch.nn.Linear(2, 3), wrapper).param_groups
print(max(group['lr'] for group in groups), check_ops_exist())
"""


def run(imports):
    code = CODE.format(imports=imports)
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)


@pytest.mark.slow
def test_an_optimizer_with_its_own_rate_for_biases():
    assert "no attribute 'find_loader'" in run('').stderr  # the breakage is there
    done = run('import rlepose_ext')
    # mmcv's operators are there: compiled ones, or the stand-in for them.
    assert done.stdout.splitlines()[-1:] == ['0.2 True'], done.stderr
