"""Drawing 3-D poses under matplotlib 3.10."""

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import Pose3dLocalVisualizer

SIDE = 200


@pytest.mark.parametrize('with_2d', [False, True])
def test_a_pose_in_space_is_drawn(with_2d):
    visualizer = Pose3dLocalVisualizer(radius=4)
    visualizer.skeleton = [(0, 1), (1, 2)]
    visualizer.kpt_color = np.array([[255, 0, 0]] * 3)
    visualizer.link_color = np.array([[0, 0, 255]] * 2)
    sample = PoseDataSample()
    sample.pred_instances = InstanceData()
    sample.pred_instances.keypoints = np.array([[[0.0, 0, 0], [0.3, 0, 0.5], [0.3, 0.3, 1.0]]])
    sample.pred_instances.keypoint_scores = np.ones((1, 3))
    flat = InstanceData(keypoints=np.array([[[20.0, 20], [60, 20], [60, 60]]]))
    flat.keypoint_scores = np.ones((1, 3))
    visualizer.add_datasample(
        'drawn',
        np.zeros((SIDE, SIDE, 3), np.uint8),
        data_sample=sample,
        det_data_sample=PoseDataSample(pred_instances=flat) if with_2d else None,
        draw_gt=False,
        draw_2d=with_2d,
        dataset_2d='h36m',
    )
    drawn = visualizer.get_image()
    space = drawn[:, -SIDE:].astype(int)
    assert space.shape == (SIDE, SIDE, 3)
    red, _, blue = np.moveaxis(space, -1, 0)
    assert (red - blue > 100).any()  # joints, RGB
    assert (blue - red > 100).any()  # bones
