"""A log that cannot be written is a warning and not the end of a training.

Without it a full disk, or a quota, ends a run when the next line of its scalars is written:
``LocalVisBackend`` and TensorBoard raise, MMEngine does not catch it, and what was trained
since the last checkpoint is lost. The text log prints a traceback for each line instead.
With it the first failure of each log is one warning; later lines are tried again, so a log
goes on when there is room. Can go when mmengine survives it.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from types import ModuleType

from rlepose_ext.compat._imports import Patch, when_imported

_WRITING = ('add_config', 'add_graph', 'add_image', 'add_scalar', 'add_scalars', 'close')
_WARNED = '_rlepose_warned'


def surviving(method: Callable) -> Callable:
    """A method of a log's class that warns once instead of raising an ``OSError``."""

    @functools.wraps(method)
    def write(self, *args, **kwargs):
        try:
            return method(self, *args, **kwargs)
        except OSError as error:
            if not getattr(self, _WARNED, False):
                setattr(self, _WARNED, True)
                from mmengine.logging import print_log

                print_log(
                    f'{type(self).__name__} cannot write: {error}. Training goes on, and this log '
                    'has gaps until there is room again.',
                    'current',
                    logging.WARNING,
                )

    write.survives = True
    return write


def _protect(backend: type) -> None:
    for name in _WRITING:
        method = vars(backend).get(name)
        if callable(method) and not getattr(method, 'survives', False):
            setattr(backend, name, surviving(method))


def _patch_backends(module: ModuleType) -> None:
    base = module.BaseVisBackend

    def protect_subclass(cls, **kwargs):
        super(base, cls).__init_subclass__(**kwargs)
        _protect(cls)

    base.__init_subclass__ = classmethod(protect_subclass)
    pending = [base]
    while pending:
        backend = pending.pop()
        _protect(backend)
        pending += backend.__subclasses__()


def _patch_logger(module: ModuleType) -> None:
    init = module.MMLogger.__init__

    @functools.wraps(init)
    def init_and_quieten(self, *args, **kwargs):
        init(self, *args, **kwargs)
        for handler in self.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handleError = functools.partial(_warn_once, handler)

    module.MMLogger.__init__ = init_and_quieten


def _warn_once(handler: logging.FileHandler, record: logging.LogRecord) -> None:
    """What a log file does with a line that it cannot write."""
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
        logging.Handler.handleError(handler, record)
    elif not getattr(handler, _WARNED, False):
        setattr(handler, _WARNED, True)
        if sys.stderr is not None:
            print(f'{handler.baseFilename} cannot be written: {error}', file=sys.stderr)


def _install() -> None:
    when_imported('mmengine.visualization.vis_backend', _patch_backends)
    when_imported('mmengine.logging.logger', _patch_logger)


PATCH = Patch(
    name='log_writing',
    breaks='a full disk ends a training when its next log line is written',
    since='always',
    until='mmengine survives a log that cannot be written',
    install=_install,
)
