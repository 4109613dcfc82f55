"""Decode each picture once: ``RLEPOSE_IMAGE_CACHE=FOLDER``.

``LoadImage`` writes the pixels of a picture below the folder when it first decodes it, and maps
them into memory from then on. Of a mapped picture only the pages that a crop shows are read, from
memory if the system still has them there. A file's entry belongs to its path, size and time of
change; no entry is ever deleted, and no more is written once 5 GiB of the disk are left.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import mmap
import os
import shutil
import time
import uuid
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np

from rlepose_ext.errors import UserError

SWITCH = 'RLEPOSE_IMAGE_CACHE'
LEAST_FREE = 5 * 2**30  # bytes of the disk, for all else that runs there
_HEADER = 12  # bytes


def equip(module: ModuleType) -> None:
    """Let ``LoadImage`` of ``mmpose.datasets.transforms.loading`` use the cache."""
    original = module.LoadImage.transform

    @functools.wraps(original)
    def transform(self, results: dict) -> dict | None:
        folder = os.environ.get(SWITCH)
        if not folder or 'img' in results or not _is_plain(self):
            return original(self, results)
        entry = entry_of(results['img_path'], folder, self.color_type)
        if entry is None:
            return original(self, results)
        image = mapped(entry)
        if image is None:
            results = original(self, results)
            if results is not None:
                keep(results['img'], entry)
            return results
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    module.LoadImage.transform = transform


def _is_plain(loader: object) -> bool:
    return (
        not loader.to_float32
        and loader.imdecode_backend == 'cv2'
        and loader.file_client_args is None
        and (loader.backend_args or {}).get('backend', 'local') == 'local'
    )


def entry_of(path: str, folder: str, color_type: str) -> Path | None:
    """The file that the pixels of a picture belong in; None if the picture is no local file.

    Raises:
        UserError: ``folder`` is not there.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    folder = os.path.expanduser(folder)
    if not os.path.isdir(folder):
        raise UserError(f'{SWITCH}={folder}: there is no such folder; create it on a fast disk')
    known = (os.path.abspath(path), status.st_size, status.st_mtime_ns, color_type)
    name = hashlib.sha1(repr(known).encode(), usedforsecurity=False).hexdigest()
    return Path(folder, name[:2], f'{name[2:]}.pixels')


def mapped(entry: Path) -> np.ndarray | None:
    """The pixels of an entry; what is painted into them does not reach the file.

    Returns:
        None where there is no whole entry that may be read.
    """
    try:
        with open(entry, 'rb') as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError):  # ValueError: it is empty
        return None
    if len(data) <= _HEADER:
        return None
    shape = np.frombuffer(data, np.uint32, 3).tolist()
    if len(data) != _HEADER + math.prod(shape[:2]) * max(shape[2], 1):
        return None
    pixels = np.frombuffer(data, np.uint8, offset=_HEADER)
    return pixels.reshape(shape[: 3 if shape[2] else 2])


def keep(image: np.ndarray, entry: Path) -> None:
    """Write the pixels of a picture, whole or not at all; not on a disk that is nearly full.

    The shape, three times uint32 (no channels: 0), then the pixels. Where nothing can be written,
    as in a cache of somebody else's, a warning says so once in each process.
    """
    root = entry.parent.parent
    if image.dtype != np.uint8 or shutil.disk_usage(root).free - image.nbytes < LEAST_FREE:
        return
    part = root / f'{uuid.uuid4().hex}.part'
    try:
        _remove_left_over(root)
        entry.parent.mkdir(exist_ok=True)
        with open(part, 'xb') as file:
            file.write(np.array([*image.shape, 0][:3], np.uint32))
            file.write(np.ascontiguousarray(image))
            file.flush()
            # or a power cut could leave the name without the pixels
            os.fsync(file.fileno())
        part.replace(entry)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        warnings.warn(
            f'{SWITCH}={root}: pictures cannot be kept ({error.strerror}); those not in it '
            'are decoded each time',
            stacklevel=2,
        )


@functools.cache
def _remove_left_over(root: Path) -> None:
    """What processes that were killed had begun; once in a process."""
    for part in root.glob('*.part'):
        with contextlib.suppress(OSError):  # another process was faster, or it is another user's
            if time.time() - part.stat().st_mtime > 3600:
                part.unlink()
