"""When the stand-in takes mmcv's place, when it does not, and what it says."""

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from rlepose_ext.compat import mmcv_ops
from rlepose_ext.errors import UserError


def run(code, *path):
    """Run ``code`` in a fresh interpreter with ``path`` before everything else."""
    head = f'import sys; sys.path[:0] = {[str(p) for p in path]}\n'
    done = subprocess.run([sys.executable, '-c', head + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def fake_mmcv(tmp_path):
    """An importable ``mmcv`` without anything in it."""
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv/__init__.py').write_text('')
    return tmp_path


@pytest.fixture
def ext():
    if mmcv_ops.PATCH.status() != 'stand-in active':
        pytest.skip('mmcv is compiled')
    return __import__('mmcv._ext')._ext


def test_missing_ops_raise_through_mmcv(ext):
    import torch
    from mmcv.ops import CARAFE, bbox_overlaps

    with pytest.raises(mmcv_ops.MissingOpError, match='carafe_forward'):
        CARAFE(3, 1, 2)(torch.zeros(1, 1, 2, 2), torch.zeros(1, 9, 4, 4))
    with pytest.raises(UserError, match=r"'bbox_overlaps'.*make setup MMCV=full") as error:
        bbox_overlaps(torch.zeros(1, 4), torch.zeros(1, 4))
    assert isinstance(error.value, mmcv_ops.MissingOpError)


def test_mmcv_and_mmengine_see_their_ops(ext):
    from mmcv.utils import collect_env
    from mmengine.utils.dl_utils import mmcv_full_available

    assert mmcv_full_available()
    env = collect_env()
    assert env['MMCV Compiler'] == env['MMCV CUDA Compiler']
    assert 'stand-in' in env['MMCV Compiler']


def test_a_compiled_module_is_left_alone(fake_mmcv):
    (fake_mmcv / 'mmcv/_ext.py').write_text('nms = "compiled"\n')
    code = """
import rlepose_ext
import mmcv._ext as ext
print(ext.nms, hasattr(ext, 'softnms'), type(ext.__loader__).__name__, ext.__file__)
print(rlepose_ext.compat.mmcv_ops.PATCH.status())
assert ext.__spec__.loader is ext.__loader__
assert 'torch' not in sys.modules
"""
    first, second = run(code, fake_mmcv).splitlines()
    assert first == f'compiled False SourceFileLoader {fake_mmcv / "mmcv/_ext.py"}'
    assert second == 'not needed (compiled mmcv)'


@pytest.mark.parametrize('kind', ['library', 'python'])
def test_a_compiled_module_that_does_not_load_is_an_error(fake_mmcv, kind):
    if kind == 'library':
        file = fake_mmcv / f'mmcv/_ext{EXTENSION_SUFFIXES[0]}'
        file.write_bytes(b'not a library')
    else:
        file = fake_mmcv / 'mmcv/_ext.py'
        file.write_text('raise ImportError("undefined symbol: _ZN2at4_ops")\n')
    code = """
import rlepose_ext
for _ in range(2):  # the second attempt must not find a stand-in either
    try:
        import mmcv._ext
    except ImportError as error:
        print(error)
print(rlepose_ext.compat.mmcv_ops.PATCH.status())
"""
    *said, status = run(code, fake_mmcv).splitlines()
    assert len(said) == 2
    for line in said:
        assert line.startswith(f'{file} is installed but does not load (')
        assert 'make setup MMCV=full' in line
        assert 'mmcv-lite==2.1.0' in line
    assert status == f'broken: {said[0]}'
