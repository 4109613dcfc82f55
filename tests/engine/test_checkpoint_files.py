"""Checkpoint files are whole or not there; damage of any byte is found."""

import errno
import functools
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rlepose_ext.checkpoints import files as checkpoint_files
from rlepose_ext.checkpoints.files import damage, latest_whole, write_atomically, write_sealed


def save(path, step=0):
    torch.save({'state_dict': {'w': torch.arange(40.0) + step}, 'step': step}, path)
    return path


@pytest.mark.parametrize('step', ['fsync', 'replace'])
def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    path = tmp_path / 'a.pth'
    write_atomically(b'old', path)
    monkeypatch.setattr(checkpoint_files.os, step, full)
    with pytest.raises(OSError, match='No space'):
        write_atomically(b'new', path)
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['a.pth']


def test_what_is_read_back_must_be_what_was_written(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    write_atomically(b'old', path)
    monkeypatch.setattr(checkpoint_files, '_sha256', lambda stream, length: 'another')
    with pytest.raises(OSError, match='read back'):
        write_atomically(b'new', path)
    assert path.read_bytes() == b'old'


def test_whole_checkpoint_has_no_damage(tmp_path):
    assert damage(save(tmp_path / 'a.pth')) is None
    torch.save({'w': torch.zeros(3)}, tmp_path / 'b.pth', _use_new_zipfile_serialization=False)
    assert damage(tmp_path / 'b.pth') is None


def test_every_truncation_is_found(tmp_path):
    data = save(tmp_path / 'a.pth').read_bytes()
    cut = tmp_path / 'cut.pth'
    for length in range(0, len(data), 7):
        cut.write_bytes(data[:length])
        assert damage(cut), length
    assert 'empty' in damage_of(cut, b'')
    assert 'does not exist' in damage(tmp_path / 'missing.pth')


def damage_of(path, data):
    path.write_bytes(data)
    return damage(path)


def test_every_flipped_byte_of_a_sealed_file_is_found(tmp_path):
    path = tmp_path / 'sealed.pth'
    write_sealed(save, path)
    data = path.read_bytes()
    assert damage_of(path, data) is None
    assert torch.load(path)['step'] == 0
    name = range(data.index(b'rlepose_ext sha256'), len(data) - 64)  # all else is whole then
    for position in set(range(len(data))) - set(name):
        changed = bytearray(data)
        changed[position] ^= 0xFF
        assert damage_of(path, bytes(changed)), position


def test_a_flipped_weight_of_an_unsealed_file_is_found(tmp_path):
    path = save(tmp_path / 'a.pth')
    data = path.read_bytes()
    position = data.index(torch.arange(40.0).numpy().tobytes()) + 33
    assert 'data/0' in damage_of(path, data[:position] + b'\xff' + data[position + 1 :])


@pytest.mark.parametrize('step', [1, 7, 22, 100, 10_000])
def test_an_archive_may_come_in_pieces_of_any_size(tmp_path, step):
    data = save(tmp_path / 'a.pth').read_bytes()

    def write(stream):
        for start in range(0, len(data), step):
            stream.write(data[start : start + step])

    write_sealed(write, tmp_path / 'b.pth')
    assert damage(tmp_path / 'b.pth') is None
    assert (tmp_path / 'b.pth').read_bytes()[: len(data) - 2] == data[:-2]


@pytest.mark.parametrize('room', [100, 50_000, 81_000])
def test_a_full_disk_while_torch_saves_is_the_error(tmp_path, room):
    """Wherever in the archive: torch's writer turns an error of its stream into another one."""
    path, values = tmp_path / 'a.pth', {'a': torch.zeros(10_000), 'b': torch.zeros(10_000)}
    save = functools.partial(torch.save, values)
    write_sealed(save, path)
    old = path.read_bytes()
    assert len(old) > 81_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OSError, match='File too large') as error:
            write_sealed(save, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.filename == str(path)
    assert path.read_bytes() == old


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='needs Linux')
def test_saving_takes_no_memory_for_a_copy(tmp_path):
    program = """
import sys
import torch
from mmengine.runner.checkpoint import save_checkpoint


def memory(name):
    lines = open('/proc/self/status').read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


save_checkpoint({'w': torch.zeros(3)}, sys.argv[1])  # imports what is imported late
checkpoint = {'w': torch.ones(64, 1 << 20)}
open('/proc/self/clear_refs', 'w').write('5')
before = memory('VmRSS')
save_checkpoint(checkpoint, sys.argv[1])
print(memory('VmHWM') - before)
"""
    command = [sys.executable, '-c', f'import rlepose_ext\n{program}', str(tmp_path / 'a.pth')]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout.splitlines()[-1]) < 64, 'MiB, of a checkpoint of 256'


class TestLatestWhole:
    def test_nothing_there(self, tmp_path):
        assert latest_whole(tmp_path, pytest.fail) is None
        assert latest_whole(tmp_path / 'missing', pytest.fail) is None

    def test_the_named_one(self, tmp_path):
        first, second = save(tmp_path / 'epoch_1.pth'), save(tmp_path / 'epoch_2.pth')
        (tmp_path / 'last_checkpoint').write_text(str(first))
        assert latest_whole(tmp_path, pytest.fail) == first
        (tmp_path / 'last_checkpoint').unlink()
        os.utime(first, (1, 1))
        assert latest_whole(tmp_path, pytest.fail) == second

    def test_torn_ones_are_named_and_skipped(self, tmp_path):
        paths = [save(tmp_path / f'epoch_{n}.pth', n) for n in (1, 2, 3)]
        for age, path in enumerate(paths):
            os.utime(path, (age + 1, age + 1))
        save(tmp_path / 'best_coco_AP_epoch_3.pth')
        (tmp_path / 'last_checkpoint').write_text(str(paths[2]))
        paths[2].write_bytes(paths[2].read_bytes()[:300])
        warnings = []
        assert latest_whole(tmp_path, warnings.append) == paths[1]
        assert len(warnings) == 1
        assert 'epoch_3.pth' in warnings[0]

    @pytest.mark.parametrize('note', [b'', b'\0\0\0\0', b'\xff\xfe', b'/no/such/epoch_9.pth'])
    def test_torn_note(self, tmp_path, note):
        path = save(tmp_path / 'epoch_1.pth')
        (tmp_path / 'last_checkpoint').write_bytes(note)
        assert latest_whole(tmp_path, lambda text: None) == path

    def test_moved_work_directory(self, tmp_path):
        save(tmp_path / 'epoch_2.pth')
        path = save(tmp_path / 'epoch_1.pth')
        (tmp_path / 'last_checkpoint').write_text('elsewhere/epoch_1.pth')
        assert latest_whole(tmp_path, pytest.fail) == path
