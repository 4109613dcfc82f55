"""What users install: a wheel that works without the checkout, and pins that agree."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rlepose_ext.resources import resource
from rlepose_ext.version import __version__


@pytest.fixture(scope='module')
def wheel(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    # A copy, because setuptools writes build/ into the source folder.
    source = folder / 'source'
    names = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
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


def test_wheel_does_not_require_what_pip_cannot_install(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith('METADATA')]
    lines = archive.read(metadata).decode().splitlines()
    required = {line.split()[1].split('>')[0].split('=')[0].split('<')[0] for line in lines
                if line.startswith('Requires-Dist')}  # fmt: skip
    assert {'torch', 'mmengine', 'mmdet', 'pycocotools'} <= required
    assert not required & {'mmpose', 'openmim', 'chumpy', 'xtcocotools', 'mmcv'}
    assert f'Version: {__version__}' in lines


def test_wheel_works_without_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    code = (
        'from rlepose_ext.resources import resource, PACKAGE\n'
        'from mmengine.config import Config\n'
        'name = "configs/rle/rle_res50_8xb64-210e_coco-256x192.py"\n'
        'assert ".mim" in str(resource(name)), resource(name)\n'
        'print(Config.fromfile(resource(name)).model.head.type)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env={'PYTHONPATH': str(tmp_path / 'site')},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith('rlepose_ext.RLEHead'), done.stderr


def test_mim_finds_the_index_of_an_installed_wheel(wheel, tmp_path):
    """Not that of an editable install, as docs/zoo.md says."""
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    name = 'rle_res50_8xb64-210e_coco-256x192'
    script = str(Path(sys.executable).with_name('mim'))
    done = subprocess.run(
        [script, 'search', 'rlepose_ext', '--config', name, '--json', str(tmp_path / 'x.json')],
        cwd=tmp_path,
        env={'PYTHONPATH': str(tmp_path / 'site')},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    columns = json.loads((tmp_path / 'x.json').read_text())
    found = {column: values[name] for column, values in columns.items()}
    assert found['weight'].endswith('-d37efd64_20220913.pth')
    assert found['weights_license'] == 'apache-2.0'
    assert (tmp_path / 'site' / 'rlepose_ext' / '.mim' / found['config']).is_file()


def test_resource_names_what_is_missing():
    assert resource('configs/_base_/runtime.py').is_file()
    with pytest.raises(FileNotFoundError, match=r'configs/none\.py'):
        resource('configs/none.py')
