"""ByteTrack: motion by closed forms, the passes by hand, people who hide one another."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from people import persons

from rlepose_ext.datasets.synthetic.clip import draw_clip
from rlepose_ext.errors import UserError
from rlepose_ext.inference.appearance import alikeness, appearance, learn
from rlepose_ext.inference.bytetrack import ByteTrack, all_boxes
from rlepose_ext.inference.motion import Motion
from rlepose_ext.inference.tracking import build_tracker

RED, GREEN, GREY = (40, 40, 200), (40, 180, 40), (128, 128, 128)


def scene(corners, colours=(), scores=None, size=40):
    """Persons in one colour each, on grey; the later cover the earlier."""
    image = np.full((120, 400, 3), GREY, np.uint8)
    for (x, y), colour in zip(corners, colours, strict=False):
        image[max(y, 0) : y + size, max(x, 0) : x + size] = colour
    poses = persons(corners, size, image=image)
    return poses if scores is None else replace(poses, box_scores=np.array(scores, np.float32))


def ids(tracker, *arguments, **more):
    return tracker(scene(*arguments, **more)).track_id.tolist()


def test_one_step_of_the_filter_by_hand():
    motion = Motion.start(np.array([10.0, 20, 30, 60]))
    np.testing.assert_array_equal(motion.state, [[20, 40, 20, 40], [0, 0, 0, 0]])
    # h = 40: position (2 h / 20)^2 = 16, velocity (10 h / 160)^2 = 6.25
    np.testing.assert_allclose(motion.covariance, [[16, 0], [0, 6.25]])
    motion.predict(seen=True)
    # F P F' + diag((h / 20)^2, (h / 160)^2)
    np.testing.assert_allclose(motion.covariance, [[16 + 6.25 + 4, 6.25], [6.25, 6.25 + 0.0625]])
    motion.correct(np.array([13.0, 20, 33, 60]))
    position, velocity = 26.25 / (26.25 + 4), 6.25 / (26.25 + 4)
    np.testing.assert_allclose(motion.state[:, 0], [20 + 3 * position, 3 * velocity])
    np.testing.assert_allclose(motion.state[:, 1:], [[40, 20, 40], [0, 0, 0]])
    np.testing.assert_allclose(motion.covariance[0, 0], 26.25 * (1 - position))
    np.testing.assert_allclose(motion.covariance[1, 1], 6.3125 - 6.25 * velocity)


def test_constant_velocity_is_learnt_and_a_lost_box_keeps_its_size():
    motion = Motion.start(np.array([0.0, 0, 20, 40]))
    for step in range(1, 200):
        motion.predict(seen=True)
        motion.correct(np.array([3.0 * step, 0, 3 * step + 20 + 0.1 * step, 40]))
    np.testing.assert_allclose(motion.state[1], [3.05, 0, 0.1, 0], atol=1e-3)
    width = motion.state[0, 2]
    for _ in range(5):
        motion.predict(seen=False)
    assert motion.state[0, 2] == pytest.approx(width)
    assert motion.box[0] == pytest.approx(3.05 * 204 + 10 - width / 2, abs=0.05)


def test_clothes_are_compared_by_bhattacharyya():
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, :40], image[:20, 40:80], image[20:, 40:80] = RED, RED, GREEN
    looks = appearance(image, np.array([[0, 0, 40, 40], [40, 0, 80, 40], [-300, 0, -260, 40]]))
    np.testing.assert_allclose(
        alikeness(looks, looks, 0.3), [[1, 0.5, 0.3], [0.5, 1, 0.3], [0.3, 0.3, 0.3]], rtol=1e-6
    )
    # Half of each: the histograms' roots, again of length 1.
    mixed = learn(looks[0], looks[1], 0.5)
    np.testing.assert_allclose(mixed[0], looks[0, 0])
    np.testing.assert_allclose(mixed[1] @ looks[:2, 1].T, [np.sqrt(0.5)] * 2, rtol=1e-6)
    np.testing.assert_array_equal(learn(looks[0], looks[2], 0.5), looks[0])


def test_low_scores_continue_a_person_and_begin_none():
    tracker = ByteTrack(high=0.3, low=0.1)
    assert ids(tracker, [[0, 0], [200, 0]], scores=[0.9, 0.2]) == [0]
    assert ids(tracker, [[2, 0], [200, 0]], scores=[0.15, 0.2]) == [0]
    assert ids(tracker, [[4, 0]], scores=[0.05]) == []
    # Lost now: a low score does not bring it back, a high one does.
    assert ids(tracker, [[4, 0]], scores=[0.15]) == []
    assert ids(tracker, [[6, 0]], scores=[0.5]) == [0]


def test_a_high_score_goes_first():
    """The paper's second pass only sees who is left."""
    tracker = ByteTrack(high=0.3, low=0.1, clothes=0)
    ids(tracker, [[0, 0]])
    followed = tracker(scene([[0, 0], [12, 0]], scores=[0.2, 0.9]))
    assert followed.track_id.tolist() == [0]
    assert followed.boxes[0, 0] == 12


def test_a_second_box_of_a_person_is_nobody():
    tracker = ByteTrack(nms_thr=0.3)
    assert ids(tracker, [[0, 0], [8, 0]], scores=[0.9, 0.8]) == [0]
    # IoU 15 / 65, and five eighths to be seen
    assert ids(tracker, [[0, 0], [25, 0]], scores=[0.9, 0.8]) == [0, 1]


