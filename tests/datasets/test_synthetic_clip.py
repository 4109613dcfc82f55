"""Drawn videos: the same people, smooth motion, labels that fit the picture."""

import numpy as np
import pytest

from rlepose_ext.datasets.synthetic.clip import FRAMES_PER_POSE, draw_clip

SIZE = {'width': [240, 240], 'height': [180, 180]}
OPEN = {**SIZE, 'noise': 0, 'occlusion': 0, 'truncation': 0}


def clip(seed=0, frames=12, persons=2, config=OPEN):
    return draw_clip(np.random.default_rng(seed), frames, persons, config)


def keypoints(person):
    return np.array(person['keypoints']).reshape(17, 3)


@pytest.fixture(scope='module')
def long():
    """Three seconds of three people, across changes of pose."""
    return clip(3, 2 * FRAMES_PER_POSE + 10, 3)


def test_a_clip_is_the_images_that_were_asked_for(long):
    assert len(long) == 2 * FRAMES_PER_POSE + 10
    for image, people in long:
        assert (image.shape, image.dtype) == ((180, 240, 3), np.uint8)
        assert [person['track_id'] for person in people] == [0, 1, 2]
        for person in people:
            x, y, w, h = person['bbox']
            points = keypoints(person)
            inside = points[points[:, 2] > 0, :2]
            assert person['num_keypoints'] == len(inside) > 5
            assert person['area'] > 200
            assert (inside >= (x - 0.6, y - 0.6)).all()
            assert (inside <= (x + w + 0.6, y + h + 0.6)).all()
            assert 0 <= x <= x + w <= 239
            assert 0 <= y <= y + h <= 179
    assert len(clip(frames=1, persons=1)) == 1
    for (a, first), (b, second) in zip(clip(config=SIZE), clip(config=SIZE), strict=True):
        np.testing.assert_array_equal(a, b)
        assert first == second
    assert (clip(1)[0][0] != clip(2)[0][0]).any()


def test_motion_is_smooth_and_there_is_some(long):
    joints = np.array([[keypoints(person) for person in people] for _, people in long])
    seen = (joints[1:, ..., 2] > 0) & (joints[:-1, ..., 2] > 0)
    steps = np.diff(joints[..., :2], axis=0)
    size = np.median([person['bbox'][3] for _, people in long for person in people])
    length = np.linalg.norm(steps, axis=-1)
    # A jump to another pose would be half a body height.
    assert length[seen].max() < 0.12 * size
    both = seen[1:] & seen[:-1]
    assert np.linalg.norm(np.diff(steps, axis=0), axis=-1)[both].max() < 0.06 * size
    centres = np.array([[p['bbox'][0] + p['bbox'][2] / 2 for p in people] for _, people in long])
    assert (np.ptp(centres, axis=0) > 20).all()


def test_a_pose_is_reached_without_a_jump_of_speed(long):
    """Around a change of pose the hands rest."""
    nose = np.array([[keypoints(p)[5:17, :2] - keypoints(p)[11, :2] for p in q] for _, q in long])
    seen = np.array([[keypoints(p)[5:17, 2] > 0 for p in q] for _, q in long])
    steps = np.linalg.norm(np.diff(nose, axis=0), axis=-1)
    steps[~(seen[1:] & seen[:-1])] = np.nan
    at, middle = FRAMES_PER_POSE, FRAMES_PER_POSE + FRAMES_PER_POSE // 2
    assert np.nanmean(steps[at - 1 : at + 1]) < 0.25 * np.nanmean(steps[middle - 2 : middle + 2])


def test_people_keep_their_looks_and_the_scene_stands_still():
    frames = clip(5, 40, 1)
    images = np.array([image for image, _ in frames]).astype(int)
    free = np.ones(images.shape[1:3], bool)
    for _, (person,) in frames:
        x, y, w, h = (round(value) for value in person['bbox'])
        free[max(y - 3, 0) : y + h + 4, max(x - 3, 0) : x + w + 4] = False
    assert free.mean() > 0.2
    assert np.ptp(images[:, free], axis=0).max() == 0
    # The middle of the shirt (between shoulders and hips) has one colour from all frames.
    colours = []
    for image, (person,) in zip(images, (people for _, people in frames), strict=True):
        x, y = keypoints(person)[[5, 6, 11, 12], :2].mean(0).round().astype(int)
        colours.append(image[y, x])
    assert np.median(np.abs(colours - np.median(colours, axis=0)).max(1)) < 12


def test_objects_stay_where_they_are():
    hidden = {**OPEN, 'occlusion': 1.0}
    pairs = zip(clip(7, 20), clip(7, 20, config=hidden), strict=True)
    changes = np.array([(a[0] != b[0]).any(-1) for a, b in pairs])
    assert changes[0].sum() > 100
    # Where an object shows at first it shows at the end, unless it has that colour by chance.
    assert changes[-1][changes[0]].mean() > 0.9
    scenes = [clip(7, config=config)[0][1] for config in (OPEN, hidden)]
    few, many = (sum((keypoints(p)[:, 2] == 1).sum() for p in people) for people in scenes)
    assert many > few


def test_who_leaves_the_image_is_absent_and_comes_back():
    counts = [len(people) for _, people in clip(0, 330, 1, {**OPEN, 'truncation': 1.0})]
    ways = np.flatnonzero(np.diff(counts))
    assert set(counts) == {0, 1}
    assert len(ways) >= 2
