"""How far off smoothed joints are, over how far they lag: each filter at several settings.

    python benchmarks/smoothing.py
    python benchmarks/smoothing.py --pose-checkpoint latest.pth

Drawn videos whose truth is known, 25 frames a second, as they are and at twice the speed. The poses
are those of the model of ``rlepose quickstart``, which is run unless ``--pose-checkpoint`` names
its checkpoint. Boxes are the true ones, their corners moved by white noise of 2 % of the sides;
identities are the true ones, so that nothing but the filters differs. Defaults were chosen on
videos of other seeds.

All lengths are shares of the person's size, the longer side of its box. *Lag* is how far a moving
joint is behind the network's own joint along the true way, the median; a joint moves where it does
more than 1 % of the size a frame. *Error* is the mean distance to the truth. *Trembling* is the
mean error of the step from one frame to the next; *at rest*, that of joints that do less than
0.2 %.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _record import RESULTS, ROOT, record

import rlepose_ext  # noqa: F401  isort: skip  (the compatibility layer comes first)
import matplotlib.pyplot as plt
from _drawn_chain import FPS, VIDEO, train_pose_model

from rlepose_ext.datasets.synthetic.clip import draw_clip
from rlepose_ext.inference.estimator import PoseEstimator
from rlepose_ext.inference.smoothing import Kalman, OneEuro, Smoother, State
from rlepose_ext.inference.types import PoseResult
from rlepose_ext.quickstart.job import MAIN

CODE = (
    'rlepose_ext/inference/smoothing.py',
    'rlepose_ext/datasets/synthetic',
    'configs/quickstart',
    'benchmarks/_drawn_chain.py',
)
BOX_NOISE, MOVES, RESTS, WARM = 0.02, 0.01, 0.002, 10
# Of a joint, as a share of the person's size; about the model's median.
TYPICAL = 0.037
BETAS = (1.5, 3.0, 6.0, 12.0, 24.0, 48.0)
ACCELERATIONS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
# Poses and (N, K, 3) true joints of each frame; visibility 0 is unknown.
Clip = list[tuple[PoseResult, np.ndarray]]


class WeightedOneEuro(OneEuro):
    """Cut-off frequencies in inverse proportion to each coordinate's deviation."""

    def step(self, state: State, value: Any, sigma: Any, size: float, dt: float) -> State:
        """See :meth:`Smoother.step`."""
        weighted, weight = copy.copy(self), TYPICAL * size / sigma
        weighted.min_cutoff, weighted.beta = self.min_cutoff * weight, self.beta * weight
        return OneEuro.step(weighted, state, value, sigma, size, dt)


class EqualKalman(Kalman):
    """One deviation for all coordinates."""

    def __call__(self, poses: PoseResult, time: float) -> PoseResult:
        """See :meth:`Smoother.__call__`."""
        sigma = np.broadcast_to(TYPICAL * _sizes(poses)[:, None, None], poses.keypoints.shape)
        return super().__call__(replace(poses, sigma=sigma), time)


# Name to the setting that varies, its values, and the filter. The last one is the default of
# models with sigma, the second that of others.
FILTERS: dict[str, tuple[str, tuple[float, ...], Callable[..., Smoother]]] = {
    'One-Euro of the paper': ('beta', BETAS, lambda **kw: OneEuro(moving=math.inf, **kw)),
    'One-Euro with prediction': ('beta', BETAS, OneEuro),
    'the same, weighted by sigma': ('beta', BETAS, WeightedOneEuro),
    'Kalman, one sigma for all': ('acceleration', ACCELERATIONS, EqualKalman),
    'Kalman, sigma of each joint': ('acceleration', ACCELERATIONS, Kalman),
}


