"""The drawing of people: kinematics, labels, occlusion, left and right, configuration."""

import json
from itertools import combinations

import numpy as np
import pytest

from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_image, draw_one
from rlepose_ext.datasets.synthetic.appearance import sample_look
from rlepose_ext.datasets.synthetic.background import OCCLUDER
from rlepose_ext.datasets.synthetic.canvas import Canvas, hull
from rlepose_ext.datasets.synthetic.poses import FAMILIES, sample_family, sample_pose
from rlepose_ext.datasets.synthetic.render import PARTS, Placement, draw_person
from rlepose_ext.datasets.synthetic.scene import label_joints
from rlepose_ext.datasets.synthetic.skeleton import JOINT_ID, Build, Limb, Pose, pose_body
from rlepose_ext.errors import UserError

CONFIG = SyntheticPeopleConfig()
STAR = Pose(arms=(Limb(abduct=80), Limb(abduct=80)), legs=(Limb(abduct=20), Limb(abduct=20)))


def draw_alone(pose, seed=0):
    """One person of 160 px body height in the middle of an empty image."""
    canvas = Canvas(240, 240, np.full((2, 2, 3), 128, np.uint8))
    body, place = pose_body(pose), Placement(120.0, 120.0, 160.0)
    look = sample_look(np.random.default_rng(seed))
    extent = draw_person(canvas, body, Build(), look, place, base=1)
    return canvas, body, place, look, extent


# --- kinematics -------------------------------------------------------------------------


def test_ways_of_the_limbs():
    """Arms forward and sideways; elbows close forward, and knees backward."""
    body = pose_body(Pose(arms=(Limb(flex=90), Limb(bend=90))))
    shoulder, wrist = body.joints[5], body.joints[9]
    np.testing.assert_allclose(wrist - shoulder, [0, 0, 0.165 + 0.145], atol=1e-12)
    np.testing.assert_allclose(body.joints[10] - body.joints[8], [0, 0, 0.145], atol=1e-12)
    body = pose_body(Pose(arms=(Limb(abduct=90), Limb(abduct=90)), legs=(Limb(bend=90), Limb())))
    np.testing.assert_allclose(body.joints[9] - body.joints[5], [0.31, 0, 0], atol=1e-12)
    np.testing.assert_allclose(body.joints[10] - body.joints[6], [-0.31, 0, 0], atol=1e-12)
    np.testing.assert_allclose(body.joints[15] - body.joints[13], [0, 0, -0.225], atol=1e-12)


def test_inward_twist_is_mirrored():
    """Hands on the hips: both forearms point to the midline."""
    arm = Limb(abduct=45, twist=90, bend=90)
    joints = pose_body(Pose(arms=(arm, arm))).joints
    assert joints[9, 0] < joints[7, 0] - 0.05
    assert joints[10, 0] > joints[8, 0] + 0.05
    np.testing.assert_allclose(joints[9] * (-1, 1, 1), joints[10], atol=1e-12)


def test_bone_lengths_do_not_depend_on_the_pose():
    rng = np.random.default_rng(0)
    bones = [(5, 7, 0.165), (7, 9, 0.145), (11, 13, 0.235), (13, 15, 0.225), (6, 8, 0.165)]
    for _ in range(20):
        joints = pose_body(sample_pose(rng, CONFIG)).joints
        for a, b, length in bones:
            assert np.linalg.norm(joints[a] - joints[b]) == pytest.approx(length, abs=1e-12)


@pytest.mark.parametrize(('yaw', 'sign'), [(0, 1), (25, 1), (-25, 1), (180, -1), (205, -1)])
def test_left_is_right_of_the_image_from_the_front_only(yaw, sign):
    canvas, body, place, _, _ = draw_alone(Pose(yaw=yaw))
    keypoints = label_joints(canvas.ids(), body, place, 1)
    for joint in ('shoulder', 'hip', 'ankle', 'ear'):
        left, right = keypoints[JOINT_ID[f'left_{joint}']], keypoints[JOINT_ID[f'right_{joint}']]
        assert sign * (left[0] - right[0]) > 3, joint
    seen = keypoints[:3, 2]
    assert (seen == (2 if sign > 0 else 0)).all(), 'nose and eyes are seen from the front only'


