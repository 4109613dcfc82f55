"""A real Slurm cluster of two nodes, from Debian's packages, for as long as the tests run.

Everything it has lies in a temporary folder: configuration, munge key and socket, state, logs
and two files that play GPUs. Its daemons run in the foreground as children of the tests and
are ended by process id; nothing goes through systemd or /etc. The nodes are two slurmd on this
machine that differ in name and port, and all their traffic is on the loopback interface.
"""

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'srun', 'sbatch', 'sinfo', 'scontrol', 'scancel')
# Debian puts the daemons here, which is not on every PATH.
PATH = os.pathsep.join([os.environ.get('PATH', ''), '/usr/sbin', '/sbin'])

NODES = ('node1', 'node2')

CONFIGURATION = """
ClusterName=rlepose
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job starts when the credential of its last run has expired: 120 s by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=3
SchedulerType=sched/builtin
# Look for jobs to start each second, not each minute.
SchedulerParameters=sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
# As on sites where a job must ask for it.
JobRequeue=0
# Four processors, however many there are.
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs=4 RealMemory=1000 Gres=gpu:fake:2
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node1_port}
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={node2_port}
# A job in `urgent` sends those in `debug` back into the queue, after a time to save and leave.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


class Cluster:
    """The running cluster: commands see it through :attr:`env`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.env = {
            **os.environ,
            'PATH': PATH,
            'SLURM_CONF': str(folder / 'slurm.conf'),
            # mmengine takes the name of the first node, and no DNS has those of this cluster.
            'MASTER_ADDR': '127.0.0.1',
            # There are no GPUs behind the files that play them.
            'CUDA_VISIBLE_DEVICES': '',
        }
        self._daemons: list[subprocess.Popen] = []

    def run(self, *command, cwd=None, timeout=400, **env):
        return subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def start(self) -> None:
        # munge wants a socket that every user could reach
        self.folder.chmod(0o755)
        for name in ('state', *(f'spool-{node}' for node in NODES)):
            (self.folder / name).mkdir()
        key = self.folder / 'munge.key'
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        for index in range(2):
            fake_gpu(self.folder / f'gpu{index}')
        controller_port, node1_port, node2_port = free_ports(3)
        values = {'host': socket.gethostname().partition('.')[0], 'folder': self.folder}
        values |= {'controller_port': controller_port}
        values |= {'node1_port': node1_port, 'node2_port': node2_port}
        (self.folder / 'slurm.conf').write_text(CONFIGURATION.format(**values))
        # Slurm would set CUDA_VISIBLE_DEVICES to what it gives to a task.
        (self.folder / 'gres.conf').write_text(
            f'Name=gpu Type=fake File={self.folder}/gpu[0-1] Flags=no_gpu_env\n'
        )
        munge = f'{self.folder}/munge'
        files = [f'--{name}-file={munge}.{name}' for name in ('key', 'pid', 'log', 'seed')]
        self._start('munged', '--foreground', f'--socket={munge}.socket', *files)
        self.wait_for(lambda: (self.folder / 'munge.socket').exists(), 'munged has no socket')
        conf = ('-D', '-f', self.env['SLURM_CONF'])
        self._start('slurmctld', *conf)
        for node in NODES:
            self._start('slurmd', *conf, '-N', node)
        self.wait_for(self.is_idle, 'a node is not idle')

    def stop(self) -> None:
        """Cancel what still runs, then end the daemons, the last one first."""
        if len(self._daemons) == 2 + len(NODES):
            self.run('scancel', '--user=root')
            with suppress(TimeoutError):
                self.wait_for(lambda: not self.jobs(), 'jobs do not end', seconds=20)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in self.left_over():
            os.kill(process, signal.SIGKILL)

    def wait_for(self, ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until ``ready()``.

        Raises:
            TimeoutError: with the daemons' logs.
        """
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                raise TimeoutError(f'{what}\n{self.logs()}')
            time.sleep(0.1)

    def is_idle(self) -> bool:
        listed = self.run('sinfo', '--noheader', '--partition=debug', '--format=%D %T').stdout
        return listed.split() == [str(len(NODES)), 'idle']

    def jobs(self) -> list[str]:
        return self.run('squeue', '--noheader', '--format=%A').stdout.split()

    def left_over(self) -> list[int]:
        """Processes that belong to this cluster, by the configuration in their environment."""
        mark = f'SLURM_CONF={self.env["SLURM_CONF"]}'.encode()
        found = []
        for entry in Path('/proc').glob('[0-9]*'):
            try:
                if mark in (entry / 'environ').read_bytes().split(b'\0'):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def logs(self) -> str:
        return '\n'.join(
            f'{path.name}: {path.read_text(errors="replace")[-2000:]}'
            for path in sorted(self.folder.glob('*.log'))
        )

    def _start(self, *command: str) -> None:
        number = len(self._daemons)
        with open(self.folder / f'{command[0]}.{number}.out.log', 'wb') as output:
            daemon = subprocess.Popen(command, env=self.env, stdout=output, stderr=output)
        self._daemons.append(daemon)


def fake_gpu(path: Path) -> None:
    """A stand-in that Slurm numbers as a GPU."""
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        path.touch()


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(('127.0.0.1', 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope='session')
def cluster():
    """The cluster; skips where its packages or the rights for it are missing."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.skip(f'no Slurm here, {missing[0]} is missing (Debian: munge slurmctld slurmd)')
    if os.geteuid() != 0:
        pytest.skip('the Slurm daemons need root')
    import torch

    if torch.cuda.is_available():
        pytest.skip('the fake GPUs of the test cluster would select real ones')
    # Not pytest's folder, whose long path does not fit into the address of a socket.
    with tempfile.TemporaryDirectory(prefix='rlepose-slurm-') as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
