"""A log that cannot be written is a warning and not the end of a training.

On a full disk ``LocalVisBackend`` and TensorBoard raise, and MMEngine does not catch it. Here
the first failure of each log is one warning; later lines are tried again, so a log goes on
when there is room.

It is no class that a config could name: it concerns all backends of a run, those of other packages
too, and the text file of the logger, which no config builds.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable

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


def protect_backends(base: type) -> None:
    """Let all visualisation backends survive, those defined later too."""

    def protect_subclass(cls, **kwargs):
        super(base, cls).__init_subclass__(**kwargs)
        _protect(cls)

    base.__init_subclass__ = classmethod(protect_subclass)
    pending = [base]
    while pending:
        backend = pending.pop()
        _protect(backend)
        pending += backend.__subclasses__()


def _protect(backend: type) -> None:
    for name in _WRITING:
        method = vars(backend).get(name)
        if callable(method) and not getattr(method, 'survives', False):
            setattr(backend, name, surviving(method))


def protect_files(logger: logging.Logger) -> None:
    """Let the text files of a logger warn once, instead of a traceback for each line."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = functools.partial(_warn_once, handler)


def _warn_once(handler: logging.FileHandler, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
        logging.Handler.handleError(handler, record)
    elif not getattr(handler, _WARNED, False):
        setattr(handler, _WARNED, True)
        if sys.stderr is not None:
            print(f'{handler.baseFilename} cannot be written: {error}', file=sys.stderr)
