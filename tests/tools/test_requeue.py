"""When a job script queues itself again: told to stop before it was done, and only then."""

import subprocess
import sys
from pathlib import Path

import pytest

REQUEUE = Path(__file__).resolve().parents[2] / 'tools' / 'slurm' / '_requeue.sh'
# Knows one job, and ends the script that queues it again, as Slurm does.
SCONTROL = """#!/bin/sh
echo "$@" >> {record}
case $1 in
    show) echo "PreemptEligibleTime=2026-01-01T00:00:00 PreemptTime={preempted}" ;;
    requeue) kill $PPID ;;
esac
"""
# Plays the training. Slurm's warning comes long after the start: not before bash listens.
TRAINING = """
import os, signal, sys, time
told, status = sys.argv[1:]
script, usr1 = os.getppid(), signal.SIGUSR1
def listens():
    status = open(f'/proc/{script}/status').read()
    return int(status.partition('SigCgt:')[2].split()[0], 16) >> usr1 - 1 & 1
if told == 'told':
    signal.pthread_sigmask(signal.SIG_BLOCK, [usr1])
    while not listens():
        time.sleep(0.01)
    os.kill(script, usr1)
    signal.sigwait([usr1])
sys.exit(int(status))
"""
TIME = '2026-01-02T03:04:05'


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='asks Linux who listens')
@pytest.mark.parametrize(('told', 'preempted', 'status', 'requeued'), [
    ('told', 'None', 138, True),
    # what srun and torchrun make of a signal
    ('told', 'None', 1, True),
    ('told', 'None', 0, False),
    ('told', 'None', 2, False),
    ('-', TIME, 143, True),
    ('-', TIME, 0, False),
    ('-', TIME, 2, False),
    ('-', 'None', 143, False),
    ('-', 'None', 1, False),
])  # fmt: skip
def test_a_job_is_queued_again_if_it_was_told_to_stop(tmp_path, told, preempted, status, requeued):
    record = tmp_path / 'record'
    record.touch()
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text(SCONTROL.format(record=record, preempted=preempted))
    scontrol.chmod(0o755)
    training = tmp_path / 'training.py'
    training.write_text(TRAINING)
    script = 'set -euo pipefail; source "$1"; shift; run_or_requeue USR1 "$@"'
    done = subprocess.run(
        ['bash', '-c', script, 'job', REQUEUE, sys.executable, training, told, str(status)],
        env={'PATH': f'{tmp_path}:/usr/bin:/bin', 'SLURM_JOB_ID': '7'},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ('requeue 7' in record.read_text().splitlines()) == requeued
    assert ('job 7 goes back into the queue' in done.stdout) == requeued
    assert done.returncode == (-15 if requeued else status), done.stderr


def test_a_training_that_is_over_at_once_keeps_its_status():
    """Outside of Slurm too, where nothing can be queued."""
    script = """set -euo pipefail
        source "$1"
        trap() { while kill -0 $! 2> /dev/null; do :; done; builtin trap "$@"; }
        run_or_requeue TERM bash -c "exit 3"
    """
    command = ['bash', '-c', script, 'job', REQUEUE]
    env = {'PATH': '/usr/bin:/bin'}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (3, '', '')
