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


def test_a_missing_op_says_its_name_and_how_to_get_it(ext):
    with pytest.raises(mmcv_ops.MissingOpError) as caught:
        ext.carafe_forward(1, kernel_size=2)
    assert isinstance(caught.value, UserError)
    for part in ("'carafe_forward'", 'make setup MMCV=full', 'mmcv 2.1.0'):
        assert part in str(caught.value)


def test_missing_ops_raise_through_mmcv(ext):
    import torch
    from mmcv.ops import CARAFE, bbox_overlaps

    with pytest.raises(mmcv_ops.MissingOpError, match='carafe_forward'):
        CARAFE(3, 1, 2)(torch.zeros(1, 1, 2, 2), torch.zeros(1, 9, 4, 4))
    with pytest.raises(mmcv_ops.MissingOpError, match='bbox_overlaps'):
        bbox_overlaps(torch.zeros(1, 4), torch.zeros(1, 4))


def test_the_module_looks_like_a_module(ext):
    assert ext.__name__ == ext.__spec__.name == 'mmcv._ext'
    assert not hasattr(ext, '__path__')
    assert not hasattr(ext, '_pytestfixturefunction')
    assert not hasattr(ext, '__wrapped__')


def test_mmcv_and_mmengine_see_their_ops(ext):
    from mmcv.utils import collect_env
    from mmengine.utils.dl_utils import mmcv_full_available

    assert mmcv_full_available()
    env = collect_env()
    assert env['MMCV Compiler'] == env['MMCV CUDA Compiler']
    assert 'stand-in' in env['MMCV Compiler']


def test_stand_in_of_a_fresh_interpreter():
    if mmcv_ops.PATCH.status() != 'stand-in active':
        pytest.skip('mmcv is compiled')
    code = """
import rlepose_ext
assert not {'torch', 'mmcv'} & set(sys.modules), 'importing rlepose_ext is not light'
from mmcv.ops import nms_rotated
import torch
try:
    nms_rotated(torch.zeros(1, 5), torch.zeros(1), 0.5)
except rlepose_ext.errors.UserError as error:
    print(type(error).__name__, error)
"""
    said = run(code)
    assert said.startswith("MissingOpError mmcv's op 'nms_rotated'")


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


def test_without_mmcv_the_status_says_so():
    code = """
import rlepose_ext
sys.modules['mmcv'] = None
print(rlepose_ext.compat.mmcv_ops.PATCH.status())
"""
    assert run(code).startswith('broken: ')
    assert 'mmcv' in run(code)
