"""PoseFix's synthetic errors: each where its definition says, as often as the tables say."""

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from rlepose_ext.datasets.transforms import SynthesizePoseErrors
from rlepose_ext.datasets.transforms.synthesize_pose_errors import (
    KINDS,
    Candidates,
    distance_at,
    draw,
    probabilities,
    synthesize,
)
from rlepose_ext.errors import UserError

AREA, SIGMA = 150.0 * 220, 0.062
NOBODY = np.empty((0, 2))


def meta_of(name):
    meta = parse_pose_metainfo({'from_file': f'configs/_base_/datasets/{name}.py'})
    names = [meta['keypoint_id2name'][k] for k in range(meta['num_keypoints'])]
    return names, meta['flip_indices'], np.array(meta['sigmas'])


def similarity(point, truth):
    return np.exp(-np.sum((point - truth) ** 2) / (2 * AREA * (2 * SIGMA) ** 2))


def test_distance_is_the_inverse_of_the_similarity():
    for wanted in (0.85, 0.5, 0.1):
        step = np.array([distance_at(wanted, AREA, SIGMA), 0])
        assert similarity(step, 0) == pytest.approx(wanted)


@pytest.mark.parametrize(('kind', 'around', 'low', 'high'), [
    ('jitter', 'own', 0.5, 0.85),
    ('good', 'own', 0.85, 1),
    ('inversion', 'partner', 0.5, 1),
    ('swap', 'same', 0.5, 1),
])  # fmt: skip
def test_an_error_lies_in_its_ring(kind, around, low, high):
    places = {'own': [100.0, 100], 'partner': [190.0, 100], 'same': [100.0, 220]}
    candidates = Candidates(
        own=np.array(places['own']),
        same=np.array([places['same']]),
        partner=np.array([places['partner']]),
        partners=NOBODY,
    )
    rng = np.random.default_rng(0)
    for _ in range(50):
        point = draw(kind, candidates, AREA, SIGMA, rng)
        assert low <= similarity(point, np.array(places[around])) <= high
        # and no other candidate is nearer
        distance = {name: np.linalg.norm(point - place) for name, place in places.items()}
        assert min(distance, key=distance.get) == around


def test_a_miss_lies_around_any_candidate_and_at_none():
    own, other = np.array([100.0, 100]), np.array([260.0, 100])
    candidates = Candidates(own, other[None], NOBODY, NOBODY)
    rng = np.random.default_rng(0)
    points = [draw('miss', candidates, AREA, SIGMA, rng) for _ in range(400)]
    best = [max(similarity(p, own), similarity(p, other)) for p in points]
    assert 0.1 <= min(best) <= max(best) <= 0.5
    foreign = np.mean([similarity(p, other) > similarity(p, own) for p in points])
    # a quarter of those of one other candidate beside all of its own
    assert foreign == pytest.approx(0.2, abs=0.05)


def test_what_cannot_be():
    own = np.array([100.0, 100])
    rng = np.random.default_rng(0)
    alone = Candidates(own, NOBODY, NOBODY, NOBODY)
    assert draw('inversion', alone, AREA, SIGMA, rng) is None
    assert draw('swap', alone, AREA, SIGMA, rng) is None
    # partners around a joint leave no room for it
    ring = own + 4 * np.stack([np.cos(np.arange(40)), np.sin(np.arange(40))], -1)
    doubled = Candidates(own, ring, own[None], NOBODY)
    assert draw('jitter', doubled, AREA, SIGMA, rng) is None


def test_tables():
    def shares(*args):
        return dict(zip(KINDS, np.round(probabilities(*args), 2), strict=True))

    assert shares('left_wrist', 17, 0) == {
        'jitter': 0.15, 'miss': 0.10, 'inversion': 0.03, 'swap': 0.06, 'good': 0.66
    }  # fmt: skip
    assert shares('right_hip', 4, 1) == {
        'jitter': 0.25, 'miss': 0.25, 'inversion': 0.06, 'swap': 0.10, 'good': 0.34
    }  # fmt: skip
    assert shares('nose', 8, 0)['miss'] == 0.10
    # crowded: few joints and somebody, or up to 15 joints and three others
    swaps = [shares('left_elbow', *each)['swap'] for each in ((10, 1), (11, 2), (15, 3), (16, 3))]
    assert swaps == [0.15, 0.06, 0.15, 0.06]
    with pytest.raises(UserError, match='kpt-3'):
        probabilities('kpt-3', 5, 0)


