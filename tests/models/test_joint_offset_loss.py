"""AdaptivePose's L1 loss of joints and bones: closed forms, gradients, what has no label."""

import pytest
import torch

from rlepose_ext.models.losses import JointOffsetLoss


def test_joints_and_bones_by_hand():
    target = torch.zeros(2, 3, 2)
    pred = torch.tensor([[[1.0, 2], [3, 4], [9, 9]], [[0, 0], [0, 0], [0, 0]]])
    weights = torch.tensor([[1.0, 1, 0], [1, 1, 1]])
    # ten labelled numbers, errors 1 + 2 + 3 + 4
    assert JointOffsetLoss()(pred, target, weights).item() == pytest.approx(10 / 10, rel=1e-4)
    # bones 0-1 of both persons, 1-2 of the second: six numbers, errors 2 + 2
    bones = JointOffsetLoss([(0, 1), (1, 2)])(pred, target, weights)
    assert bones.item() == pytest.approx((10 / 10 + 4 / 6) / 2, rel=1e-4)


def test_a_pose_that_is_shifted_has_no_error_of_bones():
    target, weights = torch.randn(4, 5, 2), torch.ones(4, 5)
    both = JointOffsetLoss([(0, 1), (3, 4)])(target + 1, target, weights)
    assert both.item() == pytest.approx(0.5, rel=1e-4)


def test_gradients_and_what_has_no_label():
    loss = JointOffsetLoss([(0, 1), (1, 2)])
    pred = torch.randn(3, 4, 2, dtype=torch.double, requires_grad=True)
    target, weights = torch.randn(3, 4, 2).double(), torch.ones(3, 4).double()
    weights[1, 2] = weights[2] = 0
    assert torch.autograd.gradcheck(lambda p: loss(p, target, weights), pred)
    value = loss(pred, target, weights)
    moved = target.clone()
    moved[2] = 1e6
    assert loss(pred, moved, weights) == value
    value.backward()
    assert not pred.grad[2].any()
    assert loss(pred, target, torch.zeros(3, 4)) == 0
    empty = torch.zeros(0, 4, 2)
    assert loss(empty, empty, torch.zeros(0, 4)) == 0
