"""Checkpoint files that are whole or not there.

A training that dies while it writes must find its last good checkpoint again. So a file
is written under a temporary name, forced to the disk, read back and only then renamed,
which a file system does at once or not at all.

A checkpoint of torch is a zip archive. A zip archive may end with a comment, which readers
ignore: ours is the sha256 of all bytes before it, by which :func:`damage` detects damage from a
crash, a copy or a disk. It needs no second file, which could get lost. Archives of others have
at least a CRC-32 of each entry.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

# While it is written, epoch_3.pth is called .epoch_3.pth.writing
WRITING = '.writing'
# What a run that was asked to stop leaves, until the next regular checkpoint.
INTERRUPTED = 'interrupted.pth'
_PERIODIC = re.compile(r'(?:epoch|iter)_\d+\.pth|' + re.escape(INTERRUPTED))
_SEAL = b'rlepose_ext sha256 '
_DIGEST_SIZE = 64
# The record that ends a zip archive: its signature, its size without a comment.
_END_SIGNATURE, _END_SIZE = b'PK\x05\x06', 22
_LEGACY_PICKLE = b'\x80'
# What zipfile raises for archives that are not as written; RuntimeError: seemingly encrypted.
_DAMAGED = (
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class Whole(str):
    """The path of a checkpoint whose checksum was right a moment ago.

    Loading it need not read the file twice.
    """


def write_atomically(data: bytes | memoryview, path: str | os.PathLike) -> None:
    """Put ``data`` into ``path``, whole, or leave ``path`` as it was.

    Args:
        data: the file's content.
        path: the file; its folder is made.

    Raises:
        OSError: it cannot be written, as on a full disk, or read back as it was written;
            its ``filename`` is ``path``. What was half written is removed.
    """
    with _written_atomically(path) as stream:
        stream.write(data)


def write_sealed(save: Callable[[BinaryIO], Any], path: str | os.PathLike) -> None:
    """As :func:`write_atomically`, of a zip archive, which is sealed on the way.

    The archive goes to the disk as it comes: it is never in memory as a whole.

    Args:
        save: writes the archive to the stream that it is given, from start to end.
        path: the file; its folder is made.

    Raises:
        OSError: as above.
        ValueError: what ``save`` has written is no zip archive, or has a comment.
    """
    with _written_atomically(path) as stream:
        sealing = _Sealing(stream)
        save(sealing)
        sealing.finish()


class _Hashing:
    """A stream to write to, which hashes what it writes.

    An ``OSError`` is kept until the end: torch's writer would make another error of it.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        size = memoryview(data).nbytes
        if self.error is None:
            self.sha256.update(data)
            self.size += size
            try:
                self._stream.write(data)
            except OSError as error:
                self.error = error
        return size


class _Sealing:
    """A stream that ends a zip archive with the sha256 of itself, as the archive's comment."""

    def __init__(self, stream: _Hashing) -> None:
        self._stream = stream
        self._end = b''  # held back: these bytes change if they turn out to be the last ones

    def write(self, data: bytes | memoryview) -> int:
        data = memoryview(data)
        self._stream.write(self._end[: max(0, len(self._end) + data.nbytes - _END_SIZE)])
        self._stream.write(data[: max(0, data.nbytes - _END_SIZE)])
        self._end = (self._end + bytes(data[-_END_SIZE:]))[-_END_SIZE:]
        return data.nbytes

    def flush(self) -> None:
        """Do nothing; torch asks for it."""

    def finish(self) -> None:
        if self._end[:4] != _END_SIGNATURE or self._end[-2:] != b'\0\0':
            raise ValueError('expected a zip archive without a comment, as torch.save writes it')
        # the last field of the archive is the length of the comment that follows
        length = (len(_SEAL) + _DIGEST_SIZE).to_bytes(2, 'little')
        self._stream.write(self._end[:-2] + length + _SEAL)
        self._stream.write(self._stream.sha256.hexdigest().encode())


