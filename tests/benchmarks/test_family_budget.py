"""The same training for every variant: same crops, resumable, and what is left out is named."""

import importlib

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS


@pytest.fixture(scope='module')
def module(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root / 'benchmarks')
        yield importlib.import_module('family_budget')


@pytest.fixture
def paths(module):
    return module.systems(module.SAME)


@pytest.mark.slow
def test_every_variant_sees_the_same_crops(module, paths, shared, monkeypatch):
    monkeypatch.setenv('RLEPOSE_DATA', str(shared / 'data'))
    init_default_scope('mmpose')
    crops = []
    for name in ('rle_alexnet', 'heatmap_hrnetlite', 'simcc_hrnetlite'):
        config = module.runner_config(paths[name], 0, 400, '')
        train = DATASETS.build(config.train_dataloader.dataset)
        np.random.seed(3)  # noqa: NPY002  (MMPose draws from the global generator)
        crops.append(np.stack([train[index]['inputs'].numpy() for index in (5, 0, 7)]))
    assert crops[0].shape == (3, 3, 64, 64)
    for other in crops[1:]:
        np.testing.assert_array_equal(other, crops[0])


@pytest.mark.slow
def test_a_short_training_is_scored(module, shared, tmp_path):
    row = module.in_own_process('rle_alexnet', 0, 3, 1)
    assert row['parameters'] == 2_484_088
    assert set(row['pck']) == {'0.2', '0.1'}
    assert 0 < row['pck']['0.1'] < row['pck']['0.2'] < 1


def test_mean_pose_scores_what_looking_must_beat(module, shared):
    pck = module.mean_pose_row()['pck']
    assert pck == {'0.2': 0.3589, '0.1': 0.1094}
