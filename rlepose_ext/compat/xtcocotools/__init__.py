"""``xtcocotools`` missing, or compiled for another numpy.

MMPose imports ``xtcocotools`` at module level in its datasets and metrics. The wheels of
xtcocotools 1.14.3 are built against numpy 1 (``ValueError: numpy.dtype size changed`` under
numpy 2), there is none for Python 3.12, and its source needs a C compiler. Where the real
package loads it is used; otherwise the modules here, written over pycocotools, stand in for
it and give the same numbers.

Whether the real package works is found out when it is imported, not before.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

from rlepose_ext.imports import STAND_IN, Patch, provide, when_broken, when_imported

NAME = 'xtcocotools'
VERSION = '1.14.3'  # whose behaviour the stand-in reproduces
_SUBMODULES = ('mask', 'coco', 'cocoeval')
# What a compiled module of another numpy, Python or libc raises while it is loaded.
_BROKEN = (ImportError, ValueError, AttributeError, RuntimeError, SystemError)

# Why the real package was not used; None until the import, '' if it is in use.
reason: str | None = None


def _package() -> ModuleType:
    _note('not installed')
    module = ModuleType(NAME, 'Stand-in over pycocotools by rlepose_ext.')
    module.__version__ = VERSION
    return module


def _submodule(name: str) -> ModuleType:
    if name == 'mask':
        source = import_module('pycocotools.mask')
    else:
        source = import_module(f'{__name__}.{name}')
    module = ModuleType(f'{NAME}.{name}', source.__doc__)
    public = {key: value for key, value in vars(source).items() if not key.startswith('__')}
    module.__dict__.update(public)
    return module


def _note(why: str) -> None:
    global reason
    reason = why


def _try_submodules(module: ModuleType) -> None:
    """Load the compiled parts of the real package on trial."""
    if module.__spec__.origin == STAND_IN:
        return
    try:
        for name in _SUBMODULES:
            import_module(f'{NAME}.{name}')
    except _BROKEN as error:
        _become_stand_in(error, module.__spec__, module)
    else:
        _note('')


def _become_stand_in(error: Exception, spec: ModuleSpec, module: ModuleType | None) -> None:
    """Turn a real package that cannot be loaded into the stand-in, in the same place."""
    if module is None or not isinstance(error, _BROKEN):
        raise error
    for name in [key for key in sys.modules if key.startswith(f'{NAME}.')]:
        del sys.modules[name]
    for name in [key for key in vars(module) if not key.startswith('__')]:
        delattr(module, name)
    # Without a path no finder has the submodules, and the stand-in's are provided.
    module.__path__ = spec.submodule_search_locations = []
    spec.origin = STAND_IN
    module.__version__ = VERSION
    _note(f'installed but broken: {type(error).__name__}: {error}'.splitlines()[0])


def install() -> None:
    """Offer the stand-ins; decide between them and the real package at its first import."""
    provide(NAME, _package, is_package=True)
    for name in _SUBMODULES:
        provide(f'{NAME}.{name}', lambda name=name: _submodule(name))
    if NAME not in sys.modules:
        when_broken(NAME, _become_stand_in)
        when_imported(NAME, _try_submodules)


def status() -> str:
    """Say whether the real package or the stand-in is in use."""
    import_module(NAME)
    if not reason:
        return 'not needed: the real xtcocotools works'
    return f'stand-in over pycocotools (xtcocotools {reason})'


PATCH = Patch(
    name='xtcocotools',
    breaks="MMPose's datasets and metrics cannot be imported (No module named 'xtcocotools', "
    "or 'numpy.dtype size changed')",
    since='xtcocotools 1.14.3 with numpy 2, or Python 3.12, or no C compiler',
    until='xtcocotools has wheels for current numpy and Python, or MMPose does not need it',
    install=install,
    status=status,
)
