"""Files for COCO's server: name, format, what is refused, nothing half-written."""

import json
import zipfile

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation import CocoSubmission
from rlepose_ext.evaluation.coco_submission import submission_entry, write_submission

STEM = 'person_keypoints_test-dev2017_mine'


def check_upload(archive):
    """What COCO's server wants of the zip; returns the entries."""
    assert archive.name == f'{STEM}_results.zip'
    with zipfile.ZipFile(archive) as file:
        assert file.namelist() == [f'{STEM}_results.json']
        entries = json.loads(file.read(f'{STEM}_results.json'))
    assert isinstance(entries, list)
    for entry in entries:
        assert set(entry) == {'image_id', 'category_id', 'keypoints', 'score'}
        assert type(entry['image_id']) is int
        assert entry['category_id'] == 1
        assert len(entry['keypoints']) == 51
        assert all(type(value) is float for value in entry['keypoints'])
        assert set(entry['keypoints'][2::3]) == {1.0}
        assert type(entry['score']) is float
    return entries


@pytest.fixture
def image_info(tmp_path):
    """As COCO's own file: images and categories, no annotations."""
    path = tmp_path / 'image_info_test-dev2017.json'
    images = [{'id': n, 'file_name': f'{n}.jpg', 'width': 64, 'height': 48} for n in (3, 8)]
    categories = [{'id': 1, 'name': 'person'}, {'id': 2, 'name': 'bicycle'}]
    path.write_text(json.dumps({'images': images, 'categories': categories}))
    return str(path)


def run(metric, joints=17, dataset='coco', image=3):
    metric.dataset_meta = parse_pose_metainfo(
        {'from_file': f'configs/_base_/datasets/{dataset}.py'}
    )
    for number, img_id in enumerate([image, 8, 8]):
        rng = np.random.default_rng(number)
        instances = {
            'keypoints': rng.uniform(0, 60, (1, joints, 2)).astype(np.float32),
            'keypoint_scores': rng.uniform(0.3, 1, (1, joints)).astype(np.float32),
            'bboxes': np.array([[0.0, 0, 50, 50]]),
        }
        boxes = {'bbox_scores': np.array([0.8]), 'bbox_scales': np.array([[50.0, 50.0]])}
        sample = {'id': number, 'img_id': img_id, 'category_id': np.array(1)}
        metric.process([], [sample | {'pred_instances': instances, 'gt_instances': boxes}])
    return metric.evaluate(3)


def test_writes_what_the_server_takes(tmp_path, image_info):
    folder = tmp_path / 'not/there/yet'
    assert run(CocoSubmission(image_info, str(folder / STEM))) == {}
    assert sorted(path.name for path in folder.iterdir()) == [
        f'{STEM}_results.json',
        f'{STEM}_results.zip',
    ]
    entries = check_upload(folder / f'{STEM}_results.zip')
    assert [entry['image_id'] for entry in entries] == [3, 8, 8]
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0, 60, (17, 2)).astype(np.float32)
    scores = rng.uniform(0.3, 1, 17).astype(np.float32)
    written = np.array(entries[0]['keypoints']).reshape(17, 3)
    np.testing.assert_allclose(written[:, :2], keypoints, atol=0.005001)
    assert entries[0]['score'] == pytest.approx(0.8 * scores.mean())


def test_entry_by_hand():
    keypoints = np.tile([[1.234, 5.678, 0.9]], (17, 1))
    entry = submission_entry(np.int64(7), keypoints, np.float32(0.5))
    assert entry['keypoints'][:6] == [1.23, 5.68, 1.0, 1.23, 5.68, 1.0]
    assert (entry['image_id'], entry['category_id'], entry['score']) == (7, 1, 0.5)


@pytest.mark.parametrize('name', ['results', 'keypoints_test-dev2017_a', f'{STEM}_results', ''])
def test_other_names_are_refused(image_info, name):
    with pytest.raises(UserError, match='person_keypoints_<testset>_<name>'):
        CocoSubmission(image_info, name)
    with pytest.raises(UserError, match='take CocoMetric'):
        CocoSubmission(image_info, STEM, format_only=False)


def test_wrong_models_and_images_are_refused(tmp_path, image_info):
    prefix = str(tmp_path / STEM)
    with pytest.raises(UserError, match=r'42 numbers.*14 joints'):
        run(CocoSubmission(image_info, prefix), joints=14, dataset='crowdpose')
    with pytest.raises(UserError, match='such as 5'):
        run(CocoSubmission(image_info, prefix), image=5)
    with pytest.raises(UserError, match='empty list'):
        write_submission(prefix, [], [3])
    assert not list(tmp_path.glob('person*'))


def test_an_earlier_file_survives_a_failure(tmp_path):
    prefix = tmp_path / STEM
    entry = submission_entry(3, np.ones((17, 2)), 0.5)
    archive = write_submission(prefix, [entry], [3])
    before = archive.read_bytes()
    with pytest.raises(UserError, match='not finite'):
        write_submission(prefix, [submission_entry(3, np.full((17, 2), np.nan), 0.5)], [3])
    assert archive.read_bytes() == before
    assert len(check_upload(archive)) == 1
