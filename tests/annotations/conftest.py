"""A small data set of five joints, drawn by the script that docs/datasets.md works with."""

import importlib.util
import json
import shutil

import pytest

from rlepose_ext.annotations.check import check_part
from rlepose_ext.annotations.metainfo import load_metainfo


@pytest.fixture(scope='session')
def drawn(root, tmp_path_factory):
    path = root / 'demo/own_dataset/draw_puppets.py'
    spec = importlib.util.spec_from_file_location('draw_puppets', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp('drawn') / 'puppets'
    module.write(folder)
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
    return load_metainfo(root / 'demo/own_dataset/puppets_metainfo.py')


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
