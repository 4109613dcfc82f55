"""Pickles made by hand: none ends the process, or calls what is not on the list.

Each is loaded in a child process, which may die of it.
"""

import os
import resource
import signal
import sys
import traceback
from contextlib import suppress

import mmengine.runner  # noqa: F401  (the watched part imports nothing)
import numpy as np
import pytest
import torch
from forgery import (
    NONE,
    Scribbler,
    array_state,
    build,
    call,
    dtype,
    forge,
    integer,
    keep,
    kept,
    named,
    new_array,
    raw,
    sequence,
    text,
)

from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.checkpoints.safe_values import STAND_INS
from rlepose_ext.errors import UserError

LOADED, REFUSED, WRONG = 0, 3, 4


def in_child(task):
    """How a child process ended that ran ``task()``: its exit status, or a signal's name."""
    process = os.fork()
    if process == 0:
        try:
            os._exit(task() or 0)
        except UserError:
            os._exit(REFUSED)
        except BaseException:
            traceback.print_exc()
            os._exit(WRONG)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code if code >= 0 else signal.Signals(-code).name


def use(value):
    """Read all that a checkpoint holds."""
    if isinstance(value, np.ndarray):
        value.tolist()
    elif isinstance(value, torch.Tensor):
        if value.numel() < 1 << 20:  # a stride of 0 makes many out of one
            value.tolist()
    elif isinstance(value, dict):
        for item in dict.items(value):
            use(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            use(item)
    elif isinstance(getattr(value, '__dict__', None), dict):
        use(vars(value))


def number(*flags, code='f8', data=bytes(8)):
    return call('numpy.core.multiarray.scalar', dtype(code, *flags), raw(data))


F8 = keep(1, dtype('f8'))
ARRAY = build(keep(2, new_array()), array_state([1 << 16], F8, raw(bytes(8 << 16))))
FORGED = {
    # bytes as a pointer to an object: the flags of dtype('O') say that it holds none
    'pointer': number(integer(0), code='O8', data=b'A' * 8),
    # memory of an array that a tensor shares is freed by giving the array other content
    'freed': sequence(
        ARRAY,
        call(
            'torch._utils._rebuild_device_tensor_from_numpy',
            kept(2),
            named('torch.float64'),
            text('cpu'),
            b'\x89',
        ),
        build(kept(2), array_state([1], kept(1), raw(bytes(8)))),
    ),
    'memory of others': sequence(F8, call('numpy.ndarray', sequence(integer(1 << 16)), kept(1))),
    'more than its bytes': number(code='f8', data=b'A'),
    'less than its bytes': number(code='f8', data=bytes(16)),
    'a shape without its bytes': build(
        new_array(), array_state([1 << 30, 1 << 30], F8, raw(bytes(8)))
    ),
    'a negative shape': build(new_array(), array_state([-1, -1], F8, raw(bytes(8)))),
    'texts without size': build(
        new_array(), array_state([1 << 30], dtype('U0'), call('builtins.bytes'))
    ),
    'a dtype of a dtype': call('numpy.dtype', F8),
    'another method of a history': call(
        'builtins.getattr',
        named('mmengine.logging.history_buffer.HistoryBuffer'),
        text('register_statistics'),
    ),
    'a history of no arrays': build(
        named('mmengine.logging.history_buffer.HistoryBuffer') + sequence() + b'\x81',
        b'}(' + text('_log_history') + NONE + text('_count_history') + NONE + b'u',
    ),
}


def test_what_is_sound_loads(tmp_path):
    file = forge(tmp_path / 'sound.pth', sequence(number(), ARRAY))
    assert in_child(lambda: use(load_file(file))) == LOADED


@pytest.mark.parametrize('name', FORGED)
def test_forged_files_are_refused(tmp_path, name):
    file = forge(tmp_path / 'forged.pth', FORGED[name])
    assert in_child(lambda: use(load_file(file))) == REFUSED


class Own:
    pass


def test_what_a_program_has_put_on_torchs_list_makes_no_hole(tmp_path):
    """The usual advice for checkpoints of mmengine; other classes there are still welcome."""
    file = forge(tmp_path / 'forged.pth', call('numpy.dtypes.Float64DType'))

    def task():
        torch.serialization.add_safe_globals([getattr, np.dtype, type(np.dtype('f8')), Own])
        before = set(torch.serialization.get_safe_globals())
        torch.save(Own(), tmp_path / 'own.pth')
        assert type(load_file(tmp_path / 'own.pth')) is Own
        with pytest.raises(UserError, match=r'numpy\.dtypes\.Float64DType'):
            load_file(file)
        assert set(torch.serialization.get_safe_globals()) == before

    assert in_child(task) == LOADED


def test_text_that_is_none_does_no_harm(tmp_path):
    data = build(new_array(), array_state([1], dtype('U1'), raw(b'\xff\xff\xff\xff')))
    file = forge(tmp_path / 'forged.pth', data)

    def task():
        with suppress(SystemError, ValueError):  # numpy says so when it is read
            use(load_file(file))

    assert in_child(task) == LOADED


# What a program may name: all that is on our list, some of torch's, and what must not be called.
OURS = sorted(STAND_INS)
TORCH = ['collections.OrderedDict', 'builtins.set', 'torch.Size', 'torch.Tensor', 'torch.device']
TORCH += ['torch.float32', 'torch.FloatStorage', 'torch._utils._rebuild_parameter']
FORBIDDEN = ['posix.mkdir', 'os.mkdir', 'builtins.eval', 'builtins.exec', 'builtins.__import__']
FORBIDDEN += ['subprocess.Popen', 'numpy.load', 'ctypes.CDLL', 'mmengine.config.Config.fromstring']

HARMFUL = ('exec', 'compile', 'os.mkdir', 'os.system', 'subprocess.Popen', 'ctypes.dlopen')
HARMFUL += ('pickle.find_class', 'socket.connect', 'import')


def scribble(folder, seed, count):
    """Load ``count`` random programs; the number of them that loaded."""
    allowed = str(folder)
    watching = False

    def watch(event, arguments):
        if watching and (event in HARMFUL or (event == 'open' and str(arguments[0]) != allowed)):
            sys.stderr.write(f'{event} {arguments}\n')
            os._exit(WRONG)

    sys.addaudithook(watch)
    scribbler = Scribbler(seed, OURS + TORCH + FORBIDDEN)
    loaded = 0
    for turn in range(-20, count):
        file = forge(folder / f'{seed}_{turn}.pth', scribbler.program())
        allowed = str(file)
        watching = turn >= 0  # by then, what is imported late has been imported
        try:
            value = load_file(file)
        except (UserError, MemoryError):
            continue
        finally:
            watching = False
            file.unlink()
        loaded += 1
        with suppress(SystemError, ValueError):  # text that is none
            use(value)
    return loaded


def test_random_programs_neither_crash_nor_call(tmp_path):
    def task():
        resource.setrlimit(resource.RLIMIT_AS, (1 << 35, 1 << 35))
        assert scribble(tmp_path, 0, 600) > 30

    assert in_child(task) == LOADED
