"""Draw a small data set of puppets with five joints."""

import json
from pathlib import Path

import cv2
import numpy as np

JOINTS = ('head', 'left_hand', 'right_hand', 'left_foot', 'right_foot')
# A puppet that faces the viewer, in parts of its width and height; its left is on our right.
PLACES = np.array([(0.5, 0.1), (0.9, 0.5), (0.1, 0.5), (0.7, 0.95), (0.3, 0.95)])
# BGR: the head, both left limbs, both right limbs.
COLORS = ((60, 220, 250), (220, 120, 40), (60, 60, 230), (220, 120, 40), (60, 60, 230))
SPLITS = {'train': 24, 'val': 8}


def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One puppet.

    Returns:
        The image (H, W, 3), and its joints (5, 3): x, y in px, v.
    """
    width, height = int(rng.integers(100, 160)), int(rng.integers(140, 200))
    image = np.full((height, width, 3), rng.integers(150, 230, 3), np.uint8)
    joints = 0.1 + 0.8 * (PLACES + rng.normal(0, 0.04, PLACES.shape))
    joints = np.clip(joints, 0.02, 0.96) * (width, height)
    neck, waist = joints[0] + (0, 0.15 * height), joints[0] + (0, 0.45 * height)
    points = np.rint(np.concatenate([joints, [neck, waist]])).astype(int).tolist()
    cv2.line(image, points[5], points[6], (90, 90, 90), 8)
    for k in range(1, 5):
        cv2.line(image, points[5 if k < 3 else 6], points[k], COLORS[k], 6)
        cv2.circle(image, points[k], 6, COLORS[k], -1)
    cv2.circle(image, points[0], 14, COLORS[0], -1)
    v = np.full((5, 1), 2.0)
    return image, np.concatenate([joints.round(1), v], axis=1)


def write(folder: Path, seed: int = 0) -> None:
    """Write ``images/``, ``train.json`` and ``val.json``."""
    rng = np.random.default_rng(seed)
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    for split, count in SPLITS.items():
        images, annotations = [], []
        for number in range(1, count + 1):
            name = f'{split}_{number:03d}.png'
            image, joints = draw(rng)
            cv2.imwrite(str(folder / 'images' / name), image)
            height, width = image.shape[:2]
            low, high = joints[:, :2].min(axis=0) - 10, joints[:, :2].max(axis=0) + 10
            low, high = np.maximum(low, 0), np.minimum(high, (width, height))
            images.append({'id': number, 'file_name': name, 'width': width, 'height': height})
            annotations.append(
                {
                    'id': number,
                    'image_id': number,
                    'category_id': 1,
                    'iscrowd': 0,
                    'bbox': [*low.tolist(), *(high - low).tolist()],
                    'area': float((high - low).prod()),
                    'num_keypoints': 5,
                    'keypoints': joints.ravel().tolist(),
                }
            )
        categories = [{'id': 1, 'name': 'puppet', 'keypoints': list(JOINTS)}]
        content = {'images': images, 'annotations': annotations, 'categories': categories}
        (folder / f'{split}.json').write_text(json.dumps(content))
