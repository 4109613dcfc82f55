"""Flip pairs: closed forms on poses made for it, and wrong pairs put into real data."""

import csv
import itertools
from dataclasses import replace

import numpy as np
import pytest

from rlepose_ext.annotations.flips import check_flips, check_names, costs, mirrored_name
from rlepose_ext.annotations.metainfo import PoseMeta, load_metainfo
from rlepose_ext.annotations.pose_file import read_pose_file

# head, hands, elbows, feet; left is on our right
JOINTS = ('head', 'left_hand', 'right_hand', 'left_elbow', 'right_elbow', 'left_foot', 'right_foot')
PARTNERS = (0, 2, 1, 4, 3, 6, 5)
PLACES = np.array(
    [(0.5, 0.1), (0.9, 0.6), (0.1, 0.6), (0.7, 0.4), (0.3, 0.4), (0.65, 0.9), (0.35, 0.9)]
)
META = PoseMeta('here', 'figures', JOINTS, PARTNERS)
# the same without sides in the names
NUMBERED = replace(META, joints=tuple(f'kpt-{k}' for k in range(7)))


def figures(number=200, seed=0, backs=0.0, noise=0.04):
    """Poses (N, K, 2) in boxes of 100 x 200 px at different places; some seen from behind."""
    rng = np.random.default_rng(seed)
    poses = PLACES + rng.normal(0, noise, (number, *PLACES.shape))
    behind = rng.random(number) < backs
    poses[behind, :, 0] = 1 - poses[behind, :, 0]
    boxes = np.column_stack([rng.uniform(0, 300, (number, 2)), np.full((number, 2), (100.0, 200))])
    return poses * boxes[:, None, 2:] + boxes[:, None, :2], np.ones((number, 7), bool), boxes


@pytest.mark.parametrize(('name', 'expected'), [
    ('left_knee', 'right_knee'),
    ('leftKnee', 'rightKnee'),
    ('LKnee', 'RKnee'),
    ('l_hip', 'r_hip'),
    ('Knee.R', 'Knee.L'),
    ('medial_left_ankle', 'medial_right_ankle'),
    ('nose', None),
    ('SHOULDER', None),
    ('lower_lip', None),
])  # fmt: skip
def test_the_name_of_the_other_side(name, expected):
    assert mirrored_name(name) == expected
    if expected:
        assert mirrored_name(expected) == name


def test_names_that_contradict_the_pairs():
    assert check_names(META) == ([], True)
    assert check_names(NUMBERED) == ([], False)
    found, _ = check_names(replace(META, partners=(0, 1, 2, 4, 3, 5, 6)))
    assert found[0] == 'left_hand does not swap; by its name it swaps with right_hand'
    assert len(found) == 4
    found, _ = check_names(replace(META, partners=(0, 4, 3, 2, 1, 6, 5)))
    assert found[0] == 'left_hand swaps with right_elbow; by its name it swaps with right_hand'


def test_costs_by_hand():
    # Two joints of one person in a box of 100 x 100: 30 right and 20 left of the middle.
    keypoints = np.array([[[80.0, 40.0], [30.0, 44.0]]])
    boxes = np.array([[0.0, 0.0, 100.0, 100.0]])
    found = costs(keypoints, np.ones((1, 2), bool), boxes, (1, 0))
    # the pair: (-0.3 + 0.2, 0.40 - 0.44); a joint as its own partner: twice its x
    np.testing.assert_allclose(found.cost, [[0.6, np.hypot(0.1, 0.04)], [np.hypot(0.1, 0.04), 0.4]])
    np.testing.assert_allclose(found.mean_x, [[0.3, 0.3], [-0.2, -0.2]])
    np.testing.assert_allclose(found.error, 0, atol=1e-7)
    assert (found.persons == 1).all()


def test_right_pairs_of_poses_and_their_mirror_images_cost_nothing():
    keypoints, _, boxes = figures()
    turned = keypoints[:, PARTNERS].copy()
    turned[..., 0] = 2 * boxes[:, None, 0] + boxes[:, None, 2] - turned[..., 0]
    both = np.concatenate([keypoints, turned])
    cost = costs(both, np.ones((400, 7), bool), np.tile(boxes, (2, 1)), PARTNERS).cost
    np.testing.assert_allclose(cost[range(7), PARTNERS], 0, atol=1e-12)
    assert np.sort(cost, axis=1)[:, 1].min() > 0.1


def test_distances_by_hand():
    # Joints 0 and 1 mirror each other, 2 and 3 stay; in a box of 100 x 100.
    keypoints = np.array([[[20.0, 50], [80, 50], [50, 10], [50, 90]]])
    boxes = np.array([[0.0, 0, 100, 100]])
    cost = costs(keypoints, np.ones((1, 4), bool), boxes, (1, 0, 2, 3)).cost
    # joint 2 as the partner of 0: place (0.3, 0.4), and distances to 3: |0.5 - 0.8|
    assert cost[0, 2] == pytest.approx(np.sqrt(0.3**2 + 0.4**2 + 0.3**2))
    assert cost[0, 1] == pytest.approx(0)


