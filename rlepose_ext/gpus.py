"""What GPUs there are for this process and what is asked for; refuses what does not fit.

Imports torch only where it asks it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from rlepose_ext.errors import UserError

# Where the NVIDIA driver shows its GPUs.
_DEVICES = Path('/dev')


def on_cpu() -> bool:
    """Whether this machine has no accelerator that mmengine would use."""
    import torch
    from mmengine.device import get_device

    return not torch.cuda.is_available() and get_device() == 'cpu'


def check_gpus_are_seen() -> None:
    """Refuse to compute on the CPU of a machine that has GPUs, or was given some by Slurm.

    To be called where torch sees none. An empty ``CUDA_VISIBLE_DEVICES`` asks for the CPU.

    Raises:
        UserError: ``CUDA_VISIBLE_DEVICES`` or Slurm names GPUs, or the NVIDIA driver shows some.
    """
    if unseen := unseen_gpus():
        raise UserError(
            '{}. {}. To train on the CPU anyway, set CUDA_VISIBLE_DEVICES= (empty).'.format(*unseen)
        )


def unseen_gpus() -> tuple[str, str] | None:
    """The GPUs that this process should see where torch sees none, and what to do; or None."""
    source = gpu_source()
    if source is None:
        return None
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        remedy = f'Torch {torch.__version__} is a build without CUDA: install one with it'
    else:
        remedy = (
            'Look for an error in `nvidia-smi`, and compare its CUDA version with that of torch '
            f'{torch.__version__}'
        )
    return f'torch sees no GPU, but {source}', remedy


def gpu_source() -> str | None:
    """Why this process should see a GPU, for a message; None if it need not."""
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is not None:
        # NoDevFiles: what older Slurm sets for a task without a GPU.
        hidden = visible.strip() in ('', '-1', 'NoDevFiles')
        return None if hidden else f'CUDA_VISIBLE_DEVICES={visible}'
    # Slurm removes it from the environment of a step without a GPU, unlike SLURM_JOB_GPUS.
    given = os.environ.get('SLURM_GPUS_ON_NODE') or '0'
    if given != '0':
        return f'Slurm gave this job {given} GPU(s) here (SLURM_GPUS_ON_NODE)'
    device = min(_DEVICES.glob('nvidia[0-9]*'), default=None)
    return None if device is None else f'this machine has {device}'


def choose_gpu(rank_variable: str, size_variable: str) -> None:
    """Leave in ``rank_variable`` the number of a GPU that this process sees.

    Args:
        rank_variable: environment variable with this process's number on its machine, which
            mmengine takes for the number of its GPU.
        size_variable: environment variable with the number of processes there; may be
            unset, and then only a process without a GPU of its own notices.

    Raises:
        UserError: there are fewer GPUs than processes.
    """
    import torch

    gpus = torch.cuda.device_count()
    rank = int(os.environ.get(rank_variable) or 0)
    processes = max(local_processes(size_variable), rank + 1)
    if processes <= gpus:
        return
    given = int(os.environ.get('SLURM_GPUS_ON_NODE') or 0)
    if rank_variable == 'SLURM_LOCALID' and processes <= given:
        # --gpus-per-task or --gpu-bind: enough for all, and each task sees its part of them.
        os.environ[rank_variable] = str(rank % gpus)
        return
    raise UserError(
        f'{processes} processes were started on a machine where they see {gpus} GPU(s); each '
        f'needs one of its own. Start {gpus} (torchrun --nproc_per_node {gpus}; under Slurm give '
        'a node at least as many GPUs as tasks), or set CUDA_VISIBLE_DEVICES= to train on the CPU.'
    )


def local_processes(size_variable: str) -> int:
    """The number of processes on this machine, 0 if the launcher does not say.

    Slurm has one number for each node of the step, as in ``4(x2),3``.
    """
    size = os.environ.get(size_variable, '')
    if size_variable != 'SLURM_STEP_TASKS_PER_NODE':
        return int(size or 0)
    tasks = []
    for count, nodes in re.findall(r'(\d+)(?:\(x(\d+)\))?', size):
        tasks += [int(count)] * int(nodes or 1)
    return tasks[int(os.environ.get('SLURM_NODEID') or 0)] if tasks else 0


def check_gpu(asked: bool) -> None:
    """Say that a single process would compute on the CPU of a machine with GPUs.

    Args:
        asked: whether ``--gpus`` was given; without it this is a warning.

    Raises:
        UserError: GPUs were asked for, and torch sees none of those that are there.
    """
    if gpu_source() is None:
        return
    import torch

    if torch.cuda.is_available():
        return
    try:
        check_gpus_are_seen()
    except UserError as error:
        if asked:
            raise
        print(f'rlepose: warning: {error}', file=sys.stderr)


def check_visible_gpus(processes: int) -> None:
    """Refuse more processes than GPUs that they could see.

    Raises:
        UserError: torch sees GPUs, but too few, or none where there are some.
    """
    import torch

    gpus = torch.cuda.device_count()
    if not gpus:
        check_gpus_are_seen()
    elif gpus < processes:
        named = os.environ.get('CUDA_VISIBLE_DEVICES')
        seen = f'CUDA_VISIBLE_DEVICES={named} shows' if named else 'this machine has'
        raise UserError(
            f'--gpus {processes} asks for more processes than GPUs: {seen} {gpus}. '
            f'Use --gpus {gpus}, or CUDA_VISIBLE_DEVICES= to train on the CPU.'
        )
