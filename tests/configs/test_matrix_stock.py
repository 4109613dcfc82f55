"""Every leaf over one of MMPose's configs runs; see ``test_matrix.py``."""

import pytest
from test_matrix import STOCK, each, it_runs


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A data root that is filled as configs ask for their files."""
    return tmp_path_factory.mktemp('data')


@each(STOCK)
def test_trains_validates_and_tests(name, data, tmp_path, monkeypatch):
    monkeypatch.setenv('RLEPOSE_DATA', str(data))
    it_runs(name, data, tmp_path)
