"""Two processes train under torchrun, by mim and by the launch script, on drawn people."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rlepose_ext.datasets.synthetic import write_dataset

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MINIATURE = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
ONE_EPOCH = [
    'train_cfg.max_epochs=1',
    'train_dataloader.batch_size=4',
    *(f'{loader}_dataloader.num_workers=0' for loader in ('train', 'val')),
    *(f'{loader}_dataloader.persistent_workers=False' for loader in ('train', 'val')),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def environment(data, **more: str) -> dict[str, str]:
    """That of these tests, with drawn people, one thread and no GPU."""
    write_dataset(data / 'synthetic', 8, 3, seed=0)
    cpu = {'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHON': sys.executable}
    return {**os.environ, **cpu, 'RLEPOSE_DATA': str(data), **more}


def test_mim_trains_with_two_processes(tmp_path):
    command = [sys.executable, '-m', 'mim', 'train', 'mmpose', MINIATURE]
    command += ['--launcher', 'pytorch', '--gpus', '2', '--port', str(free_port())]
    command += ['--work-dir', str(tmp_path / 'work'), '--cfg-options', *ONE_EPOCH]
    env = environment(tmp_path)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    # The first process alone writes a log; what both print runs into each other.
    (log,) = (tmp_path / 'work').glob('*/*.log')
    assert '2 processes run on the CPU and communicate over gloo' in log.read_text()
    assert (tmp_path / 'work' / 'epoch_1.pth').is_file()


def test_two_machines_train_together(tmp_path):
    """Two torchruns on this machine, which find each other as two machines would."""
    port = str(free_port())
    env = environment(tmp_path, NNODES='2', MASTER_ADDR='127.0.0.1', PORT=port)
    command = ['tools/dist_train.sh', MINIATURE, '1', '--work-dir', str(tmp_path / 'a b')]
    machines = [
        subprocess.Popen(
            [*command, '--cfg-options', *ONE_EPOCH],
            cwd=ROOT,
            env={**env, 'NODE_RANK': str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    first, second = [machine.communicate(timeout=400)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], first[-2000:] + second[-2000:]
    assert '2 processes run on the CPU and communicate over gloo' in first
    assert (tmp_path / 'a b' / 'epoch_1.pth').is_file()
