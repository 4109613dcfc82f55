"""Offline evaluation: the numbers of CocoMetric, hand-made ones, and the sigmas."""

import copy
import json
import math

import numpy as np
import pytest
from coco_drawn import scene
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.metrics import CocoMetric

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation import offline


def metainfo(name):
    return parse_pose_metainfo({'from_file': f'configs/_base_/datasets/{name}.py'})


def coco_metric(folder, truth, found, name, **options):
    """What CocoMetric says of the detections, and the result file that it writes."""
    ann_file = folder / 'truth.json'
    ann_file.write_text(json.dumps(truth))
    metric = CocoMetric(str(ann_file), outfile_prefix=str(folder / 'metric'), **options)
    metric.dataset_meta = metainfo(name)
    for number, entry in enumerate(found):
        joints = np.array(entry['keypoints']).reshape(1, -1, 3)
        corner = joints[0, :, :2].min(0)
        pred = {'keypoints': joints[..., :2], 'keypoint_scores': joints[..., 2]}
        pred['bboxes'] = np.array([[*corner, *corner + 15]])  # smaller than the person
        boxes = {'bbox_scores': np.array([entry['score']]), 'bbox_scales': np.array([[90.0, 120]])}
        sample = {'id': number, 'img_id': entry['image_id'], 'pred_instances': pred}
        metric.process([], [sample | {'gt_instances': boxes}])
    return metric.evaluate(len(found)), folder / 'metric.keypoints.json', ann_file


@pytest.mark.parametrize('use_area', [True, False])
def test_the_numbers_of_coco_metric(tmp_path, use_area):
    measured, results, ann_file = coco_metric(tmp_path, *scene(), 'coco', use_area=use_area)
    stats, remarks = offline.evaluate_files(results, ann_file, use_area=use_area)
    assert {f'coco/{name}': value for name, value in stats.items()} == measured
    assert tuple(stats) == offline.NAMES
    assert 0.1 < stats['AP'] < 0.9
    assert len(remarks) == 1

    # A false detection has the size of its box, if there is one: none counts as large here.
    found = [{k: v for k, v in e.items() if k != 'bbox'} for e in json.loads(results.read_text())]
    results.write_text(json.dumps(found))
    without, _ = offline.evaluate_files(results, ann_file, use_area=use_area)
    assert without['AP'] == stats['AP']
    assert without['AP (L)'] < stats['AP (L)']


def test_the_numbers_of_coco_metric_on_crowdpose(tmp_path):
    drawn = scene(joints=14, images=9, crowd=True, area=False)
    options = {'use_area': False, 'iou_type': 'keypoints_crowd', 'prefix': 'crowdpose'}
    measured, results, ann_file = coco_metric(tmp_path, *drawn, 'crowdpose', **options)
    stats, _ = offline.evaluate_files(results, ann_file, 'crowdpose', crowd=True, use_area=False)
    assert {f'crowdpose/{name}': value for name, value in stats.items()} == measured
    assert tuple(stats) == offline.CROWD_NAMES
    assert len({stats[name] for name in ('AP(E)', 'AP(M)', 'AP(H)')}) == 3


def test_by_hand():
    # Two of three joints labelled, one of them 6 px off; sigma 0.1, area 900:
    # OKS = (1 + exp(-36 / (2 * 0.2^2 * 900))) / 2 = (1 + exp(-0.5)) / 2 = 0.803: 7 thresholds.
    assert (1 + math.exp(-0.5)) / 2 == pytest.approx(0.803, abs=5e-4)
    person = {'id': 1, 'image_id': 1, 'category_id': 1, 'area': 900, 'bbox': [0, 0, 40, 40]}
    truth = {'images': [{'id': 1}], 'categories': [{'id': 1, 'name': 'p'}]}
    truth['annotations'] = [person | {'keypoints': [10, 10, 2, 20, 20, 1, 0, 0, 0]}]
    found = [{'image_id': 1, 'category_id': 1, 'score': 0.9}]
    found[0]['keypoints'] = [16, 10, 1, 20, 20, 1, 300, 300, 1]
    stats = offline.evaluate(found, truth, [0.1, 0.1, 0.1])
    assert stats['AP'] == pytest.approx(0.7)
    assert stats['AR'] == pytest.approx(0.7)
    assert stats['AP .75'] == pytest.approx(1)
    assert stats['AP (M)'] == -1  # 900 px^2 is small
    # 0.53 * 1600 px^2 = 848: exp(-36 / (0.08 * 848)) = 0.588, OKS 0.794, one threshold less.
    assert offline.evaluate(found, truth, [0.1] * 3, use_area=False)['AP'] == pytest.approx(0.6)


