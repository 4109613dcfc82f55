"""What tests of configs share: MMPose's scope, and drawn data."""

import pytest
from coco_folder import write_coco_folder
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def _mmpose_scope():
    init_default_scope('mmpose')


@pytest.fixture(scope='session')
def miniature(tmp_path_factory):
    """A data root (``RLEPOSE_DATA``) with coco/, detections included."""
    return write_coco_folder(tmp_path_factory.mktemp('miniature'), 6, 4)
