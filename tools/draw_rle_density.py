#!/usr/bin/env python3
"""Draw docs/images/rle_density.png: the density that RLE has learnt, and the errors themselves.

    python tools/draw_rle_density.py --of TITLE CONFIG CHECKPOINT ANNOTATIONS IMAGES [--of ...]

A row for each ``--of``. Errors e = (mu - g) / sigma are those of all labelled joints, found in the
annotated boxes without flip test. Annotations are COCO's; joints are matched by their names. G is
the flow's density, Q0 the Laplace density of the loss.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
import matplotlib as mpl
import numpy as np
import torch

from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.images import read_image
from rlepose_ext.models.losses import RLELoss

ROOT = Path(__file__).resolve().parents[1]
POINTS = 401


def standardised_errors(estimate: PoseEstimator, annotations: Path, images: Path) -> np.ndarray:
    """Errors of all labelled joints that model and data set both have: (M, 2), sigmas."""
    content = json.loads(annotations.read_text())
    names = content['categories'][0]['keypoints']
    ours = estimate.meta['keypoint_name2id']
    pairs = np.array([(ours[name], k) for k, name in enumerate(names) if name in ours])
    files, errors = {image['id']: image['file_name'] for image in content['images']}, []
    for person in content['annotations']:
        x, y, width, height = person['bbox']
        truth = np.array(person['keypoints'], float).reshape(-1, 3)[pairs[:, 1]]
        found = estimate(
            read_image(images / files[person['image_id']]), boxes=[[x, y, x + width, y + height]]
        )
        mu, sigma = found.keypoints[0, pairs[:, 0]], found.sigma[0, pairs[:, 0]]
        errors.append(((mu - truth[:, :2]) / sigma)[truth[:, 2] > 0])
    return np.concatenate(errors)


def density(loss: RLELoss, axis: np.ndarray) -> np.ndarray:
    """G on the square of an axis, (rows of y, columns of x)."""
    line = torch.from_numpy(axis).float()
    grid = torch.stack(torch.meshgrid(line, line, indexing='xy'), -1).flatten(0, 1)
    with torch.no_grad():
        return loss.flow_model.log_prob(grid).exp().view(POINTS, POINTS).double().numpy()


def main() -> None:
    """A row of three panels for each model: e_x, e_y, and the plane."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ('TITLE', 'CONFIG', 'CHECKPOINT', 'ANNOTATIONS', 'IMAGES')
    parser.add_argument('--of', nargs=5, action='append', required=True, metavar=names)
    parser.add_argument('--out', type=Path, default=ROOT / 'docs/images/rle_density.png')
    args = parser.parse_args()
    mpl.use('Agg')
    from matplotlib import pyplot

    rows = len(args.of)
    figure, panels = pyplot.subplots(
        rows, 3, figsize=(11, 3.2 * rows), layout='constrained', squeeze=False
    )
    for (title, config, checkpoint, *data), row in zip(args.of, panels, strict=True):
        estimate = PoseEstimator(config, checkpoint, device='cpu', flip_test=False)
        errors = standardised_errors(estimate, *map(Path, data))
        spread = estimate.meta['sigma_spread']
        inside = (np.abs(errors) <= 2 * spread).mean(0)
        print(
            f'{title}: {len(errors)} joints; deviation learnt {spread.round(3)}, '
            f'measured {errors.std(0).round(3)} sigma; within two learnt ones {inside.round(3)}; '
            f'mean {errors.mean(0).round(3)}'
        )
        # far enough to see the flanks
        axis = np.linspace(-8, 8, POINTS) * spread.max()
        learnt = density(estimate.model.head.loss_module, axis)
        for k, (panel, name) in enumerate(zip(row, 'xy', strict=False)):
            edges = axis[::5]
            share = np.full(len(errors), 1 / (len(errors) * (edges[1] - edges[0])))
            panel.hist(errors[:, k], edges, weights=share, color='0.8', label='errors')
            panel.plot(axis, learnt.sum(k) * (axis[1] - axis[0]), color='C3', label='G')
            panel.plot(axis, np.exp(-np.abs(axis)) / 2, '--', color='C0', label='Q0')
            panel.set(title=f'{title}: e_{name}', yscale='log')
            panel.set_ylim(bottom=1e-3 / spread.max())
            panel.legend(fontsize=8)
        row[2].plot(*errors.T, '.', color='0.6', markersize=1)
        levels = learnt.max() * np.array([0.001, 0.01, 0.1, 0.5])
        row[2].contour(axis, axis, learnt, levels=levels, cmap='viridis')
        row[2].set(title='G at 0.1, 1, 10 and 50 % of its top', xlabel='e_x', ylabel='e_y')
        row[2].set(xlim=axis[[0, -1]], ylim=axis[[0, -1]])
    figure.savefig(args.out, dpi=80)
    print(f'{args.out}: {args.out.stat().st_size / 1000:.0f} kB')


if __name__ == '__main__':
    main()
