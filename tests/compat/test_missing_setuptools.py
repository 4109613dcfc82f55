"""No ``pkg_resources`` (setuptools 82) and no ``distutils`` (Python 3.12), by hiding them."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import mmengine
import mmpose
import pytest

from rlepose_ext.compat import package_paths

HIDE = """
import sys

class Without:
    def __init__(self, finder):
        self._finder = finder
    def find_spec(self, name, *args):
        if name.split('.')[0] in {'pkg_resources', 'distutils', 'setuptools'}:
            return None
        return self._finder.find_spec(name, *args)
    def __getattr__(self, name):
        return getattr(self._finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
for name in [key for key in sys.modules if key.split('.')[0] in {'distutils', '_distutils_hack'}]:
    del sys.modules[name]
"""


def run(code):
    return subprocess.run([sys.executable, '-c', HIDE + code], capture_output=True, text=True)


BASES = """
from mmengine.config import Config
cfg = Config.fromstring("_base_ = 'mmpose::_base_/default_runtime.py'", '.py')
print(cfg.default_scope)
"""


@pytest.mark.slow
def test_config_bases_of_other_packages():
    assert 'pkg_resources' in run(BASES).stderr  # the breakage is there
    for first in ('import rlepose_ext\n', 'import mmengine.config, rlepose_ext\n'):
        done = run(first + BASES)
        assert done.stdout.strip() == 'mmpose', done.stderr


ENVIRONMENT = """
from mmengine.utils.dl_utils import collect_env
print('PyTorch' in collect_env())
"""


@pytest.mark.slow
def test_collect_env_without_distutils():
    assert "No module named 'distutils'" in run(ENVIRONMENT).stderr
    done = run('import rlepose_ext\n' + ENVIRONMENT)
    assert done.stdout.strip() == 'True', done.stderr
    # It is no more than that: whoever asks for another part is told that it is missing.
    done = run('import rlepose_ext\nimport distutils.version')
    assert "No module named 'distutils.version'" in done.stderr


@pytest.mark.skipif(find_spec('mim') is None, reason='openmim is not installed')
def test_mim_alone_needs_setuptools():
    assert "No module named 'pkg_resources'" in run('import mim').stderr
    done = run('from rlepose_ext.cli.main import main; main(["train", "--help"])')
    assert done.returncode == 0, done.stderr


def test_same_answers_as_mmengine():
    pytest.importorskip('pkg_resources')
    for package in ('mmengine', 'mmpose'):
        assert package_paths.is_installed(package)
        ours = package_paths.get_installed_path(package)
        assert ours == mmengine.utils.get_installed_path(package)
    assert package_paths.get_installed_path('mmpose') == str(Path(mmpose.__file__).parent)


def test_distribution_named_unlike_its_module():
    # pillow installs PIL, opencv-python cv2.
    assert Path(package_paths.get_installed_path('pillow')).name == 'PIL'
    assert package_paths.package2module('pillow') == 'PIL'


def test_what_is_not_installed(tmp_path, monkeypatch):
    assert not package_paths.is_installed('no_such_package')
    with pytest.raises(PackageNotFoundError):
        package_paths.get_installed_path('no_such_package')
    (tmp_path / 'bare_folder').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not package_paths.is_installed('bare_folder')
    with pytest.raises(RuntimeError, match='namespace'):
        package_paths.get_installed_path('bare_folder')
