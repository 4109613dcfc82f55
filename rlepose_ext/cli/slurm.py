"""``rlepose train|test --launcher slurm``: the ``srun`` command, and where a process stands.

mim's launcher tears ``--srun-args`` apart at every blank, queues a job whose partition or
config does not exist, and takes ``--gpus 3 --gpus-per-node 2`` for two whole nodes. Here the
command is a list from end to end, and what can be checked is checked before anything queues.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from rlepose_ext.errors import UserError

# Slurm numbers its special steps (batch script, salloc's shell, external) from the top of 32 bits.
_FIRST_SPECIAL_STEP = 0xFFFFFFF0
# Below the ports that Linux gives to outgoing connections.
_FIRST_PORT, _PORTS = 20000, 10000


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``--launcher slurm``; mim's names where it has them."""
    group = parser.add_argument_group(
        '--launcher slurm', 'inside a job step nothing is started; elsewhere these make an srun'
    )
    group.add_argument('--partition', metavar='P', help='where to queue; not inside an allocation')
    group.add_argument(
        '--gpus-per-node', '-g', type=int, metavar='N', help='default: --gpus, at most 8'
    )
    group.add_argument('--cpus-per-task', '-c', type=int, metavar='N', help='default: 2')
    group.add_argument('--job-name', metavar='NAME', help='default: the config, and the command')
    group.add_argument(
        '--srun-args', metavar='TEXT', help='more options of srun, quoted as in a shell'
    )
    # argparse would take the text in `--srun-args --exclusive` for the next option; mim does not.
    parse = parser.parse_known_args
    parser.parse_known_args = lambda args=None, namespace=None: parse(
        join_value('--srun-args', sys.argv[1:] if args is None else args), namespace
    )


def join_value(option: str, arguments: Sequence[str]) -> list[str]:
    """``[..., option, value, ...]`` with the two joined by ``=``."""
    joined, rest = [], iter(arguments)
    for argument in rest:
        value = next(rest, None) if argument == option else None
        joined.append(argument if value is None else f'{argument}={value}')
    return joined


OPTIONS = ('partition', 'gpus_per_node', 'cpus_per_task', 'job_name', 'srun_args')


def in_step(env: Mapping[str, str]) -> bool:
    """Whether this process is a task of an ``srun``, and not a job script or salloc's shell."""
    step = env.get('SLURM_STEP_ID', '')
    return step.isdigit() and int(step) < _FIRST_SPECIAL_STEP and 'SLURM_PROCID' in env


def step_port(env: Mapping[str, str]) -> int:
    """A port that all tasks of a step agree on and that jobs on one node hardly share."""
    job, step = int(env.get('SLURM_JOB_ID') or 0), int(env.get('SLURM_STEP_ID') or 0)
    return _FIRST_PORT + (job * 37 + step) % _PORTS


def check_tasks(gpus: int, per_node: int) -> None:
    """Refuse numbers for which Slurm would allocate more GPUs than are used.

    Raises:
        UserError: ``gpus`` is not a multiple of ``per_node``, or one of them is below 1.
    """
    if gpus < 1 or per_node < 1:
        raise UserError(
            f'--gpus {gpus} --gpus-per-node {per_node} makes no sense; both must be 1 or more. '
            'Processes on nodes without a GPU: --srun-args=--gres=none'
        )
    if gpus % per_node:
        nodes = -(-gpus // per_node)
        raise UserError(
            f'--gpus {gpus} is not a multiple of --gpus-per-node {per_node}: {nodes} node(s) with '
            f'{nodes * per_node} GPUs would be taken and {gpus} used. Give --gpus-per-node '
            f'{gpus}, or --gpus {nodes * per_node}.'
        )


def check_partition(partition: str) -> None:
    """Refuse a partition that ``sinfo`` does not know; several are separated by commas.

    Nothing is checked where sinfo is missing or gets no answer: srun will say what is wrong.

    Raises:
        UserError: no such partition.
    """
    if shutil.which('sinfo') is None:
        return
    listed = subprocess.run(
        ['sinfo', '--all', '--noheader', '--format=%R'], capture_output=True, text=True
    )
    known = set(listed.stdout.split())
    if listed.returncode or not known:
        return
    for name in partition.split(','):
        if name not in known:
            raise UserError(
                f'partition {name!r} does not exist on this cluster, which has: '
                f'{", ".join(sorted(known))}. Give one of these as --partition.'
            )


def srun_command(args: argparse.Namespace, config: str, command: list[str]) -> list[str]:
    """The whole ``srun`` line: one task and one GPU for each process.

    Args:
        args: ``gpus`` and the values of :data:`OPTIONS`; None means the default.
        config: its stem names the job.
        command: what each task runs.

    Raises:
        UserError: no srun here, no partition outside an allocation, a partition that does not
            exist, or numbers that do not fit.
    """
    gpus = 1 if args.gpus is None else args.gpus
    per_node = min(gpus, 8) if args.gpus_per_node is None else args.gpus_per_node
    check_tasks(gpus, per_node)
    try:
        extra = shlex.split(args.srun_args or '')
    except ValueError as error:
        raise UserError(
            f'--srun-args {args.srun_args!r} cannot be read: {error}. Quote it as in a shell.'
        ) from error
    if shutil.which('srun') is None:
        raise UserError(
            'srun is not on PATH, so this is no Slurm cluster or its module is not loaded. On a '
            'single machine use --launcher pytorch.'
        )
    line = ['srun']
    if args.partition:
        check_partition(args.partition)
        line.append(f'--partition={args.partition}')
    elif 'SLURM_JOB_ID' not in os.environ:
        raise UserError(
            '--launcher slurm needs --partition outside an allocation; `sinfo` lists what there is.'
        )
    stem = os.path.splitext(os.path.basename(config))[0]
    line += [
        f'--gres=gpu:{per_node}',
        f'--ntasks={gpus}',
        f'--ntasks-per-node={per_node}',
        f'--cpus-per-task={2 if args.cpus_per_task is None else args.cpus_per_task}',
        '--kill-on-bad-exit=1',
        f'--job-name={args.job_name or f"{stem}_{args.script}"}',
    ]
    # Last, because srun takes the last of two.
    return line + extra + command


def set_port(port: int | None) -> None:
    """Put the rendezvous port where mmengine looks, for this process and those it starts."""
    if port is not None:
        os.environ['MASTER_PORT'] = str(port)
    elif in_step(os.environ):
        os.environ.setdefault('MASTER_PORT', str(step_port(os.environ)))
