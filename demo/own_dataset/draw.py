"""Draw the small data set of docs/own_data.md: geckos on a wall, with thirteen joints.

python demo/own_dataset/draw.py data/geckos
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

JOINTS = (
    'nose', 'neck', 'hip', 'tail_middle', 'tail_tip',
    'left_elbow', 'left_hand', 'right_elbow', 'right_hand',
    'left_knee', 'left_foot', 'right_knee', 'right_foot',
)  # fmt: skip
# BGR. Left and right look alike, as they must where pictures are mirrored.
HEAD, TAIL, HAND, FOOT = (40, 200, 240), (60, 160, 60), (220, 120, 30), (40, 40, 210)
_LIMB = 0.2  # length of each of a limb's two bones, in units of the whole
_BONES = (0.25, 0.45, 0.3, 0.3)  # nose to neck, neck to hip, the two halves of the tail
_BEND = np.radians((20, 20, 30, 40))  # standard deviation of the turn at each of them


def gecko(rng: np.random.Generator) -> np.ndarray:
    """Joints (13, 2) of a gecko that climbs a wall; y points down."""
    turn = np.pi / 2 + rng.uniform(-0.6, 0.6)  # from its nose to its tail
    points = [np.zeros(2)]
    for length, bend in zip(_BONES, _BEND, strict=True):
        turn += rng.normal(0, bend)
        points.append(points[-1] + length * np.array((np.cos(turn), np.sin(turn))))
    trunk = points[2] - points[1]  # from the neck to the hip
    backwards = np.arctan2(trunk[1], trunk[0])
    for start, lean in ((points[1], 1), (points[2], -1)):  # arms reach forward, legs back
        for side in (1, -1):  # left, right
            upper = backwards + side * (np.pi / 2 + lean * rng.uniform(-0.4, 0.8))
            lower = upper + side * lean * rng.uniform(-0.3, 1.1)
            middle = start + _LIMB * np.array((np.cos(upper), np.sin(upper)))
            points += [middle, middle + _LIMB * np.array((np.cos(lower), np.sin(lower)))]
    return np.array(points)


def draw(rng: np.random.Generator, side: int = 144) -> tuple[np.ndarray, np.ndarray]:
    """One picture of a gecko that nearly fills it.

    Returns:
        The picture (side, side, 3), and its joints (13, 2) in px.
    """
    joints = gecko(rng)
    low, high = joints.min(axis=0), joints.max(axis=0)
    size = rng.uniform(0.7, 0.85) * side
    joints = (joints - (low + high) / 2) * size / (high - low).max()
    joints += side / 2 + rng.uniform(-0.05, 0.05, 2) * side
    ground = rng.normal(rng.uniform(120, 200), 25, (6, 6, 3)).clip(0, 255).astype(np.uint8)
    picture = cv2.resize(ground, (side, side), interpolation=cv2.INTER_CUBIC)
    for _ in range(8):  # pebbles
        place, grey = rng.integers(0, side, 2), int(rng.integers(60, 220))
        cv2.circle(picture, place.tolist(), int(rng.integers(2, 9)), (grey,) * 3, -1)
    skin = rng.integers(10, 100, 3).tolist()
    bone = size / (high - low).max()  # px of a length of 1

    def stroke(chain: tuple[int, ...], thick: float, color: Sequence[int] = skin) -> None:
        ends = np.rint(joints[list(chain)] * 8).astype(int)
        cv2.polylines(picture, [ends], False, color, max(1, round(thick * bone)), cv2.LINE_AA, 3)

    def blob(joint: int, radius: float, color: Sequence[int]) -> None:
        place = np.rint(joints[joint]).astype(int).tolist()
        cv2.circle(picture, place, round(radius * bone), color, -1, cv2.LINE_AA)

    stroke((2, 3, 4), 0.05, TAIL)
    for root, elbow in ((1, 5), (1, 7), (2, 9), (2, 11)):
        stroke((root, elbow, elbow + 1), 0.05)
        blob(elbow + 1, 0.06, HAND if root == 1 else FOOT)
    stroke((1, 2), 0.17)
    stroke((0, 1), 0.11)
    blob(0, 0.1, HEAD)
    noise = rng.normal(0, 4, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8), joints


def write(folder: Path, count: int = 500, new: int = 4, seed: int = 0) -> None:
    """Write ``images/`` with ``labels.json``, as a labelling tool would, and ``new/`` without."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for name in ('images', 'new'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(1, count + new + 1):
        picture, joints = draw(rng)
        if number > count:
            cv2.imwrite(str(folder / f'new/gecko_{number:04d}.png'), picture)
            continue
        name = f'gecko_{number:04d}.png'
        cv2.imwrite(str(folder / 'images' / name), picture)
        height, width = picture.shape[:2]
        images.append({'id': number, 'file_name': name, 'width': width, 'height': height})
        keypoints = [value for x, y in joints.round(1).tolist() for value in (x, y, 2)]
        ids = {'id': number, 'image_id': number, 'category_id': 1}
        annotations.append({**ids, 'keypoints': keypoints, 'num_keypoints': len(JOINTS)})
    categories = [{'id': 1, 'name': 'gecko', 'keypoints': list(JOINTS)}]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    (folder / 'labels.json').write_text(json.dumps(content))
    print(f'{folder}: {count} labelled pictures in images/, {new} without labels in new/')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--count', type=int, default=500, help='labelled pictures')
    args = parser.parse_args()
    write(args.folder, args.count)
