"""Models and pictures that several files need."""

import cv2
import numpy as np
import pytest
from random_weights import POSE, random_checkpoint


@pytest.fixture(scope='session')
def pose(tmp_path_factory):
    """Config and checkpoint of a small pose model."""
    return POSE, random_checkpoint(POSE, tmp_path_factory.mktemp('pose') / 'pose.pth')


@pytest.fixture(scope='session')
def noise():
    """Smooth noise of a width and height, another for each seed."""

    def make(width, height, seed=0):
        rough = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
        return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)

    return make
