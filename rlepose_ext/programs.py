"""Programs and packages that some commands use where they are installed."""

from __future__ import annotations

import functools
import shutil
import subprocess
from importlib import metadata

# What is lost without each. The packages are Python's, the others are programs.
_LOST = {
    'ffmpeg': 'videos have the codec mp4v, which browsers do not play, and no sound',
    'ffprobe': 'a video that ends early may not be told from one that was trimmed',
    'npm': 'weights of MoveNet cannot be downloaded',
    'onnxruntime': 'exported models cannot be run here',
    'pillow-heif': 'photographs of phones (.heic) cannot be read',
}
_PACKAGES = ('onnxruntime', 'pillow-heif')


def encodes_h264() -> bool:
    """Whether there is an ffmpeg with libx264."""
    program = shutil.which('ffmpeg')
    return program is not None and _has_libx264(program)


def report() -> list[dict[str, str]]:
    """Name, status, and what is lost without it, of each."""
    rows = []
    for name, lost in _LOST.items():
        status = _version(name) if name in _PACKAGES else shutil.which(name)
        if status and name == 'ffmpeg':
            status += ' with libx264' if encodes_h264() else ' without libx264'
        rows.append({'name': name, 'status': status or 'missing', 'lost': lost})
    return rows


@functools.cache
def _has_libx264(program: str) -> bool:
    try:
        done = subprocess.run(
            [program, '-hide_banner', '-v', 'error', '-encoders'],
            capture_output=True,
            text=True,
            errors='replace',
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        return False
    return any(line.split()[1:2] == ['libx264'] for line in done.stdout.splitlines())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
