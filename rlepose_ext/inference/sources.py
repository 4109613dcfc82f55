"""What the user names as input, as a list of images, videos, streams and cameras."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rlepose_ext.errors import UserError
from rlepose_ext.inference import images, remote

VIDEO_SUFFIXES = ('.avi', '.flv', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
# What OpenCV does not write as the codecs of :mod:`.video`, or not at all, and what it becomes.
WRITTEN_AS = {
    '.flv': '.mp4',
    '.gif': '.png',
    '.mpeg': '.mp4',
    '.mpg': '.mp4',
    '.webm': '.mp4',
    **dict.fromkeys(images.HEIF_SUFFIXES, '.jpg'),
}


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        kind: ``'image'``, ``'video'``, ``'stream'`` or ``'webcam'``; ``'url'`` until
            :meth:`resolve` has asked what is there; ``'bad'`` if it cannot be used.
        path: the file; of a webcam its number as text, of a picture in memory a name for it, of
            an address a file name.
        image: the picture, where it is in memory; see :func:`.images.read_image`.
        url: the address of what is not on this machine.
        written_as: what results are called after in place of the file's own stem.
        problem: of a bad one, what to tell the user.
    """

    kind: str
    path: Path
    image: Any = field(default=None, compare=False, repr=False)
    url: str | None = None
    written_as: str | None = None
    problem: str = ''

    @property
    def camera(self) -> int:
        """Number of the webcam."""
        return int(str(self.path))

    @property
    def is_live(self) -> bool:
        """Whether frames are lost that are not taken in time."""
        return self.kind in ('webcam', 'stream')

    @property
    def is_film(self) -> bool:
        """Whether it has many frames; of an address, as far as its name tells."""
        return self.is_live or self.path.suffix.lower() in VIDEO_SUFFIXES

    @property
    def readable(self) -> Any:
        """What a reader opens: picture, path, address, or the number of a camera."""
        if self.image is not None:
            return self.image
        if self.kind == 'webcam':
            return self.camera
        return self.path if self.url is None else self.url

    @property
    def label(self) -> str:
        """What messages and results call it; without the password of an address."""
        return str(self.path) if self.url is None else remote.shown(self.url)

    @property
    def name(self) -> str:
        """What box files call it."""
        return 'webcam.mp4' if self.kind == 'webcam' else self.path.name

    @property
    def output_name(self) -> str:
        """Name of the drawn file: the same, unless its format cannot be written."""
        suffix = Path(self.name).suffix
        if self.kind == 'stream':
            suffix = '.mp4'
        elif self.url is not None:
            # An address may end in anything.
            is_video = self.kind == 'video' or suffix.lower() in VIDEO_SUFFIXES
            known = VIDEO_SUFFIXES if is_video else images.SUFFIXES
            suffix = suffix if suffix.lower() in known else ('.mp4' if is_video else '.jpg')
        return self.stem + WRITTEN_AS.get(suffix.lower(), suffix)

    @property
    def stem(self) -> str:
        """What files beside the drawn one are called after."""
        return self.written_as or Path(self.name).stem

    def resolve(self) -> Source:
        """The same, with a kind that can be opened; asks the server of an address.

        Raises:
            UserError: it cannot be used.
        """
        if self.kind == 'bad':
            raise UserError(self.problem)
        return replace(self, kind=remote.kind_of(self.url)) if self.kind == 'url' else self


def find_sources(inputs: Any, nested: bool = False, first: int = 0) -> list[Source]:
    """Turn what was typed or given into inputs.

    Args:
        inputs: image or video files, folders (their images and videos, sorted, not hidden
            ones), patterns such as ``'shots/*.jpg'``, addresses, ``'webcam'`` or a camera's
            number, ``'-'`` for a list of these on standard input, one per line; pictures in memory
            (arrays, PIL images); lists of these, and arrays of pictures. Other files in a folder,
            or that fit a pattern, are left out.
        nested: folders inside folders too.
        first: number in the name of a picture in memory, and of the first of a list.

    Returns:
        Inputs with names of results that differ, see :func:`name_apart`. Of several, one that
        cannot be used is of kind ``'bad'``, so that the others can be run.

    Raises:
        UserError: nothing that can be used, or of another type.
    """
    found = list(_found(inputs, nested, first))
    if found and all(source.kind == 'bad' for source in found):
        raise UserError(found[0].problem)
    return name_apart(found)


def is_list(inputs: Any) -> bool:
    """Whether inputs are a list of inputs, or an array of pictures."""
    return isinstance(inputs, (list, tuple)) or (
        isinstance(inputs, np.ndarray) and inputs.ndim == 4
    )


