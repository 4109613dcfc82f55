"""What commands leave out while they start comes back where it is needed."""

import subprocess
import sys

import pytest

CODE = """
import sys
from rlepose_ext.cli.start import leave_out_meta_kernels
leave_out_meta_kernels()
import torch
assert 'torch._prims' not in sys.modules
layer = torch.nn.Conv2d(3, 4, 3)
exported = torch.export.export(layer, (torch.zeros(1, 3, 8, 8),))
x = torch.ones(1, 3, 8, 8)
print(torch.equal(exported.module()(x), layer(x)), layer.to('meta')(x.to('meta')).shape)
"""


@pytest.mark.slow
def test_a_network_can_be_traced_without_the_meta_kernels():
    done = subprocess.run([sys.executable, '-c', CODE], capture_output=True, text=True, timeout=300)
    assert done.stdout.split('(')[0] == 'True torch.Size', done.stderr
