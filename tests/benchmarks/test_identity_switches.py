"""Switches of identity, counted by hand."""

import numpy as np
import pytest
from _identity_switches import Followed, id_switches

LEFT, RIGHT = (0, 0, 10, 20), (100, 0, 10, 20)
TRUTH = ([7, 8], [LEFT, RIGHT])


def follow(*found, truth=TRUTH, **options):
    return id_switches([truth] * len(found), found, **options)


def test_nobody_is_mistaken():
    boxes = [RIGHT, LEFT]
    assert follow(([3, 1], boxes), ([3, 1], boxes)) == {7: Followed(2, 2, 0), 8: Followed(2, 2, 0)}


def test_two_exchange_their_identities_and_take_them_back():
    boxes = [LEFT, RIGHT]
    result = follow(([0, 1], boxes), ([1, 0], boxes), ([0, 1], boxes))
    assert result == {7: Followed(3, 3, 2), 8: Followed(3, 3, 2)}


def test_a_gap_is_no_switch_unless_the_identity_is_another():
    nobody = ([], np.zeros((0, 4)))
    seen, new = ([0], [LEFT]), ([5], [LEFT])
    assert follow(seen, nobody, seen)[7] == Followed(3, 2, 0)
    assert follow(seen, nobody, new)[7] == Followed(3, 2, 1)
    assert follow(seen, nobody, nobody)[8] == Followed(3, 0, 0)


def test_boxes_that_overlap_little_are_nobody():
    shifted = (4, 0, 10, 20)  # IoU 6 / 14 with the left one
    assert follow(([0], [shifted]))[7].found == 0
    assert follow(([0], [shifted]), iou_thr=0.4)[7].found == 1


def test_a_pair_stays_together_though_another_box_fits_better():
    near = (2, 0, 10, 20)  # IoU 2 / 3
    alone = ([7], [LEFT])
    result = follow(([0], [LEFT]), ([4, 0], [LEFT, near]), truth=alone)
    assert result == {7: Followed(2, 2, 0)}
    # where the old one has gone too far, the better one is taken
    far = (6, 0, 10, 20)
    assert follow(([0], [LEFT]), ([4, 0], [LEFT, far]), truth=alone)[7].switches == 1


def test_who_is_not_there_does_not_count():
    truth = [([7], [LEFT]), ([], []), ([7], [LEFT])]
    found = [([0], [LEFT]), ([0], [LEFT]), ([0], [LEFT])]
    assert id_switches(truth, found) == {7: Followed(2, 2, 0)}


def test_frames_must_be_the_same():
    with pytest.raises(ValueError, match=r'shorter|longer'):
        id_switches([TRUTH], [])