def name_apart(sources: Iterable[Source]) -> list[Source]:
    """Give results of inputs with one stem different names.

    The first keeps its name, the others get a number: ``a/1.jpg`` and ``b/1.jpg`` become
    ``1.jpg`` and ``1_2.jpg``. Names depend on the inputs and their order alone. Upper and lower
    case are the same here, as some disks have it.

    Args:
        sources: all inputs of one output folder.
    """
    sources = list(sources)
    # A number must not lead to the name of another input.
    taken = {source.stem.casefold() for source in sources}
    stems: dict[tuple[Source, int], str | None] = {}
    last: dict[str, int] = {}
    for source in sources:
        key, name = (source, id(source.image)), source.stem.casefold()
        if key in stems:  # the same input again
            continue
        stems[key] = None
        if name in last:
            while (stem := f'{source.stem}_{last[name] + 1}').casefold() in taken:
                last[name] += 1
            taken.add(stem.casefold())
            stems[key] = stem
        last[name] = last.get(name, 0) + 1
    return [
        source if stem is None else replace(source, written_as=stem)
        for source in sources
        for stem in [stems[source, id(source.image)]]
    ]


def check_outputs(sources: Sequence[Source], folder: Path) -> None:
    """Drawn files may not replace inputs, their own or others.

    Raises:
        UserError: one would.
    """
    inputs = {
        source.path.resolve(): source
        for source in sources
        if source.kind in ('image', 'video') and source.url is None and source.image is None
    }
    for source in sources:
        if other := inputs.get((folder / source.output_name).resolve()):
            raise UserError(
                f'the drawn {source.output_name} would replace the input {other.path}: choose '
                'another --output-root'
            )


def _found(inputs: Any, nested: bool, number: int) -> Iterator[Source]:
    if is_list(inputs):
        for index, each in enumerate(inputs):
            yield from _found(each, nested, number + index)
    elif isinstance(inputs, (np.ndarray, Image.Image)):
        yield Source('image', Path(f'image{number}.jpg'), inputs)
    elif isinstance(inputs, (str, Path, int)):
        for text in _typed(str(inputs)):
            try:
                yield from _expand(text, nested)
            except UserError as error:
                yield Source('bad', Path(text), problem=str(error))
    else:
        raise UserError(
            f'source: expected a path, an address, the number of a camera, an array, a PIL image, '
            f'or a list of these, got a {type(inputs).__name__}'
        )


def _typed(text: str) -> list[str]:
    if text != '-':
        return [text]
    names = [line for line in map(str.strip, sys.stdin) if line and line != '-']
    if not names:
        raise UserError('standard input has no file names, expected one per line')
    return names


def _expand(text: str, nested: bool) -> list[Source]:
    if not text:
        raise UserError(
            'an input is empty text: expected a file, a folder, a pattern, an address or a webcam; '
            'write . for the current folder'
        )
    if text == 'webcam':
        return [Source('webcam', Path('0'))]
    if remote.is_url(text):
        return [_address(text)]
    text = remote.local_path(text)
    path = Path(text)
    try:
        if text.isdigit() and not path.exists():
            return [Source('webcam', path)]
        if path.is_dir():
            return _folder(path, nested)
        if path.exists():
            return [_file(path)]
        # Two stars are folders inside folders.
        matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, 'strerror', None) or error
        raise UserError(f'{text[:200]} cannot be read: {reason}') from error
    remote.check_scheme(text)
    if any(character in text for character in '*?['):
        files = [match for match in matches if _is_known(match) and match.is_file()]
        if not files:
            raise UserError(
                f'no file fits the pattern {text}'
                if not matches
                else f'no image and no video fits the pattern {text}, only {matches[0]}'
            )
        return [_file(file) for file in files]
    raise UserError(f'{text} does not exist')


def _address(url: str) -> Source:
    name = remote.file_name(url)
    scheme, suffix = url.partition('://')[0].lower(), Path(name).suffix.lower()
    if scheme in remote.LIVE:
        return Source('stream', Path(name), url=url)
    # Of a video too the server is asked: OpenCV does not tell a page from a damaged film.
    return Source('image' if suffix in images.SUFFIXES else 'url', Path(name), url=url)


def _folder(path: Path, nested: bool) -> list[Source]:
    files = sorted(_nested_files(path)) if nested else sorted(path.iterdir())
    files = [file for file in files if _is_known(file) and file.is_file()]
    if not files:
        known = ', '.join((*images.SUFFIXES, *VIDEO_SUFFIXES))
        inside = any(each.is_dir() for each in path.iterdir()) and not nested
        raise UserError(
            f'folder {path} has neither images nor videos ({known})'
            + ('; --nested takes those of folders inside it' if inside else '')
        )
    return [_file(file) for file in files]


def _nested_files(path: Path) -> Iterator[Path]:
    # Links to folders are not followed: they may lead in a circle.
    for folder, inner, names in os.walk(path):
        inner[:] = [name for name in inner if not name.startswith('.')]
        yield from (Path(folder, name) for name in names)


def _is_known(path: Path) -> bool:
    # Hidden files are no pictures: unfinished results, and macOS's notes on files (._a.jpg).
    suffix = path.suffix.lower()
    return suffix in (*images.SUFFIXES, *VIDEO_SUFFIXES) and not path.name.startswith('.')


def _file(path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix in images.SUFFIXES:
        return Source('image', path)
    if suffix in VIDEO_SUFFIXES:
        return Source('video', path)
    raise UserError(
        f'{path} is neither an image ({", ".join(images.SUFFIXES)}) nor a video '
        f'({", ".join(VIDEO_SUFFIXES)}) by its suffix'
    )
