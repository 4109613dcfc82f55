"""What the user names as input, as a list of images, videos and cameras."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError
from rlepose_ext.inference import images

VIDEO_SUFFIXES = ('.avi', '.flv', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
# What OpenCV does not write as the codecs of :mod:`.video`, or not at all, and what it becomes.
WRITTEN_AS = {'.flv': '.mp4', '.gif': '.png', '.mpeg': '.mp4', '.mpg': '.mp4', '.webm': '.mp4'}


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        kind: ``'image'``, ``'video'`` or ``'webcam'``.
        path: the file; of a webcam its number as text, of a picture in memory a name for it.
        image: the picture, where it is in memory; see :func:`.images.read_image`.
    """

    kind: str
    path: Path
    image: Any = field(default=None, compare=False, repr=False)

    @property
    def camera(self) -> int:
        """Number of the webcam."""
        return int(str(self.path))

    @property
    def name(self) -> str:
        """What box files call it."""
        return 'webcam.mp4' if self.kind == 'webcam' else self.path.name

    @property
    def output_name(self) -> str:
        """Name of the drawn file: the same, unless its format cannot be written."""
        suffix = Path(self.name).suffix.lower()
        if suffix in WRITTEN_AS:
            return Path(self.name).with_suffix(WRITTEN_AS[suffix]).name
        return self.name

    @property
    def stem(self) -> str:
        """What files beside the drawn one are called after."""
        return 'webcam' if self.kind == 'webcam' else self.path.stem


def find_sources(inputs: str | Path | Sequence[str | Path]) -> list[Source]:
    """Turn what was typed into inputs.

    Args:
        inputs: image or video files, folders (their images and videos, sorted, not hidden
            ones, nor those of folders inside), patterns such as ``'shots/*.jpg'``,
            ``'webcam'`` or a camera's number, ``'-'`` for a list of files on standard input,
            one per line.

    Raises:
        UserError: nothing there, a folder or pattern without images, or an unknown suffix.
    """
    if isinstance(inputs, (str, Path)):
        inputs = [inputs]
    found = [source for text in inputs for source in _expand(str(text))]
    if not found:
        raise UserError('no input: name an image, a video, a folder, a pattern or a webcam')
    return found


def _expand(text: str) -> Iterable[Source]:
    if text == '-':
        lines = [line.strip() for line in sys.stdin]
        names = [line for line in lines if line]
        if not names:
            raise UserError('standard input has no file names, expected one per line')
        return [source for name in names if name != '-' for source in _expand(name)]
    if text == 'webcam':
        return [Source('webcam', Path('0'))]
    path = Path(text)
    try:
        if text.isdigit() and not path.exists():
            return [Source('webcam', path)]
        if path.is_dir():
            return _folder(path)
        if path.exists():
            return [_file(path)]
    except OSError as error:
        raise UserError(f'{text[:200]} cannot be read: {error.strerror or error}') from error
    matches = sorted(glob.glob(text))
    if any(character in text for character in '*?['):
        if not matches:
            raise UserError(f'no file fits the pattern {text}')
        return [_file(Path(match)) for match in matches if Path(match).is_file()]
    raise UserError(f'{text} does not exist')


def _folder(path: Path) -> list[Source]:
    known = (*images.SUFFIXES, *VIDEO_SUFFIXES)
    # Hidden files are no pictures: unfinished results, and macOS's notes on files (._a.jpg).
    files = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in known and file.is_file() and not file.name.startswith('.')
    )
    if not files:
        raise UserError(f'folder {path} has neither images nor videos ({", ".join(known)})')
    return [_file(file) for file in files]


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


def check_names(sources: Sequence[Source], by_stem: bool) -> None:
    """Two inputs may not be written to one file.

    Args:
        sources: of one output folder.
        by_stem: files called after the stem are written too, such as predictions.

    Raises:
        UserError: two of one name.
    """
    seen: dict[str, Path] = {}
    for source in sources:
        key = source.stem if by_stem else source.output_name
        other = seen.setdefault(key, source.path)
        if other != source.path:
            raise UserError(
                f'results of {other} and {source.path} would have the same name ({key}): run '
                'them with two different --output-root'
            )
