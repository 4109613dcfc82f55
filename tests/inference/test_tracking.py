"""Identities over frames, and boxes from joints."""

import numpy as np
import pytest
from people import persons

from rlepose_ext.inference.boxes import overlaps
from rlepose_ext.inference.tracking import Tracker, box_around


def test_overlaps_by_hand():
    box = np.array([[0.0, 0, 10, 10]])
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 40, 40.0]])
    np.testing.assert_allclose(overlaps(box, others), [[1, 1 / 3, 0, 1 / 16]])
    np.testing.assert_allclose(overlaps(box, others, 'iof'), [[1, 1 / 2, 0, 1]])
    assert overlaps(box, others[:0]).shape == (1, 0)


@pytest.mark.parametrize('method', ['iou', 'oks'])
def test_numbers_are_kept_by_two_who_pass_each_other(method):
    tracker = Tracker(method)
    assert tracker(persons([[0, 0], [100, 0]])).track_id.tolist() == [0, 1]
    # the order of detections does not matter
    assert tracker(persons([[102, 1], [1, 2]])).track_id.tolist() == [1, 0]
    assert tracker(persons([[104, 2], [200, 0], [2, 4]])).track_id.tolist() == [1, 2, 0]
    tracker = Tracker(method)
    for step in range(41):
        # From left to right and back at 5 px a frame, 12 px apart in height.
        poses = tracker(persons([[5 * step, 0], [200 - 5 * step, 12]]))
        assert poses.track_id.tolist() == [0, 1], step


def test_a_person_who_is_missed_for_some_frames_is_the_same():
    tracker = Tracker(max_missed=5)
    for step in range(5):
        tracker(persons([[8 * step, 0]]))
    for _ in range(4):
        assert len(tracker(persons([]))) == 0
    # moved on by its speed meanwhile
    assert tracker(persons([[8 * 9, 0]])).track_id.tolist() == [0]
    for _ in range(6):
        tracker(persons([]))
    assert tracker(persons([[8 * 9, 0]])).track_id.tolist() == [1]


def test_without_a_joint_in_common_the_boxes_decide():
    tracker = Tracker('oks', kpt_thr=0.9)
    assert tracker(persons([[0, 0], [100, 0]])).track_id.tolist() == [0, 1]
    assert tracker(persons([[100, 0], [300, 0]])).track_id.tolist() == [1, 2]


def test_a_person_whom_the_edge_cuts_is_the_same_by_its_box():
    """In a narrow box the joints' errors are large against its area."""
    tracker, rng = Tracker('oks'), np.random.default_rng(0)
    for step in range(12):
        poses = persons([[-3 * step, 0]])
        poses.boxes[:, 0] = 0
        poses.keypoints[:] += rng.normal(0, 4, poses.keypoints.shape)
        assert tracker(poses).track_id.tolist() == [0], step


def test_box_around_joints():
    poses = persons([[0, 0]])
    # joints from y 8 to 32 at x 20; no extent in x, so one pixel of room
    np.testing.assert_allclose(box_around(poses, 0.3), [[19, 5.6, 21, 34.4]], rtol=1e-6)
    np.testing.assert_array_equal(box_around(poses, 0.9), poses.boxes)
