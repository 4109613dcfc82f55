"""Decode each picture once: ``RLEPOSE_IMAGE_CACHE=FOLDER``.

``LoadImage`` writes the pixels of a picture below the folder when it first decodes it, and maps
them into memory from then on. Of a mapped picture only the pages that a crop shows are read, from
memory if the system still has them there. A file's entry belongs to its path, size and time of
change; nothing is ever deleted, and no more is written once 5 GiB of the disk are left.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
import shutil
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np

from rlepose_ext.errors import UserError

SWITCH = 'RLEPOSE_IMAGE_CACHE'
LEAST_FREE = 5 * 2**30  # bytes of the disk, for all else that runs there


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
        if not entry.is_file():
            results = original(self, results)
            if results is not None:
                keep(results['img'], entry)
            return results
        results['img'] = image = mapped(entry)
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
    if not os.path.isdir(folder):
        raise UserError(f'{SWITCH}={folder}: there is no such folder; create it on a fast disk')
    known = (os.path.abspath(path), status.st_size, status.st_mtime_ns, color_type)
    name = hashlib.sha1(repr(known).encode(), usedforsecurity=False).hexdigest()
    return Path(folder, name[:2], f'{name[2:]}.pixels')


def mapped(entry: Path) -> np.ndarray:
    """The pixels of an entry; what is painted into them does not reach the file."""
    with open(entry, 'rb') as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    shape = np.frombuffer(data, np.uint32, 3)
    return np.frombuffer(data, np.uint8, offset=shape.nbytes).reshape(shape[: 3 if shape[2] else 2])


def keep(image: np.ndarray, entry: Path) -> None:
    """Write the pixels of a picture, whole or not at all; not on a disk that is nearly full.

    The shape, three times uint32 (no channels: 0), then the pixels.
    """
    root = entry.parent.parent
    if image.dtype != np.uint8 or shutil.disk_usage(root).free - image.nbytes < LEAST_FREE:
        return
    entry.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=root, suffix='.part', delete=False) as file:
        try:
            np.array([*image.shape, 0][:3], np.uint32).tofile(file)
            image.tofile(file)
        except OSError:
            os.unlink(file.name)
            return
    os.replace(file.name, entry)
