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
    from torch._inductor import config as inductor

    # Kernels are made for a number of threads, and torch's cache looks for no other unless told.
    inductor.cpp.threads = torch.get_num_threads()
    # Where nn.Module.compile puts what it made, so that copies and pickles leave it out.
    backbone._compiled_call_impl = _WhileTraining(backbone)
    print_log(f'{KEY}: the first iteration compiles, which can take minutes', 'current')


class _WhileTraining:
    """Calls the compiled module for training batches of one shape, else the module itself."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        # One shape: kernels for any shape are slower.
        self.compiled = torch.compile(module._call_impl, dynamic=False)
        self.shape: torch.Size | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        shape = getattr(args[0], 'shape', None) if args else None
        if not self.module.training or self.compiled is None or shape is None:
            return self.module._call_impl(*args, **kwargs)
        if self.shape is None:
            self.shape = shape
            return self._first(*args, **kwargs)
        call = self.compiled if shape == self.shape else self.module._call_impl
        return call(*args, **kwargs)

    def _first(self, *args: Any, **kwargs: Any) -> Any:
        from mmengine.logging import print_log

        try:
            return self.compiled(*args, **kwargs)
        except Exception as error:  # torch has no common class of what compilers do
            self.compiled = None
            said = f'{type(error).__name__}: {error}'.splitlines()[0]
            print_log(
                f'{KEY}: goes on without, as torch.compile failed ({said}); '
                'it needs a C++ compiler on the CPU and Triton on a GPU',
                'current',
                logging.WARNING,
            )
            return self.module._call_impl(*args, **kwargs)
