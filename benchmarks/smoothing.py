"""How much ``--smooth`` calms joints at rest, and how far it lets moving ones lag.

    python benchmarks/smoothing.py

The joints are those of drawn walkers (a pose every 40 frames, 25 frames a second), as they are and
twice as fast, with white noise on x and y. All lengths are shares of the person's size. A joint
moves where it does more than 1 % of the size a frame. Seconds; no network and no images.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from _record import RESULTS, record

from rlepose_ext.datasets.synthetic.clip import _sample_walker
from rlepose_ext.datasets.synthetic.config import as_config
from rlepose_ext.inference.smoothing import OneEuro
from rlepose_ext.inference.types import PoseResult

FPS = 25.0
VIDEO = {'width': (480, 480), 'height': (288, 288)}
WARM = 50
NOISES = (0.005, 0.01, 0.02)
# Beside today's filter: that of before, others of the paper's form, and more or less prediction.
SETTINGS = {
    'before': {'min_cutoff': 1.7, 'beta': 3.0, 'd_cutoff': 1.0, 'moving': math.inf},
    'paper, lower cut-off': {'min_cutoff': 0.5, 'beta': 3.0, 'd_cutoff': 1.0, 'moving': math.inf},
    'paper, higher beta': {'min_cutoff': 0.5, 'beta': 12.0, 'd_cutoff': 1.0, 'moving': math.inf},
    'default': {},
    'lower beta': {'beta': 3.0},
    'higher beta': {'beta': 12.0},
    'higher d_cutoff': {'d_cutoff': 2.0},
    'predicts earlier': {'moving': 0.25},
    'predicts always': {'moving': 1e-6},
}


def walk(seed: int, number: int, frames: int) -> np.ndarray:
    """(frames, 17, 2) joints of a drawn person, in body heights."""
    rng = np.random.default_rng([seed, number])
    walker = _sample_walker(rng, frames, 0.5, (480, 288), as_config(VIDEO))
    figures = (walker.figure(frame) for frame in range(frames))
    return np.stack([each.place.project(each.body.joints) for each in figures]) / walker.scale


def smoothed(joints: np.ndarray, settings: dict[str, float]) -> np.ndarray:
    """What the filter makes of (T, K, 2) joints of a person of size 1."""
    smooth = OneEuro(**settings)
    count = joints.shape[1]
    person = {'boxes': np.array([[0.0, 0.0, 1.0, 1.0]]), 'box_scores': np.ones(1)}
    person |= {'scores': np.ones((1, count)), 'track_id': np.zeros(1, int)}
    return np.stack(
        [
            smooth(PoseResult(keypoints=joint[None], **person), frame / FPS).keypoints[0]
            for frame, joint in enumerate(joints)
        ]
    )


def at_rest(settings: dict[str, float], noise: float, seed: int) -> dict[str, float]:
    """What is left of the noise of joints at rest: of its size, and of steps between frames."""
    raw = np.random.default_rng(seed).normal(0, noise, (600, 17, 2))
    left = smoothed(raw, settings)[WARM:]
    raw = raw[WARM:]
    return {
        'noise_left': float(left.std() / raw.std()),
        'trembling_left': float(np.diff(left, axis=0).std() / np.diff(raw, axis=0).std()),
    }


def in_motion(
    settings: dict[str, float], walks: list[np.ndarray], noise: float, seed: int
) -> dict[str, float]:
    """How far moving joints are behind along their way, and how far off."""
    rng = np.random.default_rng(seed)
    lags, errors = [], []
    for truth in walks:
        found = smoothed(truth + rng.normal(0, noise, truth.shape), settings)
        step = np.gradient(truth, axis=0)
        speed = np.linalg.norm(step, axis=-1)
        moves = speed > 0.01
        moves[:10] = False
        behind = ((truth - found) * step).sum(-1)[moves] / speed[moves]
        lags.append(behind)
        errors.append(np.linalg.norm(truth - found, axis=-1)[moves])
    error = np.concatenate(errors)
    return {
        'lag': float(np.median(np.concatenate(lags))),
        'rms_error': float(np.sqrt((error**2).mean())),
    }


def overshoot(settings: dict[str, float], speed: float = 0.02) -> float:
    """How far a joint goes beyond where it stops at once, without noise."""
    way = np.minimum(np.arange(100), 50) * speed
    truth = np.stack([way, 0 * way], axis=-1)[:, None]
    return max(float((smoothed(truth, settings) - truth)[51:, 0, 0].max()), 0.0)


def main() -> None:
    """Measure all settings, write ``results/smoothing.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--walks', type=int, default=6)
    parser.add_argument('--frames', type=int, default=400)
    parser.add_argument('--seed', type=int, default=7)
    parser.add_argument('--out', type=Path, default=RESULTS / 'smoothing.json')
    args = parser.parse_args()
    walks = [walk(args.seed, number, args.frames) for number in range(args.walks)]
    rows = []
    for name, settings in SETTINGS.items():
        for noise in NOISES:
            row: dict[str, Any] = {'name': name, 'noise': noise}
            row |= at_rest(settings, noise, args.seed)
            row |= {f'walk_{k}': v for k, v in in_motion(settings, walks, noise, 0).items()}
            fast = [each[::2] for each in walks]
            row |= {f'fast_{k}': v for k, v in in_motion(settings, fast, noise, 0).items()}
            row['overshoot'] = overshoot(settings)
            rows.append({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
            print(rows[-1], flush=True)
    defaults = OneEuro()
    names = ('min_cutoff', 'beta', 'd_cutoff', 'moving')
    code = ('rlepose_ext/inference/smoothing.py', 'rlepose_ext/datasets/synthetic')
    record(
        args.out,
        rows,
        code=code,
        seed=args.seed,
        settings={
            name: {each: str(settings.get(each, getattr(defaults, each))) for each in names}
            for name, settings in SETTINGS.items()
        },
    )


if __name__ == '__main__':
    main()
