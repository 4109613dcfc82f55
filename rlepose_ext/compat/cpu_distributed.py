"""Several processes on a machine without a GPU; a clear error where there are too few GPUs.

Without it ``torchrun --nproc_per_node 2 ... --launcher pytorch`` ends at once on a CPU
machine: mmengine's initialisers call ``torch.cuda.set_device`` on any machine, MMPose's default
runtime asks for nccl, ``Runner.wrap_model`` passes ``device_ids`` that DistributedDataParallel
refuses for CPU modules, and SyncBN refuses CPU tensors.
With it the same command and config train over gloo, SyncBN becomes BN within each
process, and one line of the log says so. Where torch sees GPUs nothing changes, save that more
processes than GPUs are refused before CUDA answers ``invalid device ordinal``, and that tasks to
which Slurm shows one GPU each (``--gpus-per-task=1``) use it: mmengine would take the task's number
on its node for that of the GPU. On a machine with GPUs that torch does not see, several processes
are refused unless ``CUDA_VISIBLE_DEVICES`` is empty.

mmengine does not destroy the process group, and torch 2.11 may abort a process that exits with
gloo's threads alive ("terminate called without an active exception", in half of all runs of
two): a finished training that its launcher reports as failed. So the group is ended at exit.

All versions of mmengine need it; it can go when mmengine initialises CPU runs itself.
"""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from rlepose_ext.gpus import check_gpus_are_seen, choose_gpu, on_cpu
from rlepose_ext.imports import Patch, when_imported

# mmengine's initialisers, and where the launcher tells a process its place on the machine:
# its number, and how many there are. Not SLURM_NTASKS_PER_NODE: a step may have fewer tasks than
# the job asked for.
_LAUNCHERS = {
    '_init_dist_pytorch': ('LOCAL_RANK', 'LOCAL_WORLD_SIZE'),
    '_init_dist_slurm': ('SLURM_LOCALID', 'SLURM_STEP_TASKS_PER_NODE'),
    '_init_dist_mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_LOCAL_SIZE'),
}


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

    # not with nccl: its destruction waits for peers, and one of them may have died
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
