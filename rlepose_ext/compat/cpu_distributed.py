"""Several processes on a machine without a GPU; a clear word where GPUs are too few.

Without it ``torchrun --nproc_per_node 2 ... --launcher pytorch`` ends at once on a CPU
machine: mmengine's initialisers call ``torch.cuda.set_device`` whatever the machine
has, MMPose's default runtime asks for nccl, ``Runner.wrap_model`` passes ``device_ids``
that DistributedDataParallel refuses for CPU modules, and SyncBN refuses CPU tensors.
With it the same command and config train over gloo, SyncBN becomes BN within each
process, and one line of the log says so. Where torch sees GPUs nothing changes, save that more
processes than GPUs are refused before CUDA answers ``invalid device ordinal``, and that tasks to
which Slurm shows one GPU each (``--gpus-per-task=1``) use it: mmengine would take the task's number
on its node for that of the GPU. On a machine with GPUs that torch does not see, several processes
are refused unless ``CUDA_VISIBLE_DEVICES`` is empty.

Nobody in mmengine ends the process group, and torch 2.11 may abort a process that exits with
gloo's threads alive ("terminate called without an active exception", in half of all runs of
two): a finished training that its launcher reports as failed. So the group is ended at exit.

All versions of mmengine need it; it can go when mmengine initialises CPU runs itself.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from rlepose_ext.compat._imports import Patch, when_imported
from rlepose_ext.errors import UserError

# mmengine's initialisers, and where the launcher tells a process its place on the machine:
# its number, and how many there are. Not SLURM_NTASKS_PER_NODE: a step may have fewer tasks than
# the job asked for.
_LAUNCHERS = {
    '_init_dist_pytorch': ('LOCAL_RANK', 'LOCAL_WORLD_SIZE'),
    '_init_dist_slurm': ('SLURM_LOCALID', 'SLURM_STEP_TASKS_PER_NODE'),
    '_init_dist_mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_LOCAL_SIZE'),
}

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
    source = gpu_source()
    if source is None:
        return
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        remedy = f'Torch {torch.__version__} is a build without CUDA: install one with it'
    else:
        remedy = (
            'Look for an error in `nvidia-smi`, and compare its CUDA version with that of torch '
            f'{torch.__version__}'
        )
    raise UserError(
        f'torch sees no GPU, but {source}. {remedy}. To train on the CPU all the same, set '
        'CUDA_VISIBLE_DEVICES= (empty).'
    )


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


@contextmanager
def _no_cuda_device() -> Iterator[None]:
    """While it lasts, choosing a CUDA device does nothing."""
    import torch

    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = set_device


def _on_any_device(upstream: Callable, rank_variable: str, size_variable: str) -> Callable:
    @functools.wraps(upstream)
    def init(backend: str, *args, **kwargs) -> None:
        import torch

        if not on_cpu():
            if torch.cuda.is_available():
                choose_gpu(rank_variable, size_variable)
            upstream(backend, *args, **kwargs)
            return
        check_gpus_are_seen()
        if rank_variable == 'SLURM_LOCALID':
            # Without it mmengine takes the rank modulo the number of GPUs.
            os.environ.setdefault(rank_variable, '0')
        with _no_cuda_device():
            upstream('gloo' if backend == 'nccl' else backend, *args, **kwargs)
        atexit.register(_leave_gloo)

    return init


def _leave_gloo() -> None:
    """End the process group while its threads can still be joined."""
    import torch.distributed

    # nccl is not asked: its farewell waits for peers, and one of them may have died
    if torch.distributed.is_initialized() and torch.distributed.get_backend() == 'gloo':
        torch.distributed.destroy_process_group()


def _patch_init(module: ModuleType) -> None:
    # init_dist finds these three by name when it is called, wherever it was imported to
    for name, variables in _LAUNCHERS.items():
        setattr(module, name, _on_any_device(getattr(module, name), *variables))


def _patch_runner(module: ModuleType) -> None:
    upstream = module.Runner.wrap_model

    @functools.wraps(upstream)
    def wrap_model(self, model_wrapper_cfg, model):
        if not self.distributed or not on_cpu() or module.is_model_wrapper(model):
            return upstream(self, model_wrapper_cfg, model)
        cfg = model_wrapper_cfg or {
            'broadcast_buffers': False,
            'find_unused_parameters': self.cfg.get('find_unused_parameters', False),
        }
        return _wrap_on_cpu(self, cfg, model)

    module.Runner.wrap_model = wrap_model


def _patch_strategy(module: ModuleType) -> None:
    upstream = module.DDPStrategy._wrap_model

    @functools.wraps(upstream)
    def wrap_model(self, model):
        if not on_cpu() or module.is_model_wrapper(model):
            return upstream(self, model)
        return _wrap_on_cpu(self, self.model_wrapper or {'broadcast_buffers': False}, model)

    module.DDPStrategy._wrap_model = wrap_model


def _wrap_on_cpu(owner: Any, cfg: dict, model: Any) -> Any:
    """The model of a runner or a strategy, in a wrapper for processes without a GPU."""
    from mmengine.dist import get_backend
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODEL_WRAPPERS

    owner.logger.info(
        f'No GPU: {owner.world_size} processes run on the CPU and communicate over '
        f'{get_backend()}; SyncBN layers normalise within each process.'
    )
    cfg = {'type': 'MMDistributedDataParallel', **cfg}
    cfg['module'] = revert_sync_batchnorm(model.to('cpu'))
    return MODEL_WRAPPERS.build(cfg)


def _install() -> None:
    when_imported('mmengine.dist.utils', _patch_init)
    when_imported('mmengine.runner.runner', _patch_runner)
    when_imported('mmengine._strategy.distributed', _patch_strategy)


def _status() -> str:
    try:
        return 'active: gloo on the CPU' if on_cpu() else 'active: counts GPUs'
    except ImportError:
        return 'mmengine is missing'


PATCH = Patch(
    name='cpu_distributed',
    breaks='torchrun and Slurm runs die without a GPU, or unclearly with too few',
    since='always',
    until='mmengine initialises CPU processes itself',
    install=_install,
    status=_status,
)
