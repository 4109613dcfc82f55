"""Signals leave a note, processes agree on when to act on it."""

import os
import signal
import subprocess
import sys

import pytest

from rlepose_ext.engine.interrupt import Agreement, StopSignal
from rlepose_ext.errors import UserError


@pytest.fixture
def stop():
    listening = StopSignal(['SIGTERM', 'SIGUSR1', 'SIGNOTONTHISSYSTEM'])
    assert listening.install()
    yield listening
    listening.uninstall()


def test_the_first_signal_is_noted_and_its_echo_ignored(stop):
    assert stop.received is None
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert stop.received == signal.SIGUSR1


@pytest.mark.slow
def test_a_second_signal_ends_the_process_at_once():
    program = (
        'import os, signal, time\n'
        'from rlepose_ext.engine import interrupt\n'
        'interrupt.PATIENCE = 0.05\n'
        "interrupt.StopSignal(['SIGTERM']).install()\n"
        'for _ in range(2):\n'
        '    os.kill(os.getpid(), signal.SIGTERM)\n'
        '    time.sleep(0.1)\n'
        'print("still here")\n'
    )
    ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, '')


@pytest.mark.parametrize('name', ['TERM', 15, 'SIG TERM'])
def test_names_of_signals(name):
    with pytest.raises(UserError, match='SIGTERM'):
        StopSignal([name])


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_processes_ask_each_other_seldom_and_stop_together():
    """Two processes, one of them slower, in lockstep; the second one gets a signal."""
    clocks = [Clock(), Clock()]
    sent = {}

    def maximum_of(rank):
        def maximum(values):
            sent[rank] = values
            # Stands for the collective call; what the other one sends is known here.
            return [15.0 if iteration >= 25 else 0.0, 0.2]

        return maximum

    agreements = [Agreement(2, 2.0, maximum_of(rank), clocks[rank]) for rank in (0, 1)]
    asked = []
    for iteration in range(40):
        sent.clear()
        for rank in (0, 1):
            clocks[rank].now += 0.1 * (rank + 1)
        received = 15 if iteration >= 25 else None
        answers = [agreements[0].ask(None), agreements[1].ask(received)]
        if sent:
            asked.append(iteration)
            assert sent[0] == [0.0, pytest.approx(0.1)]
            assert sent[1] == [float(received or 0), pytest.approx(0.2)]
        assert answers[0] == answers[1]
        if answers[0]:
            break
    # at once, and then every 2 s of the slower one
    assert asked == [0, 10, 20, 30]
    assert answers == [15, 15]


@pytest.mark.slow
def test_workers_obey_their_parent_only():
    """A worker outlives signals to its group, and ends when its parent ends it."""
    program = (
        'import multiprocessing, os, signal, sys, time\n'
        'from rlepose_ext.engine.interrupt import GuardedWorker\n'
        'def work(ready):\n'
        '    GuardedWorker([signal.SIGTERM, signal.SIGUSR1], lambda number: ready.set())(0)\n'
        '    time.sleep(60)\n'
        'context = multiprocessing.get_context("fork")\n'
        'ready = context.Event()\n'
        'worker = context.Process(target=work, args=(ready,))\n'
        'worker.start()\n'
        'ready.wait()\n'
        'for name in ("TERM", "USR1", "TERM"):\n'
        '    os.system(f"kill -{name} {worker.pid}")\n'
        'time.sleep(0.3)\n'
        'print(worker.is_alive())\n'
        'worker.terminate()\n'
        'worker.join(30)\n'
        'print(worker.exitcode)\n'
    )
    ended = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout.split() == ['True', '0'], ended.stderr