def test_front_and_back_differ_in_the_picture():
    """Where the face is from the front, hair is from behind."""
    for seed in range(8):
        colours = {}
        for yaw in (0, 180):
            canvas, body, place, look, _ = draw_alone(Pose(yaw=yaw), seed)
            x, y = place.project(body.points['head'] + (0.03, -0.02, 0))  # a cheek
            colours[yaw] = canvas.image()[round(y), round(x)].astype(float)
        np.testing.assert_allclose(colours[0], look.skin, atol=3)
        np.testing.assert_allclose(colours[180], look.hair, atol=3)


# --- shapes and labels ------------------------------------------------------------------


def test_fill_is_centred_on_pixel_coordinates():
    """Discs at random places: the painted centre of mass is the given one."""
    rng, errors = np.random.default_rng(0), []
    ys, xs = np.mgrid[:40, :40]
    for x, y in rng.uniform(12, 28, (100, 2)):
        canvas = Canvas(40, 40, np.zeros((2, 2, 3), np.uint8))
        canvas.fill(hull(np.array([[x, y]]), np.array([6.0])), (255, 255, 255), 7)
        weights = canvas.image()[..., 0] / 255
        total = weights.sum()
        assert total == pytest.approx(np.pi * 36, rel=0.08)
        errors.append(((weights * xs).sum() / total - x, (weights * ys).sum() / total - y))
        assert canvas.ids()[round(y), round(x)] == 7
    np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.03)
    assert np.abs(errors).max() < 0.25


def test_an_open_pose():
    """Every joint is visible, on its limb, and the box is tight; who stands in front covers it."""
    canvas, body, place, look, (left, top, right, bottom) = draw_alone(STAR)
    keypoints = label_joints(canvas.ids(), body, place, 1)
    np.testing.assert_array_equal(keypoints[:, 2], 2)
    np.testing.assert_allclose(keypoints[:, :2], place.project(body.joints), atol=0.0051)
    ys, xs = np.nonzero(canvas.ids())
    found = xs.min(), ys.min(), xs.max(), ys.max()
    assert found == pytest.approx((left, top, right, bottom), abs=1.5)
    draw_person(canvas, body, Build(), look, place, base=1 + PARTS)
    assert (label_joints(canvas.ids(), body, place, 1)[:, 2] == 1).all()
    assert (label_joints(canvas.ids(), body, place, 1 + PARTS)[:, 2] == 2).all()


@pytest.mark.parametrize('joint', [0, 3, 8, 13, 16])
def test_something_over_a_joint_makes_it_covered(joint):
    canvas, body, place, _, _ = draw_alone(STAR)
    centre = place.project(body.joints)[joint]
    canvas.fill(centre + np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]), (0, 0, 0), OCCLUDER)
    keypoints = label_joints(canvas.ids(), body, place, 1)
    assert keypoints[joint, 2] == 1
    assert (keypoints[:, 2] == 2).sum() >= 14  # the eyes and the nose are close together


def test_from_the_side_the_far_shoulder_and_hip_are_covered():
    canvas, body, place, _, _ = draw_alone(Pose(yaw=90, arms=(Limb(flex=150),) * 2))
    v = label_joints(canvas.ids(), body, place, 1)[:, 2]
    far_is_left = body.joints[5, 2] < body.joints[6, 2]
    far, near = (0, 1) if far_is_left else (1, 0)
    np.testing.assert_array_equal(v[[5 + far, 11 + far]], 1)
    np.testing.assert_array_equal(v[[5 + near, 11 + near]], 2)
    # Only the near ear is labelled.
    np.testing.assert_array_equal(v[[3 + near, 3 + far]], [2, 0])