@pytest.mark.slow
@pytest.mark.parametrize('dataset', ['coco', 'crowdpose'])
def test_shares_are_those_of_the_tables(dataset):
    """Far from each other all errors are possible, but for joints without a partner."""
    names, pairs, sigmas = meta_of(dataset)
    rng = np.random.default_rng(0)
    count = len(names)
    joints = np.zeros((3, count, 2))
    joints[0] = np.stack([np.arange(count) * 1e4, np.zeros(count)], -1)
    joints[2] = joints[0] + (0, 1e6)
    labelled = np.ones((3, count), bool)
    labelled[1] = False
    rounds = 400
    found = []
    for _ in range(rounds):
        _, there, kinds = synthesize(joints, labelled, names, pairs, sigmas, AREA, rng)
        assert there.all()
        found.append(kinds)
    found = np.array(found)
    for k, name in enumerate(names):
        expected = probabilities(name, count, 1)
        if pairs[k] == k:
            expected[KINDS.index('inversion')] = 0
        share = [np.mean(found[:, k] == kind) for kind in KINDS]
        np.testing.assert_allclose(share, expected / expected.sum(), atol=0.08)


# A standing person of 110 x 220 px in COCO's joints.
STANDING = np.array(
    [[96, 40], [101, 35], [91, 35], [107, 39], [85, 39], [120, 70], [72, 70], [130, 105], [62, 105],
     [134, 138], [58, 138], [111, 140], [81, 140], [113, 185], [79, 185], [114, 228], [78, 228]],
    float,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(('case', 'visible', 'beside'), [
    ('alone, 17 visible', 17, 0),
    ('alone, 9 visible', 9, 0),
    ('alone, 5 visible', 5, 0),
    ('17 visible, 1 neighbour', 17, 1),
    ('9 visible, 1 neighbour', 9, 1),
])  # fmt: skip
def test_similarities_are_those_of_the_original(golden, case, visible, beside):
    """Shares of KS below 0.1, 0.5, 0.85 and above, over all joints."""
    arrays, _ = golden('posefix-res50')
    names, pairs, sigmas = meta_of('coco')
    joints = np.stack([STANDING, STANDING, *[STANDING + np.array([60, 0])] * beside])
    labelled = np.ones(joints.shape[:2], bool)
    labelled[0, visible:] = False
    area, rng = 110 * 220.0, np.random.default_rng(0)
    poses = [synthesize(joints, labelled, names, pairs, sigmas, area, rng)[0] for _ in range(120)]
    squared = np.square(np.array(poses) - STANDING).sum(-1)
    found = np.exp(-squared / (2 * area * (2 * sigmas) ** 2))
    share, _ = np.histogram(found, [0, 0.1, 0.5, 0.85, 1])
    expected = arrays[f'out/synthesis {case}'].mean(0)
    np.testing.assert_allclose(share / found.size, expected, atol=0.06)


def test_joints_without_a_label():
    names, pairs, sigmas = meta_of('coco')
    joints = np.zeros((2, 17, 2))
    joints[0], joints[1] = 100, 300
    labelled = np.zeros((2, 17), bool)
    labelled[0, :5] = labelled[1, 4:10] = True
    rng = np.random.default_rng(0)
    pose, there, kinds = synthesize(joints, labelled, names, pairs, sigmas, 1.0, rng)
    assert there.tolist() == [True] * 10 + [False] * 7
    # near its own label, near the other model's joint, nowhere
    assert np.abs(pose[:5] - 100).max() < 5
    assert np.abs(pose[5:10] - 300).max() < 5
    assert not pose[10:].any()
    assert kinds[10:] == [''] * 7


def results(seed=0, rows=3, area=True):
    names, pairs, sigmas = meta_of('coco')
    joints = np.random.default_rng(seed).uniform(0, 190, (rows, 17, 2)).astype(np.float32)
    return {
        'transformed_keypoints': joints,
        'keypoints': joints * 2,
        'keypoints_visible': np.ones((rows, 17), np.float32),
        'bbox': np.array([[10, 20, 110, 220 if area else 20]], np.float32),
        'input_size': (192, 256),
        'input_scale': np.array([150.0, 200.0]),
        'flip_indices': pairs,
        'sigmas': sigmas,
        'keypoint_names': names,
    }


def test_transform():
    transform = SynthesizePoseErrors()
    np.random.seed(1)  # noqa: NPY002
    first = transform(results())
    assert first['input_keypoints'].shape == (1, 17, 2)
    assert first['input_weights'].tolist() == [[1] * 17]
    assert len(first['pose_errors']) == 17
    for name in ('transformed_keypoints', 'keypoints', 'keypoints_visible'):
        assert np.array_equal(first[name], results()[name][:1])
    other = transform(results())
    assert not np.array_equal(first['input_keypoints'], other['input_keypoints'])
    np.random.seed(1)  # noqa: NPY002
    again = transform(results())
    assert np.array_equal(first['input_keypoints'], again['input_keypoints'])


def test_labels_alone_no_area_and_no_label_are_finite():
    transform = SynthesizePoseErrors()
    alone = transform(results(rows=1))
    assert alone['input_weights'].all()
    flat = transform(results(area=False))
    assert np.isfinite(flat['input_keypoints']).all()
    nobody = results()
    nobody['keypoints_visible'][:] = 0
    found = transform(nobody)
    assert not found['input_weights'].any()
    assert np.isfinite(found['input_keypoints']).all()
