"""Annotations joined with input poses, and what is wrong with such files."""

import json

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS

from rlepose_ext.errors import UserError
from rlepose_ext.geometry.crops import box_around_joints

CROWDPOSE = {'from_file': 'configs/_base_/datasets/crowdpose.py'}


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpose')


def annotation(number, image, x, labelled=17, joints=17):
    """A person whose joints fill a box of 40 x 80 px from (x, 20) on."""
    points = np.random.default_rng(number).uniform((x, 20), (x + 40, 100), (joints, 2))
    seen = np.where(np.arange(joints) < labelled, 2, 0)
    points[seen == 0] = 0
    return {
        'id': number,
        'image_id': image,
        'category_id': 1,
        'iscrowd': 0,
        'num_keypoints': labelled,
        'area': 3200.0,
        'bbox': [x, 20.0, 40.0, 80.0],
        'keypoints': np.column_stack([points, seen]).ravel().tolist(),
    }


def pose(image, x, score=0.9, joints=17, **changes):
    points = np.random.default_rng(7).uniform((x, 20), (x + 40, 100), (joints, 2))
    triples = np.column_stack([points, np.linspace(0.1, 1.5, joints)])
    entry = {'image_id': image, 'category_id': 1, 'keypoints': triples.ravel().tolist()}
    return {**entry, 'score': score, 'bbox': [x, 20.0, 40.0, 80.0], **changes}


@pytest.fixture
def build(tmp_path):
    """A data set of two images: two persons beside each other and one far away; one alone."""

    def build(poses=None, joints=17, test=False, annotations=None, pipeline=(), **options):
        if annotations is None:
            annotations = [
                annotation(1, 1, 10, joints=joints),
                annotation(2, 1, 30, labelled=5, joints=joints),
                annotation(3, 1, 200, joints=joints),
                annotation(4, 2, 50, joints=joints),
            ]
        images = [{'id': n, 'file_name': f'{n}.png', 'width': 300, 'height': 120} for n in (1, 2)]
        for image in images:
            cv2.imwrite(str(tmp_path / image['file_name']), np.zeros((120, 300, 3), np.uint8))
        content = {'images': images, 'annotations': annotations}
        content['categories'] = [{'id': 1, 'name': 'person'}]
        (tmp_path / 'truth.json').write_text(json.dumps(content))
        if poses is not None:
            (tmp_path / 'poses.json').write_text(json.dumps(poses))
            options['pose_file'] = str(tmp_path / 'poses.json')
        return DATASETS.build(
            {
                'type': 'rlepose_ext.PoseFixDataset',
                'data_root': str(tmp_path),
                'ann_file': 'truth.json',
                'data_mode': 'topdown',
                'test_mode': test,
                'pipeline': list(pipeline),
                **options,
            }
        )

    return build


def test_training_joins_the_pose_and_persons_beside(build):
    data = build([pose(1, 11), pose(1, 199), pose(2, 250)])
    assert len(data) == 4
    first, second, third, fourth = (data.get_data_info(i) for i in range(4))
    assert first['keypoints'].shape == (3, 17, 2)
    # its own, its pose's, its neighbour's
    own = np.reshape(annotation(1, 1, 10)['keypoints'], (17, 3))
    np.testing.assert_allclose(first['keypoints'][0], own[:, :2], rtol=1e-6)
    np.testing.assert_allclose(first['keypoints'][1].ravel()[:2], pose(1, 11)['keypoints'][:2])
    np.testing.assert_array_equal(first['keypoints'][2], second['keypoints'][0])
    assert first['keypoints_visible'].sum(1).tolist() == [17, 17, 5]
    # nobody beside; and a pose elsewhere in the image is none of this person
    assert third['keypoints'].shape == (2, 17, 2)
    assert fourth['keypoints_visible'].sum(1).tolist() == [17, 0]
    assert len(first['sigmas']) == len(first['keypoint_names']) == 17


