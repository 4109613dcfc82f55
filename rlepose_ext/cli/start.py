"""What a command does not do while it starts."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from types import ModuleType

_META = 'torch._meta_registrations'
# What uses the operators for the meta device, or loads in the right order behind them only.
_NEEDS_META = ('torch._decomp', 'torch._dynamo', 'torch._prims', 'torch._refs')


@contextmanager
def without_collecting() -> Iterator[None]:
    """No garbage collection in this block, which imports modules and builds models.

    They make a million objects that stay. Python would go through all of them several times, in
    0.6 s, and twice at its end, in as much.
    """
    gc.disable()
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.enable()


def leave_out_meta_kernels() -> None:
    """Let ``import torch`` do without its operators for the meta device, which take 0.7 s.

    For commands that only run networks. What traces them, ``torch.compile`` say, loads the
    operators.
    """
    if 'torch' not in sys.modules:
        sys.modules[_META] = ModuleType(_META)
        sys.meta_path.insert(0, _MetaKernels())


class _MetaKernels(MetaPathFinder):
    """Finds nothing; loads the operators before a module that needs them."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname in _NEEDS_META:
            sys.meta_path.remove(self)
            del sys.modules[_META]
            import_module(_META)
        return None
