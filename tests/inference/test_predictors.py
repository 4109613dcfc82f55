"""Models that find everybody by themselves, against MMPose's own function for them."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import inference_bottomup, init_model
from random_weights import POSE, random_checkpoint, save

from rlepose_ext.errors import UserError
from rlepose_ext.inference.choose import build_pose
from rlepose_ext.inference.predictors import OneStage
from rlepose_ext.zoo import find
from rlepose_ext.zoo.upstream import upstream_model

SIDE = 128
YOLOPOSE = 'yolopose_yolov5s6_4xb16-300e_coco-640x640'


def small(name, folder):
    """Config and random checkpoint of a model of MMPose for pictures of 128 px."""
    known = upstream_model(name)
    config = Config.fromfile(known.config if known else find(name).path)
    config.model.backbone.pop('init_cfg', None)
    config.model.pop('init_cfg', None)
    for step in config.test_dataloader.dataset.pipeline:
        if 'input_size' in step:
            step.input_size = (SIDE, SIDE)
    config.dump(folder / f'{name}.py')
    torch.manual_seed(0)
    model = init_model(config, device='cpu')
    with torch.no_grad():
        # Sizes are exponentials of what the head gives: small, or they overflow.
        for parameter in model.head.parameters():
            parameter.mul_(0.1)
    return str(folder / f'{name}.py'), save(model, folder / f'{name}.pth')


ADAPTIVE = 'adaptivepose_hrnet-w32_8xb8-280e_coco-512x512'


ONE_STAGE = ['yoloxpose_cspdarknet-s', YOLOPOSE]
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ('rtmo-s', 'dekr', ADAPTIVE)]


@pytest.mark.parametrize('name', ONE_STAGE + LARGE)
def test_the_same_as_mmpose(tmp_path, noise, name):
    model = build_pose(small(name, tmp_path), 'cpu', bbox_thr=-1.0)
    assert isinstance(model, OneStage)
    image = noise(150, 100)
    (found,) = model.predict([image])
    (sample,) = inference_bottomup(model.model, image)
    expected = sample.pred_instances
    assert len(found) > 0
    assert found.keypoints.shape[1:] == (17, 2)
    # those without area are no persons; the rest is the same, best first
    assert (np.diff(found.box_scores) <= 0).all()
    order = [
        int(np.abs(expected.keypoints - pose).sum((1, 2)).argmin()) for pose in found.keypoints
    ]
    np.testing.assert_allclose(found.keypoints, expected.keypoints[order], atol=1e-4)
    np.testing.assert_allclose(found.scores, expected.keypoint_scores[order], atol=1e-5)
    if 'bboxes' in expected:
        np.testing.assert_allclose(found.boxes, expected.bboxes[order], atol=1e-3)
    assert model.predict([]) == []


def test_a_model_of_one_person_needs_a_detector(tmp_path):
    checkpoint = random_checkpoint(POSE, tmp_path / 'pose.pth')
    with pytest.raises(UserError, match='needs a detector'):
        OneStage(POSE, checkpoint)
