"""The processes of a chain: exit status, signals handed on, one at a time in a folder."""

import os
import signal
import subprocess
import sys
import time

import pytest

from rlepose_ext.chain.process import Processes
from rlepose_ext.errors import UserError

# Says when it listens, and ends as a training does that was told to stop.
LISTENER = """
import signal, sys, time
def leave(number, frame):
    sys.exit(128 + number)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, leave)
open(sys.argv[1], 'w').close()
time.sleep(60)
"""
# Runs the listener as a stage, and a second stage if it is allowed to.
CHAIN = """
import sys
from pathlib import Path
from rlepose_ext.chain.process import Processes
folder, listener = Path(sys.argv[1]), sys.argv[2]
with Processes(folder, only_sigterm=sys.argv[3] == 'True') as processes:
    first = processes.run([sys.executable, '-c', listener, str(folder / 'listens')])
    second = processes.run([sys.executable, '-c', 'open(r"%s", "w")' % (folder / 'second')])
print(first, second)
"""


def python(*code):
    return [sys.executable, '-c', *code]


def test_exit_status_is_a_shells(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with Processes(tmp_path) as processes:
        assert processes.run(python('raise SystemExit(7)')) == 7
        assert processes.run(python('')) == 0
        assert processes.run(python('import os; os.kill(os.getpid(), 9)')) == 137
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(('number', 'only_sigterm', 'status'), [
    (signal.SIGTERM, False, 143),
    (signal.SIGUSR1, False, 128 + signal.SIGUSR1),
    (signal.SIGUSR1, True, 143),
])  # fmt: skip
def test_signals_reach_the_training_and_none_begins_after(tmp_path, number, only_sigterm, status):
    command = python(CHAIN, str(tmp_path), LISTENER, str(only_sigterm))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as chain:
        wait_for(tmp_path / 'listens', chain)
        chain.send_signal(number)
        output, _ = chain.communicate(timeout=60)
    assert chain.returncode == 0
    assert output.split() == [str(status), str(128 + number)]
    assert not (tmp_path / 'second').exists()


def test_a_folder_is_for_one_chain_and_its_training(tmp_path):
    command = python(CHAIN, str(tmp_path), LISTENER, 'False')
    # Killed at once, the chain leaves its training behind, which keeps the folder.
    with subprocess.Popen(command, start_new_session=True) as chain:
        wait_for(tmp_path / 'listens', chain)
        with pytest.raises(UserError, match=r'another `rlepose chain`'), Processes(tmp_path):
            pass
        chain.kill()
        chain.wait(60)
        with pytest.raises(UserError, match=r'or a training that it began'), Processes(tmp_path):
            pass
        os.killpg(chain.pid, signal.SIGTERM)
    for _ in range(600):
        try:
            with Processes(tmp_path):
                return
        except UserError:
            time.sleep(0.05)
    pytest.fail('the lock outlived the training')


def wait_for(path, process):
    for _ in range(1200):
        if path.exists():
            return
        assert process.poll() is None
        time.sleep(0.05)
    pytest.fail(f'{path} did not come')
