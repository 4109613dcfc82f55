"""Small videos whose frames know their number."""

import shutil
import subprocess

import cv2
import numpy as np
import pytest

BITS = 5
FFMPEG = shutil.which('ffmpeg')
needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason='needs ffmpeg')


def numbered(number, size=(96, 64)):
    """A frame with its number in bits, bands of its left half; the upper right corner is red."""
    width, height = size
    frame = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            frame[bit * height // BITS : (bit + 1) * height // BITS, : width // 2] = 200
    frame[: height // 3, -width // 4 :] = (0, 0, 255)
    return frame


def number_of(frame):
    """The number of a frame that went through an encoder."""
    height, width = frame.shape[:2]
    rows = [(2 * bit + 1) * height // (2 * BITS) for bit in range(BITS)]
    return sum(1 << bit for bit, row in enumerate(rows) if frame[row, : width // 4].mean() > 100)


def write_clip(path, frames=10, fps=10.0, size=(96, 64)):
    """Write numbered frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, size)
    for number in range(frames):
        writer.write(numbered(number, size))
    writer.release()
    return path


def read_clip(path):
    """All frames, and the frame rate."""
    capture = cv2.VideoCapture(str(path))
    fps, frames = capture.get(cv2.CAP_PROP_FPS), []
    while True:
        there, frame = capture.read()
        if not there:
            return frames, fps
        frames.append(frame)


def ffmpeg(*arguments):
    """Run ffmpeg quietly."""
    subprocess.run([FFMPEG, '-y', '-v', 'error', *map(str, arguments)], check=True)


def seconds_of(path):
    """Kind of stream to its duration."""
    entries = ('-show_entries', 'stream=codec_type,duration', '-of', 'csv=p=0')
    command = ['ffprobe', '-v', 'error', *entries, str(path.absolute())]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {kind: float(text) for kind, text in (row.split(',') for row in done.stdout.split())}
