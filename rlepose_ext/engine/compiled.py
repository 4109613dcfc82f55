"""``rlepose train --compile``: the backbone through ``torch.compile``, while it trains.

Most of a step's time is the backbone, and its batch norm and activations can be fused; heads and
losses are small, and MMPose's make Python objects on the way. ``compile = True`` of MMEngine
compiles the whole ``train_step`` instead.

Only training batches of the first one's shape are compiled. The last batch of an epoch, validation
and tests run as before: compiling for each of them would take longer than it saves. Names of
parameters and checkpoints stay; copies of the model, such as its average, are not compiled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

KEY = 'compile_backbone'


def compile_backbone(model: nn.Module) -> None:
    """Compile ``model.backbone`` when it first trains; a failure is one line in the log."""
    from mmengine.logging import print_log

    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        print_log(f'{KEY}: the model has no backbone; nothing is compiled', 'current')
        return
    # Where nn.Module.compile puts what it made, so that copies and pickles leave it out.
    backbone._compiled_call_impl = _WhileTraining(backbone)
    print_log(f'{KEY}: the first iteration compiles, which can take minutes', 'current')


class _WhileTraining:
    """Calls the compiled module for training batches of one shape, else the module itself."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.compiled: Callable[..., Any] | None = None
        self.shape: torch.Size | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        shape = getattr(args[0], 'shape', None) if args else None
        if self.module.training and shape is not None:
            if self.shape is None:
                self.shape = shape
                return self._first(*args, **kwargs)
            if self.compiled is not None and shape == self.shape:
                return self.compiled(*args, **kwargs)
        return self.module._call_impl(*args, **kwargs)

    def _first(self, *args: Any, **kwargs: Any) -> Any:
        try:
            compiled = _compiled(self.module)
            result = compiled(*args, **kwargs)
        except Exception as error:  # torch has no common class of what compilers do
            # where the model itself is wrong, this raises
            result = self.module._call_impl(*args, **kwargs)
            self._say(error)
        else:
            self.compiled = compiled
        return result

    def _say(self, error: Exception) -> None:
        from mmengine.logging import print_log

        said = f'{type(error).__name__}: {error}'.splitlines()[0]
        print_log(
            f'{KEY}: goes on without, as torch.compile failed ({said}); '
            'it needs a C++ compiler on the CPU, Triton on a GPU, and a TORCHINDUCTOR_CACHE_DIR '
            'that can be written',
            'current',
            logging.WARNING,
        )


def _compiled(module: nn.Module) -> Callable[..., Any]:
    from torch._inductor import config as inductor

    # Kernels are made for a number of threads, and torch's cache looks for no other unless told.
    inductor.cpp.threads = torch.get_num_threads()
    # One shape: kernels for any shape are slower.
    return torch.compile(module._call_impl, dynamic=False)
