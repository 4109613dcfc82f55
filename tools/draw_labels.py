#!/usr/bin/env python3
"""Draw docs/images/{skps,simcc}.jpg: what the codecs make of a joint.

python tools/draw_labels.py
"""

from __future__ import annotations

from pathlib import Path

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
import cv2
import matplotlib
import numpy as np
from mmpose.codecs import SimCCLabel

from rlepose_ext.codecs import SKPSHeatmap
from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one
from rlepose_ext.geometry.spaces import image_to_input

matplotlib.use('Agg')
from matplotlib import pyplot as plt

IMAGES = Path(__file__).resolve().parents[1] / 'docs/images'
RED, BLUE = '#d1344b', '#2b6cb0'
WRIST = 9  # left
# Landmarks of a face, input px, and which of them a line joins.
FACE = (
    (74, 112), (86, 103), (100, 104), (110, 114), (96, 117), (86, 117), (74, 112),
    (182, 112), (170, 103), (156, 104), (146, 114), (160, 117), (170, 117), (182, 112),
    (128, 115), (128, 138), (128, 156), (114, 163), (128, 168), (142, 163),
    (101.6, 193.3), (116, 187), (128, 190), (140, 187), (156, 193), (140, 204), (116, 204),
    (101.6, 193.3),
)  # fmt: skip
LINES = ((0, 6), (7, 13), (14, 16), (17, 19), (20, 27))
MOUTH = 20


def draw_skps() -> None:
    """Heatmap and offsets of one landmark of a drawn face, near it."""
    size, map_size = (256, 256), (64, 64)
    face = np.array(FACE, float)
    codec = SKPSHeatmap(input_size=size, heatmap_size=map_size, sigma=2.0)
    encoded = codec.encode(face[None].astype(np.float32), np.ones((1, len(face)), np.float32))
    heatmap = encoded['heatmaps'][MOUTH]
    offset = encoded['displacements'].reshape(2, len(face), *map_size[::-1])[:, MOUTH]
    point = face[MOUTH] / 4  # heatmap px

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.4), layout='constrained')
    left.imshow(heatmap, cmap='Blues', extent=(-2, 254, 254, -2), vmax=1.4)
    angle = np.linspace(0, 2 * np.pi, 100)
    left.plot(128 + 85 * np.cos(angle), 132 + 108 * np.sin(angle), color='0.6')
    for first, last in LINES:
        left.plot(*face[first : last + 1].T, color='0.6')
    left.plot(*face.T, '.', color='0.3')
    left.plot(*face[MOUTH], 'o', color=RED, fillstyle='none', markersize=12)
    left.set(title='a face and the heatmap of a corner of the mouth', xticks=[], yticks=[])

    low = np.floor(point).astype(int) - 4
    pixels = np.stack(np.meshgrid(*(np.arange(each, each + 10, 2) for each in low)), axis=-1)
    columns, rows = pixels[..., 0], pixels[..., 1]
    right.imshow(heatmap, cmap='Blues', vmax=1.4)
    arrows = {'angles': 'xy', 'scale_units': 'xy', 'scale': 1, 'width': 0.006}
    right.quiver(columns, rows, *(each[rows, columns] for each in offset), color=BLUE, **arrows)
    right.plot(columns, rows, '.', color=BLUE)
    best = np.unravel_index(heatmap.argmax(), heatmap.shape)
    right.plot(best[1], best[0], 's', color=RED, fillstyle='none', markersize=26)
    right.plot(*point, 'x', color=RED, markersize=10, markeredgewidth=2.5)
    right.set(
        title='near the corner: offsets, every other pixel',
        xlim=(low[0] - 0.5, low[0] + 9.5),
        ylim=(low[1] + 9.5, low[1] - 0.5),
        xlabel='heatmap px',
    )
    _save(figure, 'skps.jpg')


def draw_simcc() -> None:
    """The vectors of one joint beside the crop in which it is."""
    size = (192, 256)
    drawing = SyntheticPeopleConfig(persons=(1.0,), occlusion=0.0, truncation=0.0)
    image, (person,) = draw_one(0, 'train', 1, drawing)
    x, y, width, height = person['bbox']
    scale = np.array([max(width, height * 0.75), max(height, width / 0.75)]) * 1.25
    middle = np.array([x + width / 2, y + height / 2])
    corners = np.float32([middle - scale / 2, middle + scale / 2 * [1, -1], middle + scale / 2])
    there = image_to_input(corners, middle, scale, size)
    crop = cv2.warpAffine(image, cv2.getAffineTransform(corners, np.float32(there)), size)
    joints = np.array(person['keypoints'], np.float32).reshape(-1, 3)[:, :2]
    joint = image_to_input(joints, middle, scale, size)[WRIST]

    codec = SimCCLabel(input_size=size, sigma=6.0, simcc_split_ratio=2.0)
    encoded = codec.encode(joint[None, None].astype(np.float32), np.ones((1, 1), np.float32))
    along_x, along_y = encoded['keypoint_x_labels'][0, 0], encoded['keypoint_y_labels'][0, 0]

    ratios = {'width_ratios': (3, 1), 'height_ratios': (4, 1)}
    figure, axes = plt.subplots(
        2, 2, figsize=(5.2, 6), layout='constrained', sharex='col', sharey='row', gridspec_kw=ratios
    )
    picture, right, below = axes[0, 0], axes[0, 1], axes[1, 0]
    axes[1, 1].axis('off')
    picture.imshow(
        crop[..., ::-1], extent=(-0.5, size[0] - 0.5, size[1] - 0.5, -0.5), aspect='auto'
    )
    picture.axvline(joint[0], color=RED, linewidth=1)
    picture.axhline(joint[1], color=RED, linewidth=1)
    picture.plot(*joint, 'o', color=RED, fillstyle='none', markersize=10)
    picture.set(title='the crop, 192x256, and its left wrist')
    below.fill_between(np.arange(len(along_x)) / 2, along_x, color=BLUE)
    below.set(xlabel=f'{len(along_x)} bins along x, two a pixel', yticks=[])
    right.fill_betweenx(np.arange(len(along_y)) / 2, along_y, color=BLUE)
    right.set(ylabel=f'{len(along_y)} bins along y', xticks=[])
    right.yaxis.set_label_position('right')
    _save(figure, 'simcc.jpg')


def _save(figure: plt.Figure, name: str) -> None:
    figure.savefig(IMAGES / name, dpi=100, pil_kwargs={'quality': 88})
    plt.close(figure)
    print(IMAGES / name)


if __name__ == '__main__':
    draw_skps()
    draw_simcc()