def test_joints_outside_the_image_are_not_labelled():
    canvas, body, _, _, _ = draw_alone(STAR)
    keypoints = label_joints(canvas.ids(), body, Placement(120.0, 230.0, 160.0), 1)
    assert (keypoints[13:] == 0).all()
    assert (keypoints[5:7, 2] > 0).all()


# --- whole images -----------------------------------------------------------------------


def test_an_image_depends_on_seed_split_and_number_only():
    image, people = draw_one(3, 'val', 5, CONFIG)
    draw_one(3, 'val', 6, CONFIG)
    again, same = draw_one(3, 'val', 5, CONFIG)
    np.testing.assert_array_equal(image, again)
    assert json.dumps(people) == json.dumps(same)
    others = [people] + [
        draw_one(*key, CONFIG)[1] for key in ((3, 'train', 5), (3, 'val', 6), (4, 'val', 5))
    ]
    assert all(a != b for a, b in combinations(others, 2))


def test_images_obey_the_config():
    config = SyntheticPeopleConfig(
        width=(100, 120), height=(90, 90), persons=(0, 0, 1), occlusion=0, truncation=0
    )
    for seed in range(10):
        image, people = draw_image(np.random.default_rng(seed), config)
        assert image.dtype == np.uint8
        assert image.shape[0] == 90
        assert 100 <= image.shape[1] <= 120
        assert len(people) == 3
        for person in people:
            v = np.array(person['keypoints']).reshape(17, 3)[:, 2]
            assert (v[5:] > 0).all(), 'nobody leaves the image'


def test_occlusion_and_views_follow_the_config():
    def drawn(**kwargs):
        config = SyntheticPeopleConfig(persons=(1.0,), truncation=0, **kwargs)
        people = [draw_one(0, 'train', i, config)[1][0] for i in range(60)]
        return np.array([person['keypoints'] for person in people]).reshape(60, 17, 3)

    covered = [(drawn(occlusion=p)[..., 2] == 1).sum(1).mean() for p in (0.0, 1.0)]
    assert covered[1] > covered[0] + 0.8
    left_is_left = [
        np.mean(k[:, 5, 0] < k[:, 6, 0])
        for k in (drawn(back_view=share, side_view=0) for share in (0, 1))
    ]
    assert left_is_left[0] < 0.1 < 0.9 < left_is_left[1]


@pytest.mark.parametrize('name', FAMILIES)
def test_every_family_gives_believable_bodies(name):
    """Heads above hips, and nothing farther from the pelvis than a body can reach."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        body = pose_body(sample_family(rng, FAMILIES[name], CONFIG))
        assert np.isfinite(body.joints).all()
        assert np.abs(body.joints).max() < 0.75
        if name != 'bend':
            assert body.joints[0, 1] > body.joints[11:13, 1].max()


# --- configuration ----------------------------------------------------------------------


@pytest.mark.parametrize(('values', 'word'), [
    ({'widht': (10, 20)}, 'widht'),
    ({'width': 200}, 'width'),
    ({'width': (300, 200)}, 'width'),
    ({'height': (8, 20)}, 'height'),
    ({'persons': (0.5, 0.4)}, 'persons'),
    ({'persons': (1.5, -0.5)}, 'persons'),
    ({'persons': (0.1,) * 10}, 'persons'),
    ({'occlusion': 1.1}, 'occlusion'),
    ({'back_view': 0.7, 'side_view': 0.7}, 'back_view'),
    ({'pose_variety': -1}, 'pose_variety'),
    ({'noise': 100}, 'noise'),
    ({'jpeg_quality': 0}, 'jpeg_quality'),
])  # fmt: skip
def test_bad_config_is_refused_by_name(values, word):
    with pytest.raises(UserError, match=word):
        SyntheticPeopleConfig.from_dict(values)
    config = SyntheticPeopleConfig(width=(64, 96), persons=(0.5, 0.5), noise=1)
    assert SyntheticPeopleConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
