"""Drawn geckos, and their labels in the form of each tool."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
from formats import WRITERS

from rlepose_ext.own_data.labels import Item


@pytest.fixture(scope='session')
def gecko_script(root):
    spec = importlib.util.spec_from_file_location('draw', root / 'demo/own_dataset/draw.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def drawn_geckos(gecko_script, tmp_path_factory):
    folder = tmp_path_factory.mktemp('drawn') / 'geckos'
    gecko_script.write(folder, count=8, new=1)
    return folder


@pytest.fixture
def geckos(drawn_geckos, tmp_path):
    """A folder with 8 images, ``labels.json`` and a new image."""
    return shutil.copytree(drawn_geckos, tmp_path / 'geckos')


@pytest.fixture
def items(geckos):
    """The labels: in each image the gecko, and in the first one another; some joints hidden.

    Returns:
        Names of the joints, and the objects.
    """
    content = json.loads((geckos / 'labels.json').read_text())
    joints = content['categories'][0]['keypoints']
    found = []
    for image, ann in zip(content['images'], content['annotations'], strict=True):
        keypoints = np.array(ann['keypoints']).reshape(-1, 3).tolist()
        found.append(
            Item(image['file_name'], dict(zip(joints, map(tuple, keypoints), strict=True)))
        )
    found[1].joints['tail_tip'] = (0.0, 0.0, 0.0)
    found[2].joints['nose'] = (*found[2].joints['nose'][:2], 1.0)
    moved = {name: (x * 0.5, y * 0.5, v) for name, (x, y, v) in found[3].joints.items()}
    found.insert(1, Item(found[0].image, moved))
    return joints, found


@pytest.fixture
def labels_as(geckos, items):
    """Write the labels as a tool does: ``labels_as('cvat')`` gives the file."""
    joints, found = items

    def write(kind, boxes=False):
        (geckos / 'labels.json').unlink(missing_ok=True)
        for item in found:
            item.box = (4.0, 6.0, 130.0, 120.5) if boxes else None
        return WRITERS[kind](geckos, joints, found)

    return write
