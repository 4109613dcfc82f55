"""What a training on a full disk tells whoever waits for it: its exit status."""

import os
import resource
import subprocess
import sys

import pytest
from _interrupted import CONFIG, draw

ROOM = 1_000_000  # bytes of a file: less than a checkpoint, more than a log


@pytest.mark.slow
def test_a_run_that_saved_nothing_fails(tmp_path):
    draw(str(tmp_path))
    work_dir = tmp_path / 'run'
    command = [sys.executable, '-m', 'rlepose_ext.cli.main', 'train', str(CONFIG)]
    command += ['--work-dir', str(work_dir), '--cfg-options', 'train_cfg.max_epochs=1']
    run = subprocess.run(
        command,
        env={**os.environ, 'RLEPOSE_DATA': str(tmp_path), 'CUDA_VISIBLE_DEVICES': ''},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 2, run.stdout[-3000:] + run.stderr[-3000:]
    assert not list(work_dir.rglob('*.pth'))
    problem = f'{work_dir / "epoch_1.pth"} was NOT saved: File too large.'
    assert problem in run.stdout
    assert f'expected its last checkpoint on the disk: {problem}' in run.stderr
    assert 'Traceback' not in run.stderr
