"""Small inputs of the demo's tests, and what lies there afterwards."""

import json

import cv2
import numpy as np

from rlepose_ext.resources import resource

CONFIG = str(resource('configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'))
SIMCC = str(resource('configs/quickstart/simcc_resnet18-slim_1xb16-2e_synthetic-96x72.py'))
SIZE = (80, 60)


def picture(number=0):
    """Smooth noise, a little different for each number."""
    rough = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(rough, SIZE, interpolation=cv2.INTER_CUBIC)


def write_clip(path, frames=6, fps=10.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, SIZE)
    for _ in range(frames):
        writer.write(picture())
    writer.release()
    return path


def read_clip(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while (found := capture.read())[0]:
        frames.append(found[1].astype(int))
    return frames, capture.get(cv2.CAP_PROP_FPS)


def results(stem):
    """Both JSON files of an input."""
    with open(f'out/results_{stem}.json') as upstream, open(f'out/{stem}_coco.json') as coco:
        return json.load(upstream), json.load(coco)


def names(folder):
    """All files of a folder, but for the record of finished inputs."""
    return sorted(path.name for path in folder.iterdir() if path.name != 'finished.jsonl')
