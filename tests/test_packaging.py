"""What users install: a wheel that works without the checkout, and pins that agree."""

import ast
import contextlib
import email
import importlib.metadata
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rlepose_ext.version import __version__

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def wheel(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    # A copy, because setuptools writes build/ into the source folder.
    source = folder / 'source'
    git = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
    names = subprocess.check_output(git, cwd=root, text=True).splitlines()
    for name in names:
        if (root / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((root / name).read_bytes())
    build = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation']
    subprocess.run([*build, '-w', str(folder), str(source)], check=True, capture_output=True)
    (path,) = folder.glob('*.whl')
    return path


def test_wheel_carries_configs_tools_and_index(wheel, root):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in [*(root / 'configs').rglob('*.py'), *(root / 'configs').rglob('metafile.yml')]:
        assert f'rlepose_ext/.mim/{path.relative_to(root)}' in names
    assert {'rlepose_ext/.mim/model-index.yml', 'rlepose_ext/.mim/demo/image_demo.py'} <= names
    assert 'rlepose_ext/.mim/tools/setup_env.py' in names
    assert not [name for name in names if name.startswith('tests/') or '__pycache__' in name]


def metadata_of(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith('METADATA')]
    return email.message_from_bytes(archive.read(name))


def required(requirements, extra=''):
    """Names of the requirements in force on this Python."""
    found = [Requirement(text) for text in requirements or ()]
    return {
        canonicalize_name(each.name)
        for each in found
        if each.marker is None or each.marker.evaluate({'extra': extra})
    }


def test_what_a_wheel_requires(wheel):
    metadata = metadata_of(wheel)
    assert metadata['Version'] == __version__
    requirements = metadata.get_all('Requires-Dist')
    core = required(requirements)
    assert {'torch', 'mmdet', 'pycocotools'} <= core
    # mim's bounds are not those of everyone.
    assert not core & {'setuptools', 'click', 'pandas'}
    assert {'setuptools', 'click', 'pandas'} <= required(requirements, 'mim')
    assert 'ruff' in required(requirements, 'dev')
    assert {'onnx', 'onnxscript', 'onnxruntime'} <= required(requirements, 'export') - core
    assert required(requirements, 'runtime') - core == {'onnxruntime'}


def test_a_wheel_requires_what_it_imports(wheel, root):
    """Or the README installs it beside the wheel, or it is asked for where it is used."""
    imported = set()
    for path in (root / 'rlepose_ext').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split('.')[0])
    imported -= {*sys.stdlib_module_names, 'rlepose_ext'}
    beside = {'mmengine', 'mmpose', 'mmcv', 'cv2', 'xtcocotools', 'supervision'}
    beside |= {'pandas', 'IPython', 'pillow_heif', 'onnx', 'onnx_ir', 'onnxruntime'}
    required_names = required(metadata_of(wheel).get_all('Requires-Dist'))
    providers = importlib.metadata.packages_distributions()
    for module in imported - beside:
        names = {canonicalize_name(name) for name in providers[module]}
        assert names & required_names, module


def test_installing_a_wheel_pulls_no_opencv_and_nothing_that_does_not_build(wheel):
    """A second OpenCV would be written over the one that is there: they share the folder cv2."""
    pulled, waiting = set(), required(metadata_of(wheel).get_all('Requires-Dist'))
    while waiting:
        name = waiting.pop()
        pulled.add(name)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            waiting |= required(importlib.metadata.requires(name)) - pulled
    assert 'shapely' in pulled  # of mmdet: it did walk on
    assert not [name for name in pulled if name.startswith('opencv')]
    assert not pulled & {'chumpy', 'xtcocotools', 'mmcv', 'openmim'}


def run_beside(folder, *command):
    """Run a command where the wheel lies unpacked, and no checkout."""
    env = {'PYTHONPATH': str(folder / 'site')}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_wheel_works_without_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    code = (
        'from rlepose_ext.resources import resource, PACKAGE\n'
        'from mmengine.config import Config\n'
        'name = "configs/rle/rle_res50_8xb64-210e_coco-256x192.py"\n'
        'assert ".mim" in str(resource(name)), resource(name)\n'
        'print(Config.fromfile(resource(name)).model.head.type)'
    )
    done = run_beside(tmp_path, sys.executable, '-c', code)
    assert done.stdout.strip().endswith('rlepose_ext.RLEHead'), done.stderr


def test_mim_finds_the_index_of_an_installed_wheel(wheel, tmp_path):
    """Not that of an editable install, as docs/zoo.md says."""
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    name = 'rle_res50_8xb64-210e_coco-256x192'
    script = str(Path(sys.executable).with_name('mim'))
    done = run_beside(
        tmp_path, script, 'search', 'rlepose_ext', '--config', name, '--json', 'x.json'
    )
    assert done.returncode == 0, done.stderr
    columns = json.loads((tmp_path / 'x.json').read_text())
    found = {column: values[name] for column, values in columns.items()}
    assert found['weight'].endswith('-d37efd64_20220913.pth')
    assert found['weights_license'] == 'apache-2.0'
    assert (tmp_path / 'site' / 'rlepose_ext' / '.mim' / found['config']).is_file()
