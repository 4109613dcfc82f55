"""What ffmpeg and ffprobe do for videos where they are installed: count frames, copy sound."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


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


def remux(video: Path, sound: Path | None, stretch: float, seconds: float | None = None) -> str:
    """Copy the sound in and set the duration; the file stays as it is if that fails.

    Args:
        video: the file, which is replaced.
        sound: video with the sound.
        stretch: factor on the duration of ``video``.
        seconds: of the sound; all of it by default.

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
        limit = [] if seconds is None else ['-t', f'{seconds:.6f}']
        command += [*limit, '-i', str(sound.absolute()), '-map', '0:v', '-map', '1:a?']
    done = _run([*command, '-c', 'copy', str(target)])
    if done.returncode == 0 and target.is_file() and target.stat().st_size:
        target.replace(video)
        return ''
    target.unlink(missing_ok=True)
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return said[0] if said else f'exit status {done.returncode}'


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
