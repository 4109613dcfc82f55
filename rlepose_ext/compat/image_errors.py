"""A missing, corrupt or truncated image gets a message that names it and the remedy.

Stock MMPose re-raises whatever came (``'NoneType' object has no attribute 'shape'`` for a
corrupt file), and says nothing at all about a truncated JPEG where the reader of images goes
on: older versions of OpenCV fill its lower part with grey. The model is trained on that, and
here a warning says so.
"""

from __future__ import annotations

import functools
import os
import warnings
from types import ModuleType

from rlepose_ext.compat._data_errors import DataError, missing
from rlepose_ext.compat._imports import Patch, when_imported

_TAIL = 64  # bytes
_JPEG, _JPEG_SCAN, _JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'
_PNG, _PNG_END = b'\x89PNG', b'IEND'
_REMEDY = 'Download or copy it again, or take it out of the annotation file.'


class TruncatedImageError(DataError):
    """An image file that ends before its end marker; some readers take the beginning."""


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG ends before its end marker; False for other formats."""
    if data.startswith(_JPEG):
        # An embedded thumbnail has an end of its own, but before the last scan begins.
        return data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN)
    return data.startswith(_PNG) and _PNG_END not in data


def _ends_well(path: str) -> bool:
    """The cheap test, which nearly all files pass: an end marker in the last bytes."""
    with open(path, 'rb') as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        tail = file.read()
    return _JPEG_END in tail or _PNG_END in tail


def check_image_file(path: str) -> None:
    """Raise for an image file that is missing, empty or truncated.

    Raises:
        MissingFileError: there is no such file.
        TruncatedImageError: it ends too early.
        DataError: it is empty.
    """
    if not os.path.isfile(path):
        raise missing('image', path, 'data_root, data_prefix and the file names in ann_file')
    if _ends_well(path):
        return
    with open(path, 'rb') as file:
        data = file.read()
    if not data:
        raise DataError(f'image {path} is an empty file. {_REMEDY}')
    if is_truncated(data):
        raise TruncatedImageError(
            f'image {path} is truncated: it ends after {len(data)} bytes without its end '
            f'marker. {_REMEDY}'
        )


def _guard(module: ModuleType) -> None:
    load_image = module.LoadImage
    original = load_image.transform

    @functools.wraps(original)
    def transform(self, results):
        # Loaded already, or the user asked for bad images to be left out.
        if 'img' in results or self.ignore_empty:
            return original(self, results)
        path = results['img_path']
        backend = (self.backend_args or {}).get('backend', 'local')
        local = backend == 'local' and '://' not in str(path)
        truncated = None
        try:
            if local:
                check_image_file(path)
        except TruncatedImageError as error:
            truncated = error
        try:
            results = original(self, results)
        except Exception as error:
            raise truncated or DataError(
                f'image {path} cannot be read as an image ({type(error).__name__}: {error}). If it '
                f'is there, it is corrupt or no image. {_REMEDY}'
            ) from error
        if truncated is not None:
            warnings.warn(str(truncated), stacklevel=2)
        return results

    load_image.transform = transform


def install() -> None:
    """Guard MMPose's LoadImage once it is imported."""
    when_imported('mmpose.datasets.transforms.loading', _guard)


PATCH = Patch(
    name='image_errors',
    breaks='a corrupt image ends a training with an error that does not say what to do, a '
    'truncated one may be trained on',
    since='always (MMPose 1.x)',
    until='MMPose checks what it reads',
    install=install,
)