def test_two_who_overlap_are_two_once_they_are_known():
    tracker = ByteTrack()
    for step in range(60):
        at = [[2 * step, 0], [80 - 2 * step, 0]]
        assert sorted(ids(tracker, at, (RED, GREEN))) == [0, 1]
    assert ids(tracker, [[120, 0], [-40, 0]], (RED, GREEN)) == [0, 1]


@pytest.mark.parametrize('turn', [False, True], ids=['they pass', 'they turn back'])
def test_clothes_tell_who_is_who_after_one_hid_the_other(turn):
    """One box for both, then two: motion alone would always say that they have passed."""
    tracker = ByteTrack()
    for step in range(18):
        assert ids(tracker, [[2 * step, 0], [80 - 2 * step, 0]], (RED, GREEN)) == [0, 1]
    for _ in range(10):
        # the green one stands in front
        assert ids(tracker, [[40, 0]], (GREEN,)) == [1]
    for step in range(14, 40):
        left, right = 40 - step, 40 + step
        red, green = (left, right) if turn else (right, left)
        assert ids(tracker, [[red, 0], [green, 0]], (RED, GREEN)) == [0, 1], step


def test_who_is_missed_goes_on_and_is_forgotten_in_the_end():
    tracker = ByteTrack(max_missed=5)
    for step in range(20):
        ids(tracker, [[4 * step, 0]], (RED,))
    for _ in range(4):
        assert ids(tracker, []) == []
    assert ids(tracker, [[4 * 24, 0]], (RED,)) == [0]
    for _ in range(6):
        ids(tracker, [])
    assert ids(tracker, [[4 * 24, 0]], (RED,)) == [1]


def test_without_a_frame_the_boxes_decide():
    tracker = ByteTrack()
    for step in range(5):
        poses = replace(scene([[8 * step, 0], [200, 0]]), image=None)
        assert tracker(poses).track_id.tolist() == [0, 1]


def test_a_new_person_scores_more_and_is_no_part_of_another():
    tracker = ByteTrack(high=0.3)
    assert ids(tracker, [[0, 0], [200, 0]], scores=[0.5, 0.35]) == [0]
    assert ByteTrack(high=0.95).new < 1
    # IoU 0.25, but all of it lies in the other's box.
    whole = scene([[0, 0]], scores=[0.9])
    part = replace(scene([[10, 10]], size=20, scores=[0.8]), image=whole.image)
    both = replace(
        whole,
        **{
            name: np.concatenate([getattr(whole, name), getattr(part, name)])
            for name in ('boxes', 'box_scores', 'keypoints', 'scores')
        },
    )
    assert ByteTrack()(both).track_id.tolist() == [0]
    # All of the other's box, and as much again: IoU 0.44, of its own no more than that is covered.
    both.boxes[1] = [0, 0, 40, 90]
    assert ByteTrack(nms_thr=0.3)(both).track_id.tolist() == [0]
    assert ByteTrack(nms_thr=0.5)(both).track_id.tolist() == [0, 1]


@pytest.mark.parametrize('ends', [[[58, 0], [26, 0]], [[26, 0], [58, 0]]], ids=['pass', 'back'])
def test_clothes_are_not_learnt_from_who_stands_in_front(ends):
    """Green hides red for twenty frames; then both are further on than motion expects."""
    tracker = ByteTrack()
    for step in range(18):
        ids(tracker, [[2 * step, 0], [80 - 2 * step, 0]], (RED, GREEN))
    for _ in range(20):
        ids(tracker, [[40, 0], [44, 0]], (RED, GREEN))
    assert ids(tracker, ends, (RED, GREEN)) == [0, 1]


@pytest.mark.slow
def test_three_who_cross_on_a_drawn_video_keep_their_numbers():
    """True boxes, but none of those of whom less than half of the joints can be seen."""
    size = {'width': (320, 320), 'height': (192, 192)}
    tracker, last = ByteTrack(), {}
    seen = found = hidden = 0
    for image, people in draw_clip(np.random.default_rng(41), 150, 3, size):
        at = {}
        for person in people:
            x, y, width, height = person['bbox']
            if np.mean(np.array(person['keypoints'])[2::3] == 2) > 0.5:
                at[person['track_id']] = [x, y, x + width, y + height]
        boxes = np.array(list(at.values()), np.float32).reshape(-1, 4)
        followed = tracker(replace(persons(boxes[:, :2]), boxes=boxes, image=image))
        hidden, seen, found = hidden + len(people) - len(at), seen + len(at), found + len(followed)
        for box, identity in zip(followed.boxes, followed.track_id.tolist(), strict=True):
            number = list(at)[(boxes == box).all(1).argmax()]
            assert last.setdefault(number, identity) == identity
    assert hidden > 10
    assert found > 0.9 * seen
    assert len(set(last.values())) == 3


def test_thresholds_are_the_detectors_and_come_back():
    detector = SimpleNamespace(bbox_thr=0.6, nms_thr=0.4)
    predictor = SimpleNamespace(detector=detector)
    with all_boxes(predictor, 0.7):
        assert (detector.bbox_thr, detector.nms_thr) == (pytest.approx(0.2), 0.7)
    assert (detector.bbox_thr, detector.nms_thr) == (0.6, 0.4)
    with all_boxes(predictor, None):
        assert detector.nms_thr == 0.4
    with all_boxes(object(), 0.7):
        pass
    tracker = build_tracker('bytetrack', predictor)
    assert (tracker.high, tracker.low, tracker.nms_thr) == (0.6, pytest.approx(0.2), 0.4)
    assert ids(tracker, [[0, 0], [80, 0]], scores=[0.5, 0.7]) == [0]
    with pytest.raises(UserError, match='bytetrack, iou, oks'):
        build_tracker('sort')
