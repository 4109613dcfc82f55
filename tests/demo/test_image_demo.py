"""The single-image demo: a picture, or one clear line."""

import runpy
import subprocess
import sys

import cv2
import numpy as np
import pytest

CONFIG = 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'


def demo(root, *arguments):
    command = [sys.executable, 'demo/image_demo.py', *map(str, arguments)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


@pytest.mark.slow
def test_draws_and_refuses(root, tmp_path):
    weights = runpy.run_path(str(root / 'tests/inference/random_weights.py'))
    checkpoint = weights['random_checkpoint'](root / CONFIG, tmp_path / 'random.pth')
    image, drawn = tmp_path / 'image.png', tmp_path / 'drawn.png'
    cv2.imwrite(str(image), np.full((120, 90, 3), 127, np.uint8))

    done = demo(root, image, CONFIG, checkpoint, '--out-file', drawn, '--box', 10, 10, 80, 110)
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(drawn)).shape == (120, 90, 3)
    assert (cv2.imread(str(drawn)) != 127).any()

    missing = demo(root, tmp_path / 'none.png', CONFIG, checkpoint, '--out-file', drawn)
    assert missing.returncode == 2
    assert 'none.png cannot be read: No such file' in missing.stderr
    assert 'Traceback' not in missing.stderr