def draw_poses(estimate: PoseEstimator, seed: int, frames: int, persons: int, number: int) -> Clip:
    """A drawn video, and what the model makes of it; ``sigma`` is in px already."""
    rng = np.random.default_rng([seed, persons, number])
    clip: Clip = []
    for image, people in draw_clip(rng, frames, persons, VIDEO):
        boxes = np.array([person['bbox'] for person in people], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        noise = rng.normal(0, BOX_NOISE, boxes.shape)
        boxes += noise * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        poses = estimate(image, boxes).with_track_id([person['track_id'] for person in people])
        poses = replace(poses, image=None, sigma=poses.sigma_px, meta={'sigma_spread': 1.0})
        truth = np.array([person['keypoints'] for person in people], float)
        clip.append((poses, truth.reshape(len(people), -1, 3)))
    return clip


def measure(smoother: Smoother | None, clip: Clip) -> dict[str, np.ndarray]:
    """What a filter does to a video: of each kind of measurement, those of all joints."""
    ids = range(1 + max(int(poses.track_id.max(initial=-1)) for poses, _ in clip))
    shape = (len(clip), len(ids), clip[0][1].shape[1], 2)
    raw, found, true = (np.full(shape, np.nan) for _ in range(3))
    for frame, (poses, truth) in enumerate(clip):
        at, size = poses.track_id, _sizes(poses)[:, None, None]
        smoothed = poses if smoother is None else smoother(poses, frame / FPS)
        raw[frame, at], found[frame, at] = poses.keypoints / size, smoothed.keypoints / size
        true[frame, at] = np.where(truth[..., 2:] > 0, truth[..., :2], np.nan) / size
    raw, found, true = raw[WARM:], found[WARM:], true[WARM:]
    # NaN, where a joint is not known in one of both frames, compares as false.
    step = np.diff(true, axis=0)
    speed = np.linalg.norm(step, axis=-1)
    behind = ((raw - found)[1:] * step).sum(-1)
    trembling = np.linalg.norm(np.diff(found, axis=0) - step, axis=-1)
    error = np.linalg.norm(found - true, axis=-1)
    moves = speed > MOVES
    return {
        'lag': behind[moves] / speed[moves],
        'error': error[np.isfinite(error)],
        'trembling': trembling[np.isfinite(trembling)],
        'trembling_at_rest': trembling[speed < RESTS],
    }


def summary(smoother: Callable[[], Smoother | None], clips: list[Clip]) -> dict[str, float]:
    """Over all joints of all videos: the median of the lag, means of the others."""
    parts = [measure(smoother(), clip) for clip in clips]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    lag = whole.pop('lag')
    return {'lag': float(np.median(lag)), **{k: float(v.mean()) for k, v in whole.items()}}


def draw_figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Error and trembling over lag, a curve for each filter; defaults are marked."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout='constrained')
    for axis, name in zip(axes, ('error', 'trembling'), strict=True):
        for kind in FILTERS:
            same = [row for row in rows if row['filter'] == kind]
            lag, value = ([100 * row[key] for row in same] for key in ('lag', name))
            (line,) = axis.plot(lag, value, '.-', label=kind)
            chosen = [index for index, row in enumerate(same) if row['default']]
            axis.plot(
                [lag[index] for index in chosen],
                [value[index] for index in chosen],
                'o',
                color=line.get_color(),
                markersize=9,
                fillstyle='none',
            )
        axis.axhline(100 * rows[0][name], color='grey', linestyle=':', label='not smoothed')
        axis.set(xlabel="lag, % of the person's size", ylabel=f'{name}, %')
        axis.set_ylim(top=103 * rows[0][name])
    axes[1].legend(fontsize='small')
    figure.savefig(path, dpi=80)


def main() -> None:
    """Measure all filters, write ``results/smoothing.json`` and ``docs/images/smoothing.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/smoothing'))
    parser.add_argument('--pose-checkpoint', help="of the quickstart's config, else it is trained")
    parser.add_argument('--persons', type=int, nargs='+', default=[1, 2, 3])
    parser.add_argument('--videos', type=int, default=2, help='for each number of persons')
    parser.add_argument('--frames', type=int, default=200)
    parser.add_argument('--seed', type=int, default=7)
    parser.add_argument('--out', type=Path, default=RESULTS / 'smoothing.json')
    parser.add_argument('--figure', type=Path, default=ROOT / 'docs/images/smoothing.png')
    args = parser.parse_args()
    checkpoint = args.pose_checkpoint or train_pose_model(args.work_dir.resolve(), args.seed)
    estimate = PoseEstimator(ROOT / MAIN, checkpoint, device='cpu')
    clips = [
        draw_poses(estimate, args.seed, args.frames, persons, number)
        for persons in args.persons
        for number in range(args.videos)
    ]
    fast = [clip[::2] for clip in clips]
    rows = []

    def add(name: str, setting: str, default: bool, make: Callable[[], Smoother | None]) -> None:
        row = {'filter': name, 'setting': setting, 'default': default, **summary(make, clips)}
        row |= {f'fast_{key}': value for key, value in summary(make, fast).items()}
        rows.append({k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()})
        print(rows[-1], flush=True)

    add('not smoothed', '', False, lambda: None)
    for name, (key, values, make) in FILTERS.items():
        for value in values:
            default = make in (OneEuro, Kalman) and value == getattr(make(), key)
            add(name, f'{key} {value:g}', default, lambda m=make, k=key, v=value: m(**{k: v}))
    draw_figure(rows, args.figure)
    record(
        args.out,
        rows,
        code=CODE,
        seed=args.seed,
        pose_model=Path(MAIN).name,
        videos=len(clips),
        frames=args.frames,
    )


def _sizes(poses: PoseResult) -> np.ndarray:
    """(N,) longer sides of the boxes."""
    return (poses.boxes[:, 2:] - poses.boxes[:, :2]).max(1)


if __name__ == '__main__':
    main()
