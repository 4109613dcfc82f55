"""Read a checkpoint without running code from it.

``torch.load(weights_only=True)`` builds only what is on a list. What mmengine puts
beside the tensors (log history, metainfo with numpy arrays, scores, configs) is on ours,
as stand-ins (:mod:`rlepose_ext.checkpoints.safe_values`); a file that names anything else is
refused, and ``RLEPOSE_TRUST_CHECKPOINT=<sha256>`` lets exactly that file through.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from rlepose_ext.checkpoints.files import Whole, damage
from rlepose_ext.errors import UserError

TRUST = 'RLEPOSE_TRUST_CHECKPOINT'

# First bytes of what torch.save writes: a zip archive, or (legacy format) a pickle.
_ZIP = b'PK\x03\x04'
_TORCH_MAGIC = (_ZIP, b'\x80')
# torch's list belongs to the process.
_ONE_AT_A_TIME = threading.RLock()


class MissingCheckpointError(UserError, FileNotFoundError):
    """No such file. Also the exception that mmengine raises for it."""


def safe_load(file: Any, map_location: Any = None, **_: Any) -> Any:
    """``torch.load`` for untrusted files; further arguments are ignored.

    Args:
        file: path or open binary file.
        map_location: as in ``torch.load``.

    Raises:
        pickle.UnpicklingError: the file names something that is not on the list.
    """
    import torch

    from rlepose_ext.checkpoints.safe_values import with_arrays

    with _list_of_ours():
        return with_arrays(torch.load(file, map_location=map_location, weights_only=True))


@contextmanager
def _list_of_ours() -> Iterator[None]:
    """While it lasts, torch's list of what a file may name has our stand-ins.

    A program may have put the real classes there (so goes the usual advice, and so does a fork of
    mmengine): then either of the two could be used. Other entries stay.
    """
    from torch import serialization

    from rlepose_ext.checkpoints.safe_values import STAND_INS

    with _ONE_AT_A_TIME:
        before = serialization.get_safe_globals()
        kept = [entry for entry in before if not _is_replaced(entry, STAND_INS)]
        serialization.clear_safe_globals()
        serialization.add_safe_globals(kept + [(item, name) for name, item in STAND_INS.items()])
        try:
            yield
        finally:
            serialization.clear_safe_globals()
            serialization.add_safe_globals(before)


def _is_replaced(entry: Any, stand_ins: Container[str]) -> bool:
    item, name = entry if isinstance(entry, tuple) else (entry, None)
    name = name or f'{item.__module__}.{item.__qualname__}'
    return name in stand_ins or name.startswith('numpy.')


def load_file(path: str | os.PathLike, map_location: Any = None) -> Any:
    """Load a local checkpoint.

    Args:
        path: path or ``file://`` URL; ``~`` is expanded.
        map_location: as in ``torch.load``.

    Raises:
        MissingCheckpointError: there is no such file.
        UserError: the file is not a checkpoint, is damaged, or would execute code.
    """
    file = _local_path(path)
    if not file.is_file():
        raise MissingCheckpointError(
            f'checkpoint {str(path)!r} does not exist (looked in {os.getcwd()}). Give the path '
            'of a .pth file; training writes epoch_N.pth and best_*.pth into its work directory.'
        )
    checked = isinstance(path, Whole) or not _starts_like(file, _ZIP)
    problem = None if checked else damage(file)
    if problem:  # torch itself does not look at the checksums
        raise _unreadable(file, ValueError(problem))
    try:
        return safe_load(file, map_location)
    except (PermissionError, MemoryError):
        raise
    except pickle.UnpicklingError as error:
        if not _starts_like(file, _TORCH_MAGIC):
            raise _unreadable(file, error) from error
        return _load_trusted(file, map_location, error)
    except Exception as error:
        # a sound file, on a machine without its device: torch's message says what to do
        if str(error).startswith('Attempting to deserialize'):
            raise
        raise _unreadable(file, error) from error


def is_trusted(data: bytes) -> bool:
    """Whether the user named the sha256 of this content in ``RLEPOSE_TRUST_CHECKPOINT``.

    Raises:
        UserError: the variable holds something else than sha256 sums.
    """
    sums = [item.strip().lower() for item in os.environ.get(TRUST, '').split(',') if item.strip()]
    for item in sums:
        if not re.fullmatch('[0-9a-f]{64}', item):
            raise UserError(
                f'{TRUST} takes the sha256 sums (64 hexadecimal digits) of the files to trust, '
                f'separated by commas; {item!r} is none.'
            )
    return hashlib.sha256(data).hexdigest() in sums


def how_to_trust(data: bytes) -> str:
    """The sentence that ends every refusal."""
    return (
        'If you know who made this very file and would run their programs under your account, '
        f'set {TRUST}={hashlib.sha256(data).hexdigest()} (its sha256): any code in it '
        'is then executed.'
    )


def _load_trusted(file: Path, map_location: Any, refusal: pickle.UnpicklingError) -> Any:
    """Load a refused file in full if the user trusts it by its sum, else say why not."""
    import torch
    from mmengine.logging import print_log

    # Read once: what is hashed is what is loaded.
    data = file.read_bytes()
    if not is_trusted(data):
        raise UserError(
            f'checkpoint {file} was not loaded: it wants {_culprit(refusal)}, and so could '
            'execute code. Checkpoints of MMEngine and of torch state dicts need nothing of '
            f'the kind. {how_to_trust(data)}'
        ) from refusal
    print_log(f'{file} may execute code; loaded because {TRUST} says so', 'current', level=30)
    return torch.load(io.BytesIO(data), map_location=map_location, weights_only=False)


def _local_path(path: str | os.PathLike) -> Path:
    text = os.fspath(path)
    if text.startswith('file://'):
        text = url2pathname(urlparse(text).path)
    return Path(text).expanduser()


def _starts_like(file: Path, magic: bytes | tuple[bytes, ...]) -> bool:
    with file.open('rb') as stream:
        return stream.read(4).startswith(magic)


def _culprit(refusal: pickle.UnpicklingError) -> str:
    """What the unpickler rejected: the global's name where it gives one."""
    text = str(refusal)
    name = re.search(r'GLOBAL (\S+)', text)
    if name:
        return name.group(1)
    detail = re.search(r'WeightsUnpickler error:\s*(.+)', text)
    return f'something unusual ({detail.group(1) if detail else text.splitlines()[0]})'


def _unreadable(file: Path, error: Exception) -> UserError:
    with file.open('rb') as stream:
        head = stream.read(24)
    if head.startswith(b'version https://git-lfs'):
        found = 'it is a Git LFS pointer; run `git lfs pull`'
    elif head.lstrip()[:1] == b'<':
        found = 'it is a web page; the download went wrong'
    elif 'TorchScript' in str(error):
        found = 'it is an exported TorchScript model'
    else:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        found = f'it is truncated, damaged or no torch file ({reason[:160]})'
    return UserError(
        f'checkpoint {file} ({file.stat().st_size:,} bytes) cannot be read: {found}. Expected '
        'a .pth file written by torch.save. Delete it and copy, download or write it again; '
        'after a crash, resume from the checkpoint before it.'
    )
