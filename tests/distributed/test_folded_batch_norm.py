"""Two processes take their batch norm's first statistics from the samples of both."""

import json
import os
import subprocess
import sys

import pytest
import torch
from mmcv.cnn import ConvModule

from rlepose_ext.models.layers.folded_batch_norm import accept_folded

WORKER = """
import json, os, sys, torch
import rlepose_ext
from mmcv.cnn import ConvModule
from rlepose_ext.models.layers.folded_batch_norm import accept_folded

torch.distributed.init_process_group('gloo')
rank = torch.distributed.get_rank()
state, x = torch.load(sys.argv[1])
net = ConvModule(3, 4, 3, norm_cfg={'type': 'BN'})
accept_folded(net)
net.load_state_dict(state)
net.train()(x.chunk(2)[rank])
print(json.dumps({k: v.tolist() for k, v in net.bn.state_dict().items()}))
"""


@pytest.mark.slow
def test_statistics_of_both_processes(tmp_path):
    plain = ConvModule(3, 4, 3, norm_cfg=None)
    x = torch.rand(4, 3, 8, 8) + torch.arange(4.0).view(4, 1, 1, 1)
    torch.save((dict(plain.state_dict()), x), tmp_path / 'given.pth')
    command = [sys.executable, '-c', WORKER, str(tmp_path / 'given.pth')]
    rendezvous = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': free_port(), 'WORLD_SIZE': '2'}
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **rendezvous, 'RANK': str(rank), 'OMP_NUM_THREADS': '1'},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    first, second = (json.loads(text.splitlines()[-1]) for text in said)

    net = ConvModule(3, 4, 3, norm_cfg={'type': 'BN'})
    accept_folded(net)
    net.load_state_dict(plain.state_dict())
    net.train()(x)
    for name in ('weight', 'bias'):
        assert first[name] == second[name]
        expected = getattr(net.bn, name)
        torch.testing.assert_close(torch.tensor(first[name]), expected.data, rtol=1e-4, atol=1e-5)


def free_port():
    import socket

    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return str(found.getsockname()[1])
