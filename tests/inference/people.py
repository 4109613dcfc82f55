"""A few persons with known joints, for tests that need poses and no network."""

import numpy as np

from rlepose_ext.inference.types import PoseResult

META = {
    'num_keypoints': 3,
    'skeleton_links': [(0, 1), (1, 2)],
    'skeleton_link_colors': np.array([[255, 0, 0], [0, 255, 0]]),
    'keypoint_colors': np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]]),
    'sigmas': np.array([0.05, 0.05, 0.05]),
    'flip_indices': [0, 1, 2],
}


def persons(corners, size=40.0, meta=META, **more):
    """Three joints down the middle of square boxes with these upper left corners."""
    low = np.array(corners, np.float32).reshape(-1, 2)
    boxes = np.concatenate([low, low + size], axis=1)
    steps = np.array([[0.5, 0.2], [0.5, 0.5], [0.5, 0.8]], np.float32) * size
    return PoseResult(
        boxes=boxes,
        box_scores=np.full(len(low), 0.9, np.float32),
        keypoints=low[:, None] + steps,
        scores=np.full((len(low), 3), 0.8, np.float32),
        meta=meta,
        **more,
    )
