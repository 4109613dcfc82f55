"""Drawing under numpy 2: lists of keypoints, and radii that are arrays."""

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

POINTS = [[[10.0, 10.0], [50.0, 10.0], [50.0, 60.0]]]


@pytest.mark.parametrize('backend', ['opencv', 'matplotlib'])
@pytest.mark.parametrize('keypoints', [POINTS, np.array(POINTS)], ids=['list', 'array'])
def test_skeletons_are_drawn(backend, keypoints):
    visualizer = PoseLocalVisualizer(radius=4, backend=backend)
    visualizer.skeleton = [(0, 1), (1, 2)]
    visualizer.link_color = visualizer.kpt_color = np.array([[255, 0, 0]] * 3)
    visualizer.link_color = visualizer.link_color[:2]
    instances = InstanceData()
    instances.keypoints = keypoints
    instances.keypoints_visible = np.ones((1, 3))
    sample = PoseDataSample()
    sample.gt_instances = instances
    blank = np.zeros((80, 80, 3), np.uint8)
    visualizer.add_datasample('drawn', blank, sample, draw_bbox=False, draw_heatmap=False)
    drawn = visualizer.get_image()
    for x, y in POINTS[0]:
        assert drawn[int(y), int(x), 0] > 100  # RGB: red
    assert drawn[70, 70].max() == 0


def test_one_element_radius_reaches_opencv_as_a_number(monkeypatch):
    """Numpy below 2.4 still converts it: look at what arrives."""
    from mmpose.visualization import opencv_backend_visualizer as upstream

    seen = []
    original = upstream.cv2.circle

    def circle(image, center, radius, *args):
        seen.append(radius)
        return original(image, center, radius, *args)

    monkeypatch.setattr(upstream.cv2, 'circle', circle)
    visualizer = upstream.OpencvBackendVisualizer(backend='opencv')
    visualizer.set_image(np.zeros((20, 20, 3), np.uint8))

    class Radius(np.ndarray):
        def __int__(self):
            raise TypeError('only 0-dimensional arrays can be converted to Python scalars')

    visualizer.draw_circles(np.array([9, 9]), np.array([3]).view(Radius), face_colors=(1, 2, 3))
    assert seen == [3]


def test_ytviseval_has_a_float():
    from mmdet.evaluation.functional import ytviseval

    assert not hasattr(np, 'float')
    assert ytviseval.np.float is float
