"""Every config of the project runs: counted, trained for two iterations, validated, tested.

The slow tests do it for every config at a reduced size, on real pictures of its data set where
``RLEPOSE_SHARED`` has some, else on drawn ones in the same files, by MMEngine's Runner in this
process: configs of our own bases here, leaves over MMPose's in ``test_matrix_stock.py``, so that
two workers share them. ``make matrix`` does it at every full size, and what it found is
``benchmarks/results/matrix.json``.
"""

import json
import os
import subprocess
import sys

import matrix
import pytest
from _miniature import ITERATIONS, run, total_parameters
from _miniature_data import draw
from _miniature_real import copy_real
from mmengine.config import Config
from mmengine.registry import init_default_scope

LEAVES = matrix.leaves()
STOCK = [name for name, path in LEAVES.items() if "'mmpose::" in path.read_text()]
OWN = [name for name in LEAVES if name not in STOCK]
# In `make test` too.
QUICK = ('simcc-rle_mobilenetv2-075_1xb64-210e_coco-192x192',)
# Parameters that get no gradient, by the start of the config's name: the part of the model
# that they lie in.
NOT_LEARNING = {'dekr-rescore': 'head.rescore_net.'}  # trained apart, in upstream's project
# With SyncBN, and the one kind with parameters that get no gradient.
SYNC_BN = (
    'rtmpose_cspnext-m_8xb256-420e_coco-256x192',
    'heatmap_hrformer-small_8xb32-210e_coco-256x192',
)
TWO_RANKS = (
    *SYNC_BN,
    'dekr-rescore_hrnet-w32_8xb10-140e_coco-512x512',
    'tokenpose_s-v1_4xb32-300e_coco-256x192',
    'poseur_res50_8xb32-325e_coco-256x192',
    'yolopose_yolov5s6_4xb16-300e_coco-640x640',
    'adaptivepose_hrnet-w32_8xb8-280e_coco-512x512',
    'posefix_res50_2xb16-140e_coco-256x192',
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A data root that is filled as configs ask for their files."""
    return tmp_path_factory.mktemp('data')


def each(names):
    marked = [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in names]
    return pytest.mark.parametrize('name', marked)


@each(OWN)
def test_trains_validates_and_tests(name, data, tmp_path, monkeypatch):
    monkeypatch.setenv('RLEPOSE_DATA', str(data))
    it_runs(name, data, tmp_path)


def it_runs(name, data, work_dir):
    """All that a config must do at the size of the tests; ``RLEPOSE_DATA`` is ``data``."""
    path = LEAVES[name]
    init_default_scope('mmpose')
    assert total_parameters(path) == matrix.listed_parameters(path)
    config = Config.fromfile(path)
    copy_real(config, data, matrix.SHARED)
    draw(config, data)
    found = run(path, work_dir, size='small')
    assert found['problems'] == []
    idle = tuple(part for start, part in NOT_LEARNING.items() if name.startswith(start))
    assert [part for part in found['not_learning'] if not part.startswith(idle)] == []


@pytest.mark.slow
@pytest.mark.parametrize('name', TWO_RANKS)
def test_on_two_cpu_ranks_as_they_are(name, tmp_path):
    """DistributedDataParallel over gloo; SyncBN becomes BN within each process."""
    assert ('SyncBN' in str(Config.fromfile(LEAVES[name]).model)) == (name in SYNC_BN)
    # Each rank its own file: lines of two processes on one stdout may run into each other.
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += ['--redirects=1', f'--log-dir={tmp_path / "ranks"}']
    command += [matrix.__file__, '--worker', name, '--size', 'small']
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    printed = sorted((tmp_path / 'ranks').rglob('stdout.log'))
    rows = [json.loads(path.read_text().splitlines()[-1]) for path in printed]
    assert [row['problems'] for row in rows] == [[], []]
    assert [row['iterations'] for row in rows] == [ITERATIONS] * 2
    assert rows[0]['losses'] != rows[1]['losses']  # each has its own pictures
    assert rows[0]['test'] == rows[1]['test']
