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
    for rows, grew in (('rows', 'peak_grew_mb'), ('network_rows', 'network_peak_grew_mb')):
        assert [row['frame'] for row in found[rows]] == list(range(100, 900, 100))
        # 500 frames would be 115 MB
        assert found[grew] < 8