def test_input_is_left_alone():
    truth, found = scene()
    copies = copy.deepcopy((truth, found))
    first = offline.evaluate(found, truth, offline.SIGMAS['coco'])
    assert (truth, found) == copies
    assert offline.evaluate(found, truth, offline.SIGMAS['coco']) == first


def test_boxes_of_some_detections_are_not_read():
    truth, found = scene()
    expected = offline.evaluate(found, truth, offline.SIGMAS['coco'])
    found[0]['bbox'], found[0]['caption'] = [0, 0, 5, 5], 'a person'
    assert offline.evaluate(found, truth, offline.SIGMAS['coco']) == expected


def test_detections_without_scores_are_named(tmp_path):
    truth, found = scene()
    for entry in found[:2]:
        entry['keypoints'][2::3] = [0] * 17
    for name, content in (('a', truth), ('r', found)):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    _, remarks = offline.evaluate_files(tmp_path / 'r.json', tmp_path / 'a.json')
    assert remarks[1].startswith('2 detections have no joint with a score above 0')


@pytest.mark.parametrize('name', offline.SIGMAS)
def test_sigmas_are_those_of_the_metainfo(name):
    sigmas = np.array(offline.find_sigmas(name), dtype=np.float32)
    np.testing.assert_array_equal(sigmas, metainfo(name)['sigmas'])


def test_sigmas_from_files(tmp_path):
    for name, text, sigmas in (
        ('sigmas.json', '[0.1, 0.2]', (0.1, 0.2)),
        ('mine.py', "dataset_info = dict(dataset_name='mine', sigmas=[0.3])", (0.3,)),
    ):
        (tmp_path / name).write_text(text)
        assert offline.find_sigmas(str(tmp_path / name)) == sigmas


NOT_LISTED = json.dumps({'annotations': [{'id': number} for number in range(999)]})


@pytest.mark.parametrize(('name', 'text', 'said'), [
    ('s.json', '[]', 'has no list of sigmas'),
    ('s.json', '[0.1, 0]', 'has no list of sigmas'),
    ('s.json', '[0.1, "a"]', 'has no list of sigmas'),
    ('s.json', '{"a": 1}', 'has no list of sigmas'),
    ('s.json', NOT_LISTED, r'it gives .{60}\. Expected'),
    ('s.py', "dataset_info = dict(dataset_name='mine')", 'it gives None'),
    ('s.py', 'dataset_info = 5', 'it gives None'),
    ('s.py', 'x = (', 'cannot be read as a config'),
    ('s.py', '1 / 0', 'cannot be read as a config'),
])  # fmt: skip
def test_files_without_sigmas(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf's\.(json|py) .*{said}'):
        offline.find_sigmas(str(tmp_path / name))


def test_real_annotations_find_themselves(shared, tmp_path):
    path = shared / 'data/mmpose_samples/coco/test_coco.json'
    people = [a for a in json.loads(path.read_text())['annotations'] if a['num_keypoints']]
    found = [
        {key: person[key] for key in ('image_id', 'category_id', 'keypoints')} | {'score': 0.9}
        for person in people
    ]
    results = tmp_path / 'r.json'
    results.write_text(json.dumps(found))
    stats, remarks = offline.evaluate_files(results, path)
    np.testing.assert_allclose(list(stats.values()), 1)
    assert remarks == ['12 detections on 4 of 4 images']