def test_training_without_poses(build):
    data = build()
    assert data.get_data_info(1)['keypoints_visible'].sum(1).tolist() == [5, 0, 17]


def test_a_pose_without_a_box_is_found_by_its_joints(build):
    entry = pose(1, 10)
    del entry['bbox']
    assert build([entry]).get_data_info(0)['keypoints_visible'][1].all()


def test_a_test_has_the_poses_with_a_score(build):
    poses = [pose(1, 10, 0.5), pose(1, 200, 0.0), pose(2, 50, 1.7)]
    data = build(poses, test=True)
    assert len(data) == 2
    info = data.get_data_info(1)
    triples = np.reshape(poses[2]['keypoints'], (17, 3)).astype(np.float32)
    np.testing.assert_array_equal(info['keypoints'][0], triples[:, :2])
    np.testing.assert_array_equal(info['keypoints_visible'][0], triples[:, 2])
    assert info['bbox_score'] == np.float32([1.7])
    low, high = triples[:, :2].min(0), triples[:, :2].max(0)
    size = info['bbox'][0, 2:] - info['bbox'][0, :2]
    np.testing.assert_allclose(size, 1.2 * (high - low), rtol=1e-5)


def test_box_around_joints():
    np.testing.assert_allclose(
        box_around_joints(np.array([[0.0, 0], [100, 50]])), [-10, -5, 110, 55]
    )
    # all joints in one place
    np.testing.assert_allclose(box_around_joints(np.full((17, 2), 50.0)), [38, 38, 62, 62])


def test_crowdpose_has_14_joints(build):
    data = build([pose(1, 10, joints=14)], joints=14, metainfo=CROWDPOSE)
    info = data.get_data_info(0)
    assert info['keypoints'].shape == (3, 14, 2)
    assert info['keypoint_names'][-2:] == ['top_head', 'neck']


WRONG = {
    'other images': ([pose(77, 10)], 'image_id'),
    'other joints': ([pose(1, 10, joints=14)], '14 joints'),
    'no scores': ([{k: v for k, v in pose(1, 10).items() if k != 'score'}], 'no score'),
    'not finite': ([pose(1, 10, score=float('nan'))], 'not finite'),
    'no list': ({'annotations': []}, 'no list'),
    'nothing': ([], 'empty list'),
}


@pytest.mark.parametrize('test', [False, True])
@pytest.mark.parametrize('what', WRONG)
def test_wrong_poses_are_one_clear_error(build, what, test):
    poses, said = WRONG[what]
    with pytest.raises(UserError, match=said) as stop:
        build(poses, test=test)
    assert 'poses.json' in str(stop.value)


def test_files_that_are_missing(build, tmp_path):
    with pytest.raises(UserError, match='rlepose posefix prepare'):
        build(test=True)
    with pytest.raises(UserError, match='rlepose posefix prepare'):
        build(pose_file=str(tmp_path / 'none.json'))
    with pytest.raises(UserError, match='bbox_file'):
        build([pose(1, 10)], test=True, bbox_file='boxes.json')


def test_joints_out_of_the_crop_and_in_one_place_go_through_the_pipeline(build, root):
    from mmengine.config import Config

    path = 'configs/posefix/posefix_res50_2xb16-140e_coco-256x192.py'
    config = Config.fromfile(root / path)
    place = pose(1, 10)
    place['keypoints'] = [50.0, 50.0, 0.5] * 17
    (sample,) = build([place], test=True, pipeline=config.val_pipeline)
    labels = sample['data_samples'].gt_instance_labels
    np.testing.assert_allclose(labels.input_keypoints, [[[96, 128]] * 17], atol=1)
    np.random.seed(0)  # noqa: NPY002
    for sample in build([pose(1, 10)], pipeline=config.train_pipeline):
        labels = sample['data_samples'].gt_instance_labels
        assert labels.input_keypoints.isfinite().all()
        assert sample['data_samples'].gt_instances.keypoints.shape == (1, 17, 2)
        assert labels.input_weights.sum() in (5, 17)
