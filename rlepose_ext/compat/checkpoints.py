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
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

from rlepose_ext.checkpoints.safe_load import how_to_trust, is_trusted, load_file
from rlepose_ext.errors import UserError
from rlepose_ext.imports import Patch, rebind, when_imported


class _SafeTorch(ModuleType):
    """``torch`` as mmengine's loaders see it: its ``load`` is ours, and ignores ``weights_only``.

    Some forks of mmengine load a refused file again with ``weights_only=False``.
    """

    def __init__(self, torch: ModuleType) -> None:
        super().__init__(torch.__name__)
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    def load(self, file: Any, map_location: Any = None, **options: Any) -> Any:
        """Load a path, or what a backend has fetched."""
        if not hasattr(file, 'read'):
            return load_file(file, map_location)
        with TemporaryDirectory() as folder:
            fetched = Path(folder, 'fetched.pth')
            fetched.write_bytes(file.read())
            return load_file(fetched, map_location)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a path or ``file://`` URL; see :func:`rlepose_ext.checkpoints.safe_load.load_file`."""
    return load_file(filename, map_location)


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
) -> Any:
    """Download a checkpoint once, then :func:`load_file` it.

    A name with a hash, like ``resnet50-0676ba61.pth``, is fetched as ``rlepose weights`` does:
    into ``RLEPOSE_CACHE``, from ``RLEPOSE_MIRROR`` first, hashed on every use. What lies in
    torch.hub's folder with that hash is used too. Other names go to torch.hub's folder, and
    nothing can tell whether they are whole.

    Args:
        url: ``http(s)://`` address.
        model_dir: another folder to keep it in.
        map_location: as in ``torch.load``.
        progress: show a progress bar, for a name without a hash.

    Raises:
        UserError: it cannot be downloaded, has the wrong hash, or as :func:`load_file`.
    """
    import torch

    # not above: they are needed for downloads only
    from rlepose_ext.zoo.files import at_address
    from rlepose_ext.zoo.weights import fetch, is_good

    folder = Path(model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints'))
    cached = folder / os.path.basename(urlparse(url).path)
    file = at_address(url)
    if file is not None:
        if not is_good(cached, file):
            cached = fetch(file, Path(model_dir) if model_dir else None)
    elif not cached.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sys.stderr.write(f'Downloading: "{url}" to {cached}\n')
        try:
            torch.hub.download_url_to_file(url, str(cached), progress=progress)
        except (URLError, TimeoutError, ConnectionError, RuntimeError) as error:
            raise UserError(
                f'checkpoint {url} could not be downloaded ({error}). On a machine without '
                f'Internet, fetch it elsewhere and put it at {cached}.'
            ) from error
    return load_file(cached, map_location)


def _patch_loader(module: ModuleType) -> None:
    module.torch = _SafeTorch(module.torch)
    module.CheckpointLoader.register_scheme('', load_from_local, force=True)
    # Under this name mmengine's own http, torchvision, openmmlab and mmcls loaders call it.
    module.load_url = load_url
    upstream = module._load_checkpoint

    @functools.wraps(upstream)
    def load_without_config(*args, **kwargs):
        checkpoint = upstream(*args, **kwargs)
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        return checkpoint

    # All runners and strategies load through it.
    module._load_checkpoint = load_without_config
    rebind(upstream, load_without_config, 'mmengine')


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
    when_imported('mmengine.infer.infer', _patch_inferencer)


PATCH = Patch(
    name='checkpoints',
    breaks='no checkpoint written by mmengine loads or resumes',
    since='torch 2.6',
    until='mmengine releases a safe list of its own',
    install=_install,
)
