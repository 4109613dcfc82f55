"""Two processes train under torchrun, by mim and by the launch script, on drawn people."""

import os
import shutil
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


@pytest.fixture
def two_networks():
    """Two network namespaces, joined by a cable, as two machines without a common loopback."""
    if shutil.which('ip') is None or os.geteuid() != 0:
        pytest.skip('network namespaces need root and the command `ip` (Debian: iproute2)')

    def ip(*words: str) -> None:
        done = subprocess.run(['ip', *words], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f'no network namespaces here: {done.stderr.strip()}')

    names = [f'rlepose-{os.getpid()}-{rank}' for rank in (0, 1)]
    try:
        for name in names:
            ip('netns', 'add', name)
        cable = ['type', 'veth', 'peer', 'name', 'cable', 'netns', names[1]]
        ip('link', 'add', 'cable', 'netns', names[0], *cable)
        for rank, name in enumerate(names):
            ip('-n', name, 'addr', 'add', f'10.77.0.{rank + 1}/24', 'dev', 'cable')
            for interface in ('lo', 'cable'):
                ip('-n', name, 'link', 'set', interface, 'up')
        yield names
    finally:
        for name in names:
            subprocess.run(['ip', 'netns', 'delete', name], capture_output=True)


def train_on_two_machines(prefixes, folders, env) -> None:
    """Run the launch script once for each machine, whose commands begin with its prefix."""
    command = ['tools/dist_train.sh', MINIATURE, '1', '--cfg-options', *ONE_EPOCH, '--work-dir']
    machines = [
        subprocess.Popen(
            [*prefix, *command, str(folder)],
            cwd=ROOT,
            env={**env, 'NNODES': '2', 'NODE_RANK': str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, (prefix, folder) in enumerate(zip(prefixes, folders, strict=True))
    ]
    try:
        first, second = [machine.communicate(timeout=400)[0] for machine in machines]
    finally:
        for machine in machines:
            machine.terminate()
    assert [machine.returncode for machine in machines] == [0, 0], first[-2000:] + second[-2000:]
    assert '2 processes run on the CPU and communicate over gloo' in first
    assert (folders[0] / 'epoch_1.pth').is_file()


def test_two_torchruns_on_one_machine_train_together(tmp_path):
    port = str(free_port())
    env = environment(tmp_path, MASTER_ADDR='127.0.0.1', PORT=port)
    train_on_two_machines([[], []], [tmp_path / 'a b'] * 2, env)


def test_two_machines_train_together(tmp_path, two_networks):
    """Each has its own network, and a work directory that the other does not see."""
    env = environment(tmp_path, MASTER_ADDR='10.77.0.1', GLOO_SOCKET_IFNAME='cable')
    prefixes = [['ip', 'netns', 'exec', name] for name in two_networks]
    train_on_two_machines(prefixes, [tmp_path / 'first', tmp_path / 'second'], env)
    assert not list((tmp_path / 'second').glob('*.pth'))