def wrong_partners():
    pairs = [(1, 2), (3, 4), (5, 6)]
    for a, b in pairs:
        wrong = list(PARTNERS)
        wrong[a], wrong[b] = a, b
        yield pytest.param(wrong, {a, b}, id=f'{a} and {b} stay')
    for (a, b), (c, d) in itertools.combinations(pairs, 2):
        wrong = list(PARTNERS)
        wrong[a], wrong[d], wrong[b], wrong[c] = d, a, c, b
        yield pytest.param(wrong, {a, b, c, d}, id=f'{a} with {d}, {b} with {c}')
    yield pytest.param(list(range(7)), {1, 2, 3, 4, 5, 6}, id='none swaps')


@pytest.mark.parametrize(('partners', 'joints'), wrong_partners())
@pytest.mark.parametrize('backs', [0.0, 0.4])
def test_wrong_pairs_are_found_by_the_poses_alone(partners, joints, backs):
    poses = figures(2000, backs=backs)
    report = check_flips(*poses, replace(NUMBERED, partners=tuple(partners)))
    assert {k for k, joint in enumerate(report.joints) if joint.verdict == 'wrong'} == joints
    for k in joints:
        assert report.joints[k].best == f'kpt-{PARTNERS[k]}'
    assert 'the poses fit' in str(report.wrong[0])


def test_right_pairs_are_confirmed_with_opposite_signs():
    report = check_flips(*figures(), META)
    assert report.count('confirmed') == 7
    assert report.wrong == []
    assert report.facing == 1
    for joint in report.joints[1:]:
        assert joint.x * joint.partner_x < 0
        assert abs(joint.x) > 0.05


def test_distances_tell_where_mean_places_do_not():
    # As many backs as fronts: all x are 0 on average.
    keypoints, labelled, boxes = figures(400, backs=0.5, noise=0.02)
    meta = replace(NUMBERED, partners=(0, 1, 2, 4, 3, 6, 5))
    report = check_flips(keypoints, labelled, boxes, meta)
    assert max(abs(joint.x) for joint in report.joints) < 0.05
    assert [joint.joint for joint in report.wrong] == ['kpt-1', 'kpt-2']


def test_too_few_persons_give_no_verdict():
    report = check_flips(*figures(9), replace(META, partners=tuple(range(7))))
    assert report.count('unclear') == 7
    assert len(report.names) == 6  # names need no persons


def test_persons_that_cannot_be_used_are_left_out():
    keypoints, labelled, boxes = figures(30)
    boxes[:10, 2] = 0
    boxes[10:15] = np.nan
    keypoints[15:20] = np.nan
    labelled[15:20] = False
    report = check_flips(keypoints, labelled, boxes, META)
    assert {joint.persons for joint in report.joints} == {10}
    assert report.count('confirmed') == 7
    assert check_flips(keypoints[:15], labelled[:15], boxes[:15], META).joints == []


def test_the_viewers_left_is_noticed():
    keypoints, labelled, boxes = figures(backs=1.0)
    report = check_flips(keypoints, labelled, boxes, META)
    assert report.facing == 0
    assert report.wrong == []


def lip_poses(shared):
    with open(shared / 'data/lip/val_annotations.csv', newline='') as file:
        rows = [[float(number) for number in row[1:]] for row in csv.reader(file)]
    poses = np.array(rows).reshape(-1, 16, 3)
    labelled = np.isfinite(poses[..., 2])
    low, high = np.nanmin(poses[..., :2], axis=1), np.nanmax(poses[..., :2], axis=1)
    return poses, labelled, np.concatenate([low, high - low], axis=1)


def real_poses(shared, name):
    if name == 'lip':
        return lip_poses(shared)
    path = shared / f'data/{name}/{name}_train.json'
    if not path.is_file():
        pytest.skip(f'{path} is not there')
    poses = read_pose_file(path)
    return poses.keypoints, poses.labelled, poses.boxes


def real_injections(meta):
    count = len(meta.joints)
    for a, b in meta.pairs[:12]:
        yield [{a: a, b: b}.get(k, meta.partners[k]) for k in range(count)], {a, b}
    for (a, b), (c, d) in list(itertools.combinations(meta.pairs, 2))[:12]:
        crossed = {a: d, d: a, b: c, c: b}
        yield [crossed.get(k, meta.partners[k]) for k in range(count)], {a, b, c, d}
    yield list(range(count)), {k for pair in meta.pairs for k in pair}


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'number'), [('lsp', 19), ('faces68', 25), ('lip', 19)])
def test_every_wrong_pair_in_real_poses_is_found(shared, name, number):
    meta = load_metainfo(f'ours:{name}_topdown')
    poses = real_poses(shared, name)
    assert check_flips(*poses, meta).wrong == []
    numbered = replace(meta, joints=tuple(f'kpt-{k}' for k in range(len(meta.joints))))
    injections = list(real_injections(meta))
    assert len(injections) == number
    for partners, joints in injections:
        report = check_flips(*poses, replace(numbered, partners=tuple(partners)))
        found = {k for k, joint in enumerate(report.joints) if joint.verdict == 'wrong'}
        assert found == joints


@pytest.mark.parametrize('name', ['lsp', 'faces68'])
def test_the_pairs_of_our_metainfo_fit_the_real_data(shared, name):
    meta = load_metainfo(f'ours:{name}_topdown')
    report = check_flips(*real_poses(shared, name), meta)
    assert report.names == []
    assert report.wrong == []
    assert report.count('confirmed') >= 0.7 * len(meta.joints)
