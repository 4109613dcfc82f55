"""Checking image files without decoding them: there, whole, readable, of the size annotated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rlepose_ext.compat._data_errors import DataError, MissingFileError
from rlepose_ext.compat.image_errors import check_image_file

_EXIF_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


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
        broken: name, and how: empty, truncated, no image.
        other_size: name, and both sizes.
        sizes: name to (width, height) in px of the good ones.
    """

    checked: int = 0
    missing: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
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
            kind = 'truncated' if path.stat().st_size else 'empty'
            result.broken.append(f'{name} ({kind})')
            continue
        except OSError:
            result.broken.append(f'{name} (no image)')
            continue
        result.sizes[name] = size
        if annotated is not None and size != annotated:
            there, said = ('x'.join(map(str, pair)) for pair in (size, annotated))
            result.other_size.append(f'{name} ({there}, annotated {said})')
    return result
