"""Checkpoints load and resume without running code from them.

Without it, every checkpoint that mmengine writes fails to load since torch 2.6, whose
``torch.load`` builds nothing but tensors unless told what else is safe (``Unsupported
global: mmengine.logging.history_buffer.HistoryBuffer``). The usual advice switches
the protection off, and then a downloaded file can run any program. Here the list of
what mmengine writes is explicit, and everything else is refused by name.

mmengine also executes the *text of a config* found inside a checkpoint: when resuming
(key ``meta['config']``, which only mmcv 1.x wrote) and when an inferencer is given
weights without a config. The first is dropped, the second needs the same trust.

Can go once mmengine releases its own safe list and stops executing such text.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

from rlepose_ext.compat._imports import Patch, when_imported
from rlepose_ext.compat._safe_load import (
    TRUST,
    how_to_trust,
    is_trusted,
    load_file,
    load_url,
    safe_globals,
)
from rlepose_ext.errors import UserError

# Backends that fetch the file themselves and then call torch.load.
_OTHER_SCHEMES = {
    'load_from_pavi': ['pavi://'],
    'load_from_ceph': [r'(\S+\:)?s3://', r'(\S+\:)?petrel://'],
    'load_from_openmmlab': ['open-mmlab://', 'openmmlab://'],
}


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a path or ``file://`` URL; see :func:`rlepose_ext.compat._safe_load.load_file`."""
    return load_file(filename, map_location)


def guarded(loader: Callable) -> Callable:
    """A loader of mmengine's, with the safe list in force while it runs.

    Raises:
        UserError: (the new loader) what it fetched would execute code.
    """

    @functools.wraps(loader)
    def load(filename: str, map_location: Any = None) -> Any:
        import torch

        try:
            with torch.serialization.safe_globals(safe_globals()):
                return loader(filename, map_location=map_location)
        except pickle.UnpicklingError as error:
            raise UserError(
                f'checkpoint {filename} was refused: it would execute code, or is damaged. '
                f'Download it and load the local file: {TRUST} can then name it. ({error})'
            ) from error

    return load


def _patch_loader(module: ModuleType) -> None:
    register = module.CheckpointLoader.register_scheme
    register('', load_from_local, force=True)
    # Under this name mmengine's own http, torchvision, openmmlab and mmcls loaders call it.
    module.load_url = load_url
    for name, prefixes in _OTHER_SCHEMES.items():
        register(prefixes, guarded(getattr(module, name)), force=True)


def _patch_runner(module: ModuleType) -> None:
    upstream = module.Runner.load_checkpoint

    @functools.wraps(upstream)
    def load_checkpoint(self, filename, *args, **kwargs):
        checkpoint = upstream(self, filename, *args, **kwargs)
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        return checkpoint

    module.Runner.load_checkpoint = load_checkpoint


def _patch_inferencer(module: ModuleType) -> None:
    upstream = module.BaseInferencer._init_model

    @functools.wraps(upstream)
    def _init_model(self, cfg, weights, *args, **kwargs):
        if not cfg and weights is not None:
            _require_trust(weights)
        return upstream(self, cfg, weights, *args, **kwargs)

    module.BaseInferencer._init_model = _init_model


def _require_trust(weights: str) -> None:
    try:
        with open(weights, 'rb') as stream:
            data = stream.read()
    except OSError as error:
        raise UserError(
            f'a model config is needed beside the weights {weights}: the text of a config '
            'inside a checkpoint is a program. Give the config file too.'
        ) from error
    if not is_trusted(data):
        raise UserError(
            f'a model config is needed beside the weights {weights}: the config inside the '
            'checkpoint is a program and would be executed. Give the config file too. '
            f'{how_to_trust(data)}'
        )


def _install() -> None:
    when_imported('mmengine.runner.checkpoint', _patch_loader)
    when_imported('mmengine.runner.runner', _patch_runner)
    when_imported('mmengine.infer.infer', _patch_inferencer)


PATCH = Patch(
    name='checkpoints',
    breaks='no checkpoint written by mmengine loads or resumes',
    since='torch 2.6',
    until='mmengine releases a safe list of its own',
    install=_install,
)
