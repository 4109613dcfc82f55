"""PoseFix behind a pose model: the same as a test of MMPose gives, for all ways to call it."""

import numpy as np
import pytest
from mmengine.config import Config
from random_weights import random_checkpoint

from rlepose_ext import Pose
from rlepose_ext.errors import UserError
from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.estimator import PoseEstimator
from rlepose_ext.inference.refining import PoseRefiner
from rlepose_ext.resources import resource

CONFIG = 'configs/posefix/posefix_res50_2xb16-140e_{}-256x192.py'


def small(folder, dataset='coco'):
    """Config and random weights of a narrow ResNet-18."""
    config = Config.fromfile(resource(CONFIG.format(dataset)))
    config.model.backbone.pop('init_cfg')
    config.model.backbone.update(depth=18, stem_channels=16, base_channels=16)
    config.model.head.update(in_channels=128, deconv_out_channels=(16, 16, 16))
    config.model.test_cfg.keep_within = 0  # random maps are wide, and all joints are to move
    config.dump(folder / f'{dataset}.py')
    path = folder / f'{dataset}.pth'
    return str(folder / f'{dataset}.py'), random_checkpoint(folder / f'{dataset}.py', path)


@pytest.fixture(scope='module')
def refine(tmp_path_factory):
    return small(tmp_path_factory.mktemp('refine'))


@pytest.fixture(scope='module')
def refiner(refine):
    return PoseRefiner(*refine, device='cpu', batch_size=2)


def test_poses_move_and_nothing_else(pose, refiner, noise):
    images = [noise(150, 100), noise(90, 120, seed=1), noise(60, 60, seed=2)]
    boxes = [[[10, 10, 60, 90], [50, 20, 120, 95]], [[5, 5, 80, 110]], []]
    before = PoseEstimator(*pose, device='cpu')(images, boxes)
    clock = Clock()
    after = refiner(images, before, clock)
    assert clock.seconds['refine'] > 0
    for old, new in zip(before, after, strict=True):
        assert new.keypoints.shape == old.keypoints.shape
        for name in ('boxes', 'box_scores', 'scores'):
            assert np.array_equal(getattr(old, name), getattr(new, name))
        assert new.sigma is None
        if len(old):
            assert np.abs(new.keypoints - old.keypoints).max() > 1
    # one by one, in whatever batches
    alone = refiner(images[1:2], before[1:2])[0]
    np.testing.assert_allclose(alone.keypoints, after[1].keypoints, atol=1e-3)


def test_pose_takes_it(pose, refine, noise):
    image = noise(150, 100)
    model = Pose(*pose, detector='full', device='cpu', refine=refine)
    assert 'refine' in model.chosen
    (found,) = model(image)
    plain = Pose(*pose, detector='full', device='cpu')
    (before,) = plain(image)
    (expected,) = PoseRefiner(*refine, device='cpu')([image], [before])
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-3)
    boxes = [[10, 10, 60, 90]]
    (given,) = model(image, boxes=boxes)
    (before,) = plain(image, boxes=boxes)
    (expected,) = PoseRefiner(*refine, device='cpu')([image], [before])
    np.testing.assert_allclose(given.keypoints, expected.keypoints, atol=1e-3)


def test_a_model_of_other_joints_or_another_kind(pose, refine, tmp_path):
    with pytest.raises(UserError, match='corrects poses'):
        PoseRefiner(*pose)
    with pytest.raises(UserError, match='--refine'):
        PoseEstimator(*refine)
    with pytest.raises(UserError, match='14 joints'):
        Pose(*pose, detector='full', refine=small(tmp_path, 'crowdpose'))
