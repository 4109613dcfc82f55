"""Read and write checkpoints: nothing executed while loading, nothing half-written."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlepose_ext.checkpoints.files import write_sealed
from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint: a plain state dict or one under ``'state_dict'``.

    ``'model'`` is where MMPose_Clean's trainings, and those of many other projects, write it.

    Raises:
        UserError: the file is missing, damaged, would execute code, or holds no tensors.
    """
    import torch

    content = load_file(path, map_location='cpu')
    state = content
    for key in ('state_dict', 'model'):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            state = content[key]
            break
    if not isinstance(state, Mapping) or not state:
        raise UserError(f'{path} holds no state dict but a {type(content).__name__}')
    wrong = [str(key) for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if wrong:
        raise UserError(f'{path} holds no state dict: no tensor at {", ".join(wrong[:5])}')
    return dict(state)


def check_target(path: str | Path, force: bool = False) -> Path:
    """The path to write to.

    Raises:
        UserError: something is there already and ``force`` is not set.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f'{path} is a folder; give the name of a file')
    if path.exists() and not force:
        raise UserError(f'{path} exists already; add --force to overwrite it')
    return path


def write_checkpoint(path: str | Path, state: Mapping[str, Tensor], meta: dict[str, Any]) -> None:
    """Write ``{'state_dict', 'meta'}`` whole or not at all.

    Raises:
        UserError: the folder cannot be written to.
    """
    import torch

    # clone: a view would write the whole storage that it looks into
    content = {'state_dict': {k: v.clone() for k, v in state.items()}, 'meta': meta}
    try:
        write_sealed(functools.partial(torch.save, content), path)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}') from error
