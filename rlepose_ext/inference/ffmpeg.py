"""What ffmpeg and ffprobe do for videos where they are installed.

They encode H.264, which browsers play and OpenCV's wheels do not write, count frames, and copy
sound.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

# Containers that hold H.264.
H264_SUFFIXES = ('.m4v', '.mkv', '.mov', '.mp4')
# With the index first a film can be played while it arrives.
_INDEX_FIRST = {suffix: ['-movflags', '+faststart'] for suffix in ('.m4v', '.mov', '.mp4')}


class H264Writer:
    """Encodes frames with ffmpeg; the same methods as ``cv2.VideoWriter``.

    Colours have half the resolution (yuv420p), as other players than ffmpeg's expect.

    Args:
        path: to write.
        fps: frames per second.
        size: width and height of the frames, even.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        # A good picture in half the time of `veryfast`, for a ninth more bytes.
        command = [shutil.which('ffmpeg') or 'ffmpeg', '-y', '-v', 'error', '-f', 'rawvideo']
        command += ['-pix_fmt', 'yuv420p', '-s', f'{size[0]}x{size[1]}']
        command += ['-framerate', f'{fps:.6f}', '-i', 'pipe:0', '-c:v', 'libx264']
        command += ['-preset', 'superfast', '-crf', '20']
        # The index comes last, so that a file that could not be written whole has none.
        command += [str(path.absolute())]
        # In a session of its own Ctrl-C does not end it; the end of its input does.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
        )

    def isOpened(self) -> bool:
        """Whether it takes frames."""
        return self._process.poll() is None

    def write(self, frame: np.ndarray) -> None:
        """Add a frame (H, W, 3) uint8 BGR.

        Raises:
            OSError: ffmpeg has ended; it says why.
        """
        # Converted here: half of the bytes, and ffmpeg's own conversion is 0.8 grey levels darker.
        planes = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
        try:
            self._process.stdin.write(planes.data)
        except OSError as error:
            raise OSError(f'ffmpeg ended early: {self._error()}') from error

    def release(self) -> None:
        """Finish the file."""
        # Where it has ended already, the file shows it.
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._said.close()

    def _error(self) -> str:
        self._process.wait()
        self._said.seek(0)
        return _first_line(self._said.read().decode(errors='replace'), self._process.returncode)


def announced_frames(path: Path) -> int | None:
    """How many frames a video would have if all of it were there.

    Containers of some formats count their frames (MP4, AVI); those that an edit list hides are
    taken off. Others (Matroska, WebM) have a duration only: where the packets of all streams
    together end before it, their number is scaled up.

    Args:
        path: the video.

    Returns:
        The number, or ``None`` without ffprobe or where it does not say.
    """
    ffprobe = shutil.which('ffprobe')
    if ffprobe is None:
        return None
    entries = (
        'packet=stream_index,pts_time,duration_time,flags:stream=index,codec_type,nb_frames:'
        'format=start_time,duration'
    )
    command = [ffprobe, '-v', 'quiet', '-of', 'compact', '-show_entries', entries]
    done = _run([*command, '-i', str(path.absolute())])
    rows: dict[str, list[dict[str, str]]] = {'packet': [], 'stream': [], 'format': []}
    for line in done.stdout.splitlines():
        kind, *fields = line.split('|')
        if kind in rows:
            rows[kind].append(dict(field.split('=', 1) for field in fields if '=' in field))
    videos = [stream for stream in rows['stream'] if stream.get('codec_type') == 'video']
    if not videos or not rows['format']:
        return None
    mine = [p for p in rows['packet'] if p.get('stream_index') == videos[0]['index']]
    hidden = sum('D' in packet.get('flags', '') for packet in mine)
    count = _number(videos[0].get('nb_frames'))
    if count:
        return int(count) - hidden
    duration = _number(rows['format'][0].get('duration'))
    ends = [
        _number(packet.get('pts_time')) + _number(packet.get('duration_time'))
        for packet in rows['packet']
    ]
    end = max(ends, default=0.0) - _number(rows['format'][0].get('start_time'))
    if end <= 0:
        return None
    return round((len(mine) - hidden) * max(1.0, duration / end))


def remux(
    video: Path,
    sound: Path | str | None,
    stretch: float,
    seconds: float | None = None,
    start: float = 0.0,
) -> str:
    """Copy the sound in, set the duration, put the index first.

    The file stays as it is if that fails.

    Args:
        video: the file, which is replaced.
        sound: video with the sound, or its address.
        stretch: factor on the duration of ``video``.
        seconds: of the sound; all of it by default.
        start: where the sound begins, seconds.

    Returns:
        What ffmpeg said if it failed, else nothing; nothing too where it is not installed.
    """
    ffmpeg = shutil.which('ffmpeg')
    if ffmpeg is None:
        return ''
    # Absolute: in `12:30.mp4` ffmpeg would read the name of a protocol.
    video = video.absolute()
    target = video.with_name(f'{video.stem}.sound{video.suffix}')
    command = [ffmpeg, '-y', '-v', 'error', '-itsscale', f'{stretch:.6f}', '-i', str(video)]
    if sound is not None:
        limit = ['-ss', f'{start:.6f}'] if start > 0 else []
        limit += [] if seconds is None else ['-t', f'{seconds:.6f}']
        sound = str(sound.absolute()) if isinstance(sound, Path) else sound
        command += [*limit, '-i', sound, '-map', '0:v', '-map', '1:a?']
    command += ['-c', 'copy', *_INDEX_FIRST.get(video.suffix.lower(), [])]
    done = _run([*command, str(target)])
    if done.returncode == 0 and target.is_file() and target.stat().st_size:
        target.replace(video)
        return ''
    target.unlink(missing_ok=True)
    return _first_line(done.stderr, done.returncode)


def _first_line(said: str, status: int) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0] if lines else f'exit status {status}'


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # In a session of its own Ctrl-C does not end it: it is what completes the file.
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors='replace',
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _number(text: str | None) -> float:
    """What ffprobe says, 0 where it does not know (``N/A``)."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
