"""mmcv's compiled ops, where mmcv has none.

What breaks without it: mmcv publishes no binaries for today's torch, and
``mmcv-lite`` has no ``mmcv._ext``. ``mmcv.ops`` then fails to import, with it
``mmpose.models`` (ED-Pose imports it unguarded), every mmdet detector and DEKR.

Since: torch 2.5 (mmcv 2.1.0 wheels end at torch 2.4).
Until: mmcv publishes binaries for the torch in use, or MMPose no longer needs them.

The stand-in keeps the calling conventions of ``mmcv/ops/*.py`` (outputs are filled
in place) and computes with ``torchvision.ops`` or plain torch on any device. 16-bit
inputs are computed in float32 and rounded once, at the end. Every op that MMPose and
mmdet's common detectors do not need is a function that raises :class:`MissingOpError`.

A compiled ``_ext`` always wins. One that is installed but does not load (built for
another torch or Python) is an error with the remedy, not a reason to switch to the
stand-in: a user who compiled mmcv should know that it is not used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

from rlepose_ext.errors import UserError
from rlepose_ext.imports import Patch, provide, when_broken

__all__ = ['PATCH', 'MissingOpError']

_EXT = 'mmcv._ext'
_MARK = '__rlepose_stand_in__'
# Each file lists the ops that it provides in ``__all__``.
_FILES = ('attention', 'deform', 'focal', 'info', 'nms', 'roi')


class MissingOpError(UserError, NotImplementedError):
    """An mmcv op that exists only in compiled form was called without a compiled mmcv."""


def create() -> ModuleType:
    """Build the stand-in; imports torch.

    Returns:
        A module with the provided ops as attributes. Any other public name is a
        function that raises :class:`MissingOpError` (mmcv's loader asks ``hasattr``
        for every op when ``mmcv.ops`` is imported, so absence may show only in a call).
    """
    module = ModuleType(_EXT, 'Stand-in for the compiled ops of mmcv, from rlepose_ext.compat.')
    for file in _FILES:
        source = importlib.import_module(f'{__name__}.{file}')
        for name in source.__all__:
            setattr(module, name, getattr(source, name))
    setattr(module, _MARK, True)
    module.__getattr__ = _missing_op
    return module


def _missing_op(name: str) -> Callable:
    # Python and its tools probe modules for private names; no op has one.
    if name.startswith('_'):
        raise AttributeError(f'module {_EXT!r} has no attribute {name!r}')

    def missing(*args, **kwargs):
        raise MissingOpError(
            f"mmcv's op {name!r} needs a compiled mmcv; this environment has mmcv-lite, whose "
            'compiled part rlepose_ext replaces only for the ops that MMPose and the common '
            'mmdet detectors use. To get it: run `make setup MMCV=full` in a checkout of '
            'rlepose_ext, or uninstall mmcv-lite and install full mmcv 2.1.0, compiled for '
            'the installed torch.'
        )

    missing.__name__ = missing.__qualname__ = name
    return missing


def _explain(error: Exception, spec: ModuleSpec, module: ModuleType | None) -> None:
    """Add the remedy to the error of a compiled ``mmcv._ext`` that does not load."""
    if not spec.has_location or not isinstance(error, (ImportError, OSError)):
        raise error
    raise ImportError(
        f'{spec.origin} is installed but does not load ({error}): it was most likely compiled '
        'for another torch or Python. Compile mmcv 2.1.0 again for the installed torch '
        '(`make setup MMCV=full` in a checkout of rlepose_ext), or uninstall mmcv and install '
        'mmcv-lite==2.1.0 to use the stand-in of rlepose_ext.',
        name=_EXT,
        path=spec.origin,
    ) from error


def _install() -> None:
    provide(_EXT, create)
    when_broken(_EXT, _explain)


def _status() -> str:
    try:
        module = importlib.import_module(_EXT)
    except ImportError as error:
        return f'broken: {error}'
    if _MARK not in vars(module):
        return 'not needed (compiled mmcv)'
    return 'stand-in active'


PATCH = Patch(
    name='mmcv_ops',
    breaks='import of mmcv.ops, mmpose.models and mmdet.models without a compiled mmcv',
    since='torch 2.5, for which mmcv 2.1.0 has no binaries',
    until='mmcv publishes binaries for the torch in use',
    install=_install,
    status=_status,
)
