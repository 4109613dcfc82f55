"""PCK beside the mean pose and the nearest training crop: closed forms, and MMPose's own number."""

import json

import cv2
import numpy as np
import pytest
from mmpose.evaluation.metrics import PCKAccuracy

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation import PoseBaselines
from rlepose_ext.evaluation.pose_baselines import crop, mean_pose

SIDE = 60


def picture(spot):
    image = np.full((SIDE, SIDE, 3), 60, np.uint8)
    cv2.circle(image, spot, 6, (250, 240, 230), -1)
    return image


@pytest.fixture
def data(tmp_path):
    """Two kinds of objects: spot and joints at the left, or at the right; box 40 x 40."""
    images, annotations = [], []
    for number, x in enumerate((20, 20, 40, 20), 1):
        cv2.imwrite(str(tmp_path / f'{number}.png'), picture((x, 30)))
        images.append({'id': number, 'file_name': f'{number}.png'})
        annotations.append(
            {
                'id': number, 'image_id': number, 'bbox': [10, 10, 40, 40],
                'keypoints': [x, 30, 2, x, 40, 2],
            }
        )  # fmt: skip
    annotations[3]['keypoints'][5] = 0  # a joint without a label
    (tmp_path / 'train.json').write_text(json.dumps({'images': images, 'annotations': annotations}))
    return tmp_path


def sample(folder, name, spot, predicted, joints):
    cv2.imwrite(str(folder / name), picture(spot))
    return {
        'img_path': str(folder / name),
        'pred_instances': {'keypoints': np.array([predicted], float)},
        'gt_instances': {
            'keypoints': np.array([joints], float),
            'keypoints_visible': np.ones((1, len(joints))),
            'bboxes': np.array([[10.0, 10, 50, 50]]),
        },
    }


def evaluated(folder, samples, **options):
    metric = PoseBaselines(str(folder / 'train.json'), str(folder), **options)
    metric.process([{}] * len(samples), samples)
    return metric.evaluate(len(samples)), metric


def test_closed_form(data):
    """Mean x of joint 0 is (20 + 20 + 40 + 20) / 4 = 25, of joint 1 (20 + 20 + 40) / 3."""
    truth = [(40, 30), (40, 40)]
    samples = [sample(data, 'val.png', (40, 30), [(37, 30), (12, 12)], truth)]
    found, metric = evaluated(data, samples, thr=0.1)  # 4 px
    assert found == {'PCK': 0.5, 'PCK_mean_pose': 0.0, 'PCK_nearest': 1.0}
    np.testing.assert_allclose(metric._train[0] * 40 + 10, [(25, 30), (80 / 3, 40)])
    found, _ = evaluated(data, samples, thr=0.35)  # 14 px: 13.33 is within, 15 is not
    assert found['PCK_mean_pose'] == 0.5


def test_the_models_number_is_mmposes(data):
    rng = np.random.default_rng(0)
    samples = []
    for number in range(12):
        truth = rng.uniform(15, 45, (2, 2))
        predicted = truth + rng.normal(0, 4, (2, 2))
        samples.append(sample(data, f'v{number}.png', (30, 30), predicted, truth))
    stock = PCKAccuracy(thr=0.1, prefix='PCK@0.1')
    stock.process([{}] * 12, samples)
    found, _ = evaluated(data, samples, thr=0.1, prefix='PCK@0.1')
    assert found['PCK@0.1/PCK'] == stock.evaluate(12)['PCK@0.1/PCK']
    assert set(found) == {f'PCK@0.1/PCK{end}' for end in ('', '_mean_pose', '_nearest')}


@pytest.mark.parametrize(('shift', 'loses'), [(0, False), (30, True)])
def test_a_model_that_loses_is_named(data, caplog, capsys, shift, loses):
    from mmengine.logging import MMLogger

    logger = MMLogger.get_instance('baselines')  # to the standard error
    said = []
    logger.handlers[0].emit = lambda record: said.append(record.getMessage())
    # neither baseline knows this pose: both are wrong in joint 1
    truth = [(20, 30), (48, 12)]
    predicted = np.add(truth, [(shift, 0), (shift, 0)])
    evaluated(data, [sample(data, 'val.png', (20, 30), predicted, truth)], thr=0.1)
    lines = [line for line in said if 'no better than' in line]
    assert len(lines) == loses
    if loses:
        assert (
            'PCK of the model is 0.000, no better than 0.500 of the nearest training crop'
            in lines[0]
        )


def test_crops_do_not_see_brightness_and_scale():
    image = picture((25, 30))[..., 0]
    box = np.array([10.0, 10, 50, 50])
    one = crop(image, box)
    np.testing.assert_allclose((one.mean(), np.linalg.norm(one)), (0, 1), atol=1e-12)
    np.testing.assert_allclose(crop(image // 2 + 40, box), one, atol=0.02)
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    assert crop(large, box * 3) @ one > 0.97
    assert not crop(np.full((9, 9), 7, np.uint8), np.array([0.0, 0, 9, 9])).any()


def test_mean_pose_of_a_joint_without_labels():
    poses = np.zeros((2, 2, 2))
    labelled = np.array([[True, False], [True, False]])
    assert mean_pose(poses, labelled).tolist() == [[0, 0], [0.5, 0.5]]


def test_another_number_of_joints_is_refused(data):
    samples = [sample(data, 'val.png', (20, 30), [(1, 1)] * 3, [(1, 1)] * 3)]
    with pytest.raises(UserError, match='has 2 joints, the samples have 3'):
        evaluated(data, samples, thr=0.1)
