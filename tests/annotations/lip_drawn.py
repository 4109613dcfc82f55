"""LIP in miniature: stick figures, one per image, with the csv, the images and the json.

Not a test: :func:`draw_lip` is used by tests of LIP and of the configs.
"""

import csv

import cv2
import numpy as np

from rlepose_ext.annotations.lip import NUM_JOINTS, SKELETON
from rlepose_ext.annotations.lip_csv import convert

# A standing person who faces us, in parts of the figure's width and height: x, y.
STANDING = np.array(
    [
        (0.35, 1.00), (0.36, 0.77), (0.40, 0.54), (0.60, 0.54), (0.64, 0.77), (0.65, 1.00),
        (0.50, 0.52), (0.50, 0.36), (0.50, 0.18), (0.50, 0.00),
        (0.10, 0.54), (0.18, 0.38), (0.30, 0.20), (0.70, 0.20), (0.82, 0.38), (0.90, 0.54),
    ]
)  # fmt: skip
SPLITS = {'train': 6, 'val': 4}


def draw_lip(folder, seed=0):
    """Draw a data set in the folders and files that the configs of LIP read.

    Images are of different, mostly upright shapes. Some joints are occluded, some absent; the
    second image of each split has no head.

    Args:
        folder: the data set's own, such as ``<RLEPOSE_DATA>/lip``.
        seed: of poses, places and colours.

    Returns:
        ``folder``, with ``lip_{train,val}.csv``, ``{train,val}_images/`` and
        ``annotations/lip_{train,val}.json``.
    """
    rng = np.random.default_rng(seed)
    for split, count in SPLITS.items():
        images = folder / f'{split}_images'
        images.mkdir(parents=True)
        rows = []
        for number in range(count):
            name = f'{split}{number}.png'
            image, row = draw_person(rng, without_head=number == 1)
            cv2.imwrite(str(images / name), image)
            rows.append([name, *row])
        table = folder / f'lip_{split}.csv'
        with open(table, 'w', newline='') as file:
            csv.writer(file, lineterminator='\n').writerows(rows)
        convert(table, images, folder / 'annotations' / f'lip_{split}.json')
    return folder


def draw_person(rng, without_head=False):
    """An image (H, W, 3) and its 48 columns."""
    width, height = int(rng.integers(90, 200)), int(rng.integers(160, 320))
    joints = STANDING + rng.normal(0, 0.03, STANDING.shape)
    margin = rng.uniform(0.05, 0.15, 2)
    joints = np.clip(margin + joints * (1 - 2 * margin), 0, 0.99) * (width, height)
    joints = np.floor(joints).astype(int)
    flags = (rng.random(NUM_JOINTS) < 0.1).astype(int)
    absent = rng.random(NUM_JOINTS) < 0.1
    absent[[8, 9]] = False, without_head
    image = np.full((height, width, 3), rng.integers(60, 200, 3), np.uint8)
    for index, (a, b) in enumerate(SKELETON):
        color = (17 * index, 255 - 17 * index, 30 + 90 * (index % 3))
        cv2.line(image, joints[a].tolist(), joints[b].tolist(), color, max(3, width // 25))
    row = []
    for point, flag, gone in zip(joints, flags, absent, strict=True):
        row += ['nan'] * 3 if gone else [*point.tolist(), int(flag)]
    return image, row
