"""When a loss counts as broken, and what is said about its samples."""

import math

import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from rlepose_ext.engine.bad_loss import LossWatch, describe, sample_origins
from rlepose_ext.errors import UserError


def warm(watch, value=-2.0):
    for _ in range(watch.window):
        assert watch.see(value) is None
    return watch


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_not_finite_at_once(value):
    assert LossWatch().see(value) == f'is {value}'


def test_under_a_scaler_only_in_a_row():
    watch = LossWatch(patience=3)
    for _ in range(5):
        assert watch.see(math.inf, scaled=True) is None
        assert watch.see(math.inf, scaled=True) is None
        assert watch.see(0.5, scaled=True) is None
    watch.see(math.nan, scaled=True)
    watch.see(math.nan, scaled=True)
    assert watch.see(math.nan, scaled=True) == 'is nan, the 3th time in a row'


def test_explodes():
    watch = warm(LossWatch())
    assert watch.see(1999.0) is None
    watch = warm(LossWatch())
    assert 'exploded to 2001; in the last 50 iterations it was at most 2' in watch.see(2001.0)
    assert warm(LossWatch()).see(-2001.0) is not None


def test_does_not_explode():
    watch = LossWatch()
    for step in range(49):
        assert watch.see(10.0**step) is None, 'the first iterations may be anything'
    # through zero, as a negative log-likelihood goes
    watch = warm(LossWatch(window=5), 1e-9)
    assert watch.see(0.9) is None
    # a slow growth is not an explosion
    watch = warm(LossWatch(), 1.0)
    assert all(watch.see(1.5**step) is None for step in range(60))


def test_switched_off_by_an_infinite_factor():
    assert warm(LossWatch(factor=math.inf)).see(1e30) is None


@pytest.mark.parametrize('arguments', [{'factor': 1}, {'window': 0}, {'patience': 0}])
def test_arguments(arguments):
    with pytest.raises(UserError, match='factor > 1'):
        LossWatch(**arguments)


def batch():
    samples = []
    for number in range(3):
        sample = PoseDataSample(
            metainfo={'img_path': f'images/{number}.jpg', 'img_id': 10 + number, 'id': number}
        )
        sample.gt_instance_labels = InstanceData(keypoint_labels=torch.zeros(1, 17, 2))
        samples.append(sample)
    return {'inputs': [torch.zeros(3, 4, 4, dtype=torch.uint8)] * 3, 'data_samples': samples}


def test_origins_of_a_batch():
    made = batch()
    assert sample_origins(made)[1] == {'image': 'images/1.jpg', 'image_id': 11, 'annotation_id': 1}
    made['data_samples'][2].gt_instance_labels.keypoint_labels[0, 3, 1] = math.nan
    made['inputs'] = torch.zeros(3, 3, 4, 4)
    made['inputs'][0, 0, 0, 0] = math.inf
    origins = sample_origins(made)
    assert origins[0]['not_finite'] == ['inputs']
    assert origins[2]['not_finite'] == ['keypoint_labels']
    text = describe(origins, most=2)
    assert text.endswith("not_finite ['keypoint_labels']); and 1 more")


@pytest.mark.parametrize('other', [None, torch.zeros(3), {'inputs': 1}, [1, 2], {}])
def test_batches_of_other_kinds(other):
    assert sample_origins(other) == []
    assert 'unknown' in describe([])
