"""One file over HTTP that survives cut connections.

What has arrived lies in ``.part`` files. Beside it, a note says which version of the file it
is of: the server's ETag or date, and the length. The next attempt asks for the rest only (RFC
9110, section 14: ``Range`` and ``If-Range``) and goes on if the server still has that version;
a server that sends everything again gets a new start. Nothing here knows what the content
should be: the caller compares its hash.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

# Attempts without a new byte until a connection counts as lost, and seconds between them.
ATTEMPTS = 3
PAUSE = 1.0
# Seconds to connect, and between two pieces.
TIMEOUT = (10, 30)
PIECE = 1 << 16
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r'bytes (\d+)-\d+/(\d+)')

# Called with bytes that are there, and all bytes if that is known.
Progress = Callable[[int, int | None], None]


class DownloadError(Exception):
    """A file could not be had; one clause that says why."""


class _Interrupted(Exception):
    """An attempt ended early; another one may go on."""


@dataclass(frozen=True)
class _Version:
    """Which content a .part file is a part of."""

    url: str
    tag: str | None
    length: int | None


def download(url: str, part: Path, progress: Progress) -> None:
    """Put all of ``url`` into ``part``, going on where an earlier attempt ended.

    Args:
        url: http or https.
        part: the file; what is in it is kept when this fails, unless it is of no use.
        progress: told of every piece.

    Raises:
        DownloadError: no connection, an answer that is no file, or a connection that breaks
            again and again.
        OSError: ``part`` cannot be written.
    """
    import requests  # not above: most files are there already

    failures, most = 0, _size(part)
    with requests.Session() as session:
        while True:
            try:
                return _attempt(session, url, part, progress)
            except _Interrupted as error:
                size = _size(part)
                # the most so far: a file that changes again and again must not go on for ever
                failures, most = (0, size) if size > most else (failures + 1, most)
                if failures >= ATTEMPTS:
                    raise DownloadError(str(error)) from error
                time.sleep(PAUSE * failures)


def discard(part: Path) -> None:
    """Forget what has arrived of a file."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _attempt(session: requests.Session, url: str, part: Path, progress: Progress) -> None:
    import requests

    version = _read_note(part, url)
    start = _size(part) if version else 0
    if version and version.length is not None:
        if start == version.length:
            return  # it ended between the last byte and the caller's comparison
        if start > version.length:
            start = 0
    # not compressed: lengths are those of the file
    headers = {'Accept-Encoding': 'identity'}
    if start:
        headers['Range'] = f'bytes={start}-'
        if version.tag and not version.tag.startswith('W/'):
            headers['If-Range'] = version.tag
    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            start, now = _judge(response, url, start, version, part)
            _write_note(part, now)
            _receive(response, part, start, now.length, progress)
    except requests.RequestException as error:
        raise _Interrupted(reason(error)) from error


def _judge(
    response: requests.Response, url: str, start: int, version: _Version | None, part: Path
) -> tuple[int, _Version]:
    """From which byte on the answer goes, and what it is a part of.

    Raises:
        DownloadError: it is no file.
        _Interrupted: it does not continue what is there, or the server is busy.
    """
    tag = response.headers.get('ETag') or response.headers.get('Last-Modified')
    status = response.status_code
    if status == 200:
        length = response.headers.get('Content-Length', '')
        return 0, _Version(url, tag, int(length) if length.isdigit() else None)
    if status == 206:
        place = _RANGE.fullmatch(response.headers.get('Content-Range', ''))
        if place and version and int(place[1]) == start:
            now = _Version(url, tag, int(place[2]))
            if now == version:
                return start, now
        discard(part)
        raise _Interrupted('the file has changed on the server')
    if status == 416:
        discard(part)
        raise _Interrupted('the server has no such range of the file')
    reason = f'status {status} {response.reason or ""}'.strip()
    raise (_Interrupted if status in _RETRIED else DownloadError)(reason)


def _receive(
    response: requests.Response, part: Path, start: int, length: int | None, progress: Progress
) -> None:
    with part.open('r+b' if start else 'wb') as stream:
        stream.seek(start)
        size = start
        progress(size, length)
        try:
            for piece in response.iter_content(PIECE):
                stream.write(piece)
                size += len(piece)
                progress(size, length)
        finally:
            stream.flush()
            os.fsync(stream.fileno())
    if length is not None and size != length:
        raise _Interrupted(f'the connection ended after {size:,} of {length:,} bytes')


def reason(error: requests.RequestException) -> str:
    """A clause without urllib3's object names and pool details."""
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return 'no answer in time'
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return 'the connection breaks off'
    if isinstance(error, requests.exceptions.SSLError):
        return f'the secure connection failed ({error})'
    if isinstance(error, requests.exceptions.ConnectionError):
        text = str(error)
        inner = re.search(r"\[Errno -?\d+\] [^'\")]+", text)
        return f'no connection ({inner[0].strip() if inner else text})'
    return str(error)


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _note(part: Path) -> Path:
    return part.with_name(f'{part.name}.json')


def _read_note(part: Path, url: str) -> _Version | None:
    try:
        version = _Version(**json.loads(_note(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    # Without a length or a tag there is no way to tell whether the rest belongs to it.
    usable = version.url == url and (version.tag or version.length is not None)
    return version if usable and part.is_file() else None


def _write_note(part: Path, version: _Version) -> None:
    note, new = _note(part), _note(part).with_suffix('.new')
    new.write_text(json.dumps(asdict(version)))
    os.replace(new, note)
