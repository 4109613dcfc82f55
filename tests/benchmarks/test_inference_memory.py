"""A long video does not take more memory than a short one."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_memory_is_flat(root, tmp_path):
    out = tmp_path / 'memory.json'
    command = ['benchmarks/inference_memory.py', '--frames', '800', '--out', str(out)]
    done = subprocess.run([sys.executable, *command], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    for prefix in ('', 'network_'):
        assert [row['frame'] for row in found[f'{prefix}rows']] == list(range(100, 900, 100))
        # the frames themselves would be 23 MB
        assert found[f'{prefix}per_100_frames_mb'] < 1
