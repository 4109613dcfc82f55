"""A small data set of five joints, drawn by `puppets.py`."""

import json
import shutil

import puppets as puppets_drawn
import pytest

from rlepose_ext.annotations.check import check_part
from rlepose_ext.annotations.metainfo import load_metainfo


@pytest.fixture(scope='session')
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp('drawn') / 'puppets'
    puppets_drawn.write(folder)
    return folder


@pytest.fixture
def puppets(drawn, tmp_path):
    """A copy to break."""
    return shutil.copytree(drawn, tmp_path / 'puppets')


@pytest.fixture
def edit(puppets):
    """Change the training annotations: ``edit(lambda content: ...)``."""

    def change(function):
        path = puppets / 'train.json'
        content = json.loads(path.read_text())
        function(content)
        path.write_text(json.dumps(content))
        return path

    return change


@pytest.fixture(scope='session')
def meta(root):
    return load_metainfo(root / 'tests/annotations/puppets_metainfo.py')


@pytest.fixture
def check(puppets, meta):
    def run(**changed):
        arguments = {
            'title': 'train',
            'annotations': puppets / 'train.json',
            'images': puppets / 'images',
            'meta': meta,
        }
        return check_part(**{**arguments, **changed})

    return run