@contextmanager
def _written_atomically(path: str | os.PathLike) -> Iterator[_Hashing]:
    """A stream whose content is in ``path`` after the block, or ``path`` is as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}{WRITING}')
    try:
        with partial.open('wb') as stream:
            writer = _Hashing(stream)
            yield writer
            if writer.error is not None:
                raise writer.error
            stream.flush()
            os.fsync(stream.fileno())
        with partial.open('rb') as stream:
            written = _sha256(stream, writer.size + 1)
        if written != writer.sha256.hexdigest():
            raise OSError(errno.EIO, 'what was read back is not what was written')
        os.replace(partial, path)
        _sync_folder(path.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            # write and fsync name no file, open and replace the temporary one
            error.filename, error.filename2 = str(path), None
        raise


def damage(path: str | os.PathLike) -> str | None:
    """What is wrong with a checkpoint file, or None if its checksum is right.

    Where there is no seal, the CRC-32 of each entry is checked. Files in torch's format of
    before 1.6 have no checksum at all and count as whole.

    Args:
        path: a local file.

    Raises:
        PermissionError: the file may not be read, which says nothing about its content.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size == 0:
            return 'it is empty'
        if not zipfile.is_zipfile(path):
            with path.open('rb') as stream:
                if stream.read(1) == _LEGACY_PICKLE:
                    return None
            return f'it breaks off after {size:,} bytes, or is no checkpoint'
        place = _seal_at(path, size)
        if place is not None:
            return None if _seal_holds(path, place) else 'its sha256 is not that at its end'
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except FileNotFoundError:
        return 'it does not exist'
    except PermissionError:
        raise
    except _DAMAGED as error:
        return f'it cannot be read ({error})'
    return bad and f'the checksum of its entry {bad} is wrong'


def latest_whole(folder: str | os.PathLike, warn: Callable[[str], None]) -> Path | None:
    """The newest checkpoint of a work directory from which a training can go on.

    The one that ``last_checkpoint`` names comes first, then ``epoch_N.pth``, ``iter_N.pth``
    and ``interrupted.pth`` by age, newest first. ``best_*.pth`` have no optimizer state.

    Args:
        folder: the work directory.
        warn: gets one line for each file that is damaged and skipped.

    Returns:
        The path, or None if there is none.
    """
    for path in _candidates(Path(folder)):
        problem = damage(path)
        if problem is None:
            return path
        warn(f'checkpoint {path} is skipped: {problem}')
    return None


def remove_leftovers(folder: str | os.PathLike) -> list[Path]:
    """Delete what an earlier process left half written; returns what was deleted."""
    leftovers = sorted(Path(folder).glob(f'.*{WRITING}'))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers


def _candidates(folder: Path) -> Iterator[Path]:
    note = folder / 'last_checkpoint'
    named = None
    if note.is_file():
        # A half-written note may hold anything, also bytes that are no text.
        text = note.read_bytes().decode('utf-8', errors='replace').strip().strip('\0')
        named = Path(text) if text else None
    if named is not None:
        # The work directory may have been moved or copied since.
        moved = folder / named.name
        named = moved if not named.exists() and moved.exists() else named
        yield named
    others = [path for path in folder.glob('*.pth') if _PERIODIC.fullmatch(path.name)]
    for path in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        if named is None or path.absolute() != named.absolute():
            yield path


def _seal_at(path: Path, size: int) -> int | None:
    """Where the seal begins, looked for in as many bytes as it takes."""
    start = max(0, size - len(_SEAL) - _DIGEST_SIZE)
    with path.open('rb') as stream:
        stream.seek(start)
        found = stream.read().find(_SEAL)
    return None if found < 0 else start + found


def _seal_holds(path: Path, place: int) -> bool:
    with path.open('rb') as stream:
        content, end = _sha256(stream, place + len(_SEAL)), stream.read()
    return content.encode() == end


def _sha256(stream: BinaryIO, length: int, block: int = 1 << 22) -> str:
    """Sum of the next ``length`` bytes, which are read block by block."""
    value = hashlib.sha256()
    while length > 0 and (chunk := stream.read(min(block, length))):
        value.update(chunk)
        length -= len(chunk)
    return value.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk. Windows cannot open a folder, and need not."""
    if os.name == 'nt':
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
