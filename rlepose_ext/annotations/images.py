"""Checking image files without decoding them: there, whole, readable, of the size annotated."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rlepose_ext.annotations.coco_file import DataError, MissingFileError, missing

_TAIL = 64  # bytes
_JPEG, _JPEG_SCAN, _JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'
_PNG, _PNG_END = b'\x89PNG', b'IEND'
REMEDY = 'Download or copy it again, or take it out of the annotation file.'
_EXIF_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


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
        raise DataError(f'image {path} is an empty file. {REMEDY}')
    if is_truncated(data):
        raise TruncatedImageError(
            f'image {path} is truncated: it ends after {len(data)} bytes without its end '
            f'marker. {REMEDY}'
        )


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height in px as OpenCV loads it, turned as its EXIF tag says.

    Raises:
        OSError: it is missing, or no image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _TURNED
            return image.size[::-1] if turned else image.size
    except (UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise OSError(f'{path} is no image that can be read') from error


@dataclass
class ImageCheck:
    """What :func:`check_images` found.

    Attributes:
        checked: number of files looked at.
        missing: names of files that do not exist.
        broken: name to how: empty, truncated, no image.
        other_size: name, and both sizes.
        sizes: name to (width, height) in px of the good ones.
    """

    checked: int = 0
    missing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    other_size: list[str] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)


def check_images(
    folder: str | Path, images: Iterable[tuple[str, tuple[int, int] | None]]
) -> ImageCheck:
    """Look at each file's end, head and size.

    A picture that is damaged in its middle is not noticed: only decoding shows that.

    Args:
        folder: the files' folder.
        images: file name, and annotated (width, height) in px if there is one.
    """
    result = ImageCheck()
    for name, annotated in images:
        path = Path(folder) / name
        result.checked += 1
        try:
            check_image_file(str(path))
            size = image_size(path)
        except MissingFileError:
            result.missing.append(name)
            continue
        except DataError:
            result.broken[name] = 'truncated' if path.stat().st_size else 'empty'
            continue
        except OSError:
            result.broken[name] = 'no image'
            continue
        result.sizes[name] = size
        if annotated is not None and size != annotated:
            there, said = ('x'.join(map(str, pair)) for pair in (size, annotated))
            result.other_size.append(f'{name} ({there}, annotated {said})')
    return result
