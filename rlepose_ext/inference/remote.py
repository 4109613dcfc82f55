"""Pictures, videos and streams at an address: what is there, and the bytes of a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from rlepose_ext.errors import UserError

if TYPE_CHECKING:
    import requests

# Seconds to connect, and between two pieces.
TIMEOUT = (5, 15)
# Bytes of a picture; a photograph of 100 megapixels has less.
MOST_BYTES = 200_000_000
_PIECE = 1 << 16
WEB = ('http', 'https')
LIVE = ('rtsp', 'rtsps', 'rtmp', 'rtmps', 'srt', 'udp', 'tcp', 'mms', 'rtp')
# Types of content that are films in pieces, or pictures one after the other.
_STREAMS = ('multipart/x-mixed-replace', 'application/vnd.apple.mpegurl', 'application/x-mpegurl')


def is_url(text: str) -> bool:
    """Whether a text is an address that this module knows."""
    scheme, separator, _ = text.partition('://')
    return bool(separator) and scheme.lower() in WEB + LIVE


def local_path(text: str) -> str:
    """The path of a ``file://`` address on this machine; other texts stay as they are."""
    match = re.fullmatch('file://(?:localhost)?(/.*)', text, re.IGNORECASE | re.DOTALL)
    if match is None:
        return text
    from urllib.request import url2pathname

    return url2pathname(match[1])


def check_scheme(text: str) -> None:
    """See that a text is no address of another kind.

    Raises:
        UserError: it is one.
    """
    if match := re.match(r'[a-z][a-z0-9+.-]*://', text, re.IGNORECASE):
        raise UserError(
            f'{shown(text)}: expected file:///PATH, with three slashes, or an address with '
            f'{", ".join(WEB + LIVE)}, got {match[0]}: download the file first'
        )


def file_name(url: str) -> str:
    """The last part of an address's path, without what a file's name cannot have."""
    parts = urlsplit(url)
    last = PurePosixPath(unquote(parts.path)).name or (parts.hostname or '').replace('.', '-')
    return ''.join('_' if c in '/\\:*?"<>|' or ord(c) < 32 else c for c in last or 'stream')[-100:]


def shown(url: str) -> str:
    """The address without user name and password, for messages and results."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition('@')[2]))


def kind_of(url: str) -> str:
    """What an address has, by what its server says: ``'image'``, ``'video'`` or ``'stream'``.

    Raises:
        UserError: no answer, an error such as 404, or a page.
    """
    if urlsplit(url).scheme.lower() in LIVE:
        return 'stream'
    with _asked(url) as response:
        content = _type(response)
        if content in _STREAMS:
            return 'stream'
        if content.startswith('image/'):
            return 'image'
        _refuse_page(url, content)
        # A file has a length. Many servers do not know the types of videos.
        return 'video' if response.headers.get('Content-Length') else 'stream'


def download_image(url: str) -> bytes:
    """The bytes of a picture.

    Raises:
        UserError: no answer, an error such as 404, a page, or more than :data:`MOST_BYTES`.
    """
    requests = _requests()

    from rlepose_ext.zoo.download import reason

    with _asked(url) as response:
        _refuse_page(url, _type(response))
        content = bytearray()
        try:
            for piece in response.iter_content(_PIECE):
                content += piece
                if len(content) > MOST_BYTES:
                    raise UserError(
                        f'{shown(url)} is larger than {MOST_BYTES / 1e6:.0f} MB, too much for a '
                        'picture: download it first'
                    )
        except requests.RequestException as error:
            raise UserError(f'{shown(url)}: {reason(error)}') from error
    if not content:
        raise UserError(f'{shown(url)} is empty')
    return bytes(content)


@contextmanager
def _asked(url: str) -> Iterator[requests.Response]:
    requests = _requests()

    from rlepose_ext.zoo.download import reason

    try:
        # Some servers, Wikimedia's among them, refuse callers without a name.
        named = {'User-Agent': 'rlepose_ext (keypoint models)', 'Accept': '*/*'}
        response = requests.get(url, headers=named, stream=True, timeout=TIMEOUT)
    except (requests.RequestException, ValueError) as error:
        why = reason(error) if isinstance(error, requests.RequestException) else error
        raise UserError(f'{shown(url)}: {why}') from error
    with response:
        if not response.ok:
            raise UserError(
                f'{shown(url)}: the server answers {response.status_code} '
                f'{response.reason or ""}'.strip()
            )
        yield response


def _type(response: requests.Response) -> str:
    return response.headers.get('Content-Type', '').partition(';')[0].strip().lower()


def _refuse_page(url: str, content: str) -> None:
    if content in ('text/html', 'application/xhtml+xml'):
        raise UserError(
            f'{shown(url)} is a page ({content}), neither a picture nor a video: open it in a '
            'browser and copy the address of the picture itself'
        )


def _requests() -> Any:
    try:
        import requests
    except ImportError as error:
        raise UserError('addresses need the package requests: pip install requests') from error
    return requests
