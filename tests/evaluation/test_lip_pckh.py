"""LIPPCKh: numbers by hand, loops over the definition, missing heads, bad samples."""

import math

import numpy as np
import pytest

from rlepose_ext.annotations.lip import HEAD, NECK
from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.lip_pckh import LIPPCKh, normalised_distances, pckh_columns


def person(seed=0, head=20.0):
    """16 joints; head and neck ``head`` px apart."""
    points = np.random.default_rng(seed).uniform(0, 200, (16, 2))
    points[HEAD] = points[NECK] - [0, head]
    return points


def sample(truth, predicted, visible=None):
    visible = np.ones(16) if visible is None else np.asarray(visible, float)
    return {
        'gt_instances': {
            'keypoints': truth[None].astype(np.float32),
            'keypoints_visible': visible[None].astype(np.float32),
        },
        'pred_instances': {'keypoints': predicted[None].astype(np.float32)},
    }


def evaluate(samples, **options):
    metric = LIPPCKh(**options)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def without(*joints):
    visible = np.ones(16)
    visible[list(joints)] = 0
    return visible


def test_by_hand():
    """Two images of head size 20 and 40 px; a third one has no head and does not count."""
    first, second, third = person(1, 20), person(2, 40), person(3)
    moved = first.copy()
    moved[0] += [10, 0]  # right ankle, exactly half a head: right
    moved[5] += [10.1, 0]  # left ankle: wrong
    moved[10] += [300, 0]  # right wrist: wrong
    moved[6] += [300, 0]  # pelvis: in no column
    moved[7] += [300, 0]  # spine: in no column
    also = second.copy()
    also[0] += [0, 21]  # right ankle: wrong
    also[13] += [0, 19]  # left shoulder: right
    also[12] += [0, 30]  # right shoulder has no label
    far = third + 500
    result = evaluate(
        [sample(first, moved), sample(second, also, without(12)), sample(third, far, without(HEAD))]
    )
    expected = {
        'Head': 100,
        'Shoulder': 100,
        'Elbow': 100,
        'Wrist': 75,  # 50 on the right, 100 on the left
        'Hip': 100,
        'Knee': 100,
        'Ankle': 50,  # 50 and 50
        'U.Body': 100 * 14 / 15,
        'Total': 100 * (27 - 3) / 27,
        'skipped': 1,
    }
    assert result == pytest.approx({f'PCKh/{name}': value for name, value in expected.items()})


def test_columns_are_means_of_sides_and_bodies_are_pooled():
    """Right wrists 1 of 1, left wrists 0 of 3: the column is 50, not 25."""
    distances = np.full((3, 16), np.nan)
    distances[0, 10] = 0
    distances[:, 15] = 9
    columns = pckh_columns(distances)
    assert columns['Wrist'] == 50
    assert columns['U.Body'] == columns['Total'] == 25
    assert math.isnan(columns['Hip'])
    # one side without a label at all: the other one is the column
    distances[:, 15] = np.nan
    assert pckh_columns(distances)['Wrist'] == 100


def test_equals_loops_over_the_definition():
    rng = np.random.default_rng(3)
    people = rng.uniform(0, 100, (30, 16, 2))
    people[:, HEAD] = people[:, NECK] + rng.normal(0, 20, (30, 2))
    predicted = people + rng.normal(0, 8, people.shape)
    visible = rng.random((30, 16)) < 0.8
    right, points = np.zeros(16), np.zeros(16)
    skipped = 0
    for n in range(30):
        if not (visible[n, 8] and visible[n, 9]):
            skipped += 1
            continue
        head = math.dist(people[n, 8], people[n, 9])
        for k in range(16):
            if visible[n, k]:
                points[k] += 1
                right[k] += math.dist(people[n, k], predicted[n, k]) <= 0.5 * head
    assert 0 < skipped < 30
    percent = 100 * right / points
    result = evaluate(
        [sample(*each) for each in zip(people, predicted, visible, strict=True)], prefix='x'
    )
    both = {'Head': (8, 9), 'Shoulder': (12, 13), 'Elbow': (11, 14), 'Wrist': (10, 15)}
    both |= {'Hip': (2, 3), 'Knee': (1, 4), 'Ankle': (0, 5)}
    for name, (a, b) in both.items():
        assert result[f'x/{name}'] == pytest.approx((percent[a] + percent[b]) / 2)
    upper, total = slice(8, 16), [*range(6), *range(8, 16)]
    assert result['x/U.Body'] == pytest.approx(100 * right[upper].sum() / points[upper].sum())
    assert result['x/Total'] == pytest.approx(100 * right[total].sum() / points[total].sum())
    assert result['x/skipped'] == skipped
    assert 20 < result['x/Total'] < 90


@pytest.mark.parametrize('joint', [HEAD, NECK])
def test_nobody_with_head_and_neck(joint):
    points = person()
    alone = evaluate([sample(points, points + 99, without(joint))])
    assert alone['PCKh/skipped'] == 1
    assert math.isnan(alone['PCKh/Total'])


def test_head_of_no_size_does_not_count():
    points = person(head=0.0)
    assert evaluate([sample(points, points)])['PCKh/skipped'] == 1


def test_prediction_that_is_no_number_is_wrong():
    points = person()[None]
    predicted = points.copy()
    predicted[0, 0] = np.nan
    labelled = np.ones((1, 16), bool)
    distances = normalised_distances(predicted, points, labelled)
    assert distances[0, 0] == np.inf
    assert pckh_columns(distances)['Ankle'] == 50


def test_coordinates_of_absent_joints_do_not_matter():
    points = person()
    changed = points.copy()
    changed[4] = np.nan
    a, b = (
        evaluate([sample(p, points, without(4))], thr=0.1)['PCKh/Total'] for p in (points, changed)
    )
    assert a == b == 100


@pytest.mark.parametrize('thr', [0, -1, float('nan')])
def test_bad_threshold(thr):
    with pytest.raises(UserError, match='thr is'):
        LIPPCKh(thr=thr)


def test_other_joints_are_refused():
    points = np.zeros((17, 2))
    with pytest.raises(UserError, match=r"shape \(1, 17, 2\), expected one person with LIP's 16"):
        evaluate([sample(points, points, np.ones(17))])


def test_visibility_with_two_columns():
    """MMPose's newer pipelines carry a weight beside it."""
    points = person()
    given = sample(points, points + 99)
    visible = np.zeros((1, 16, 2))
    visible[0, [HEAD, NECK], 0] = 1
    given['gt_instances']['keypoints_visible'] = visible
    metric = LIPPCKh()
    metric.process({}, [given])
    assert np.isfinite(metric.results[0]).sum() == 2
