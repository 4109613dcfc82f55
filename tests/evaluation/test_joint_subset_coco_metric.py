"""A COCO model on CrowdPose's annotations: joints by name, OKS and AP by hand, stock's mistakes."""

import json
import math

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.metrics import CocoMetric

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation import JointSubsetCocoMetric
from rlepose_ext.evaluation.joint_subset_coco_metric import shared_joints

CROWDPOSE = {'from_file': 'configs/_base_/datasets/crowdpose.py'}
COCO = {'from_file': 'configs/_base_/datasets/coco.py'}
SIGMAS = [0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089]
HEAD, NECK = 12, 13
PAIRS = [(i, i + 5) for i in range(12)]
BOX = [0.0, 0.0, 100.0, 200.0]
AREA = 0.53 * 100 * 200


def meta(source):
    return parse_pose_metainfo(dict(source))


def person(number, labelled=range(14), image=1):
    """CrowdPose's 14 joints, joint k at (10 + k, 20 + 3k)."""
    keypoints = np.zeros((14, 3))
    for k in labelled:
        keypoints[k] = 10 + k + 200 * (number - 1), 20 + 3 * k, 1 + k % 2
    body = sum(k < HEAD for k in labelled)
    return {
        'id': number, 'image_id': image, 'category_id': 1, 'iscrowd': 0, 'num_keypoints': body,
        'bbox': [200.0 * (number - 1), *BOX[1:]], 'keypoints': keypoints.ravel().tolist(),
    }  # fmt: skip


def coco_pose(ann, **moved):
    """A COCO-17 prediction that has the shared joints of ``ann``, nonsense in the face."""
    pose = np.full((17, 2), 999.0)
    pose[5:] = np.array(ann['keypoints']).reshape(-1, 3)[:12, :2]
    for joint, shift in moved.items():
        pose[int(joint[1:])] += shift, 0
    return pose


def annotations(tmp_path, people, crowd_index=0.5):
    content = {'images': [{'id': 1, 'width': 800, 'height': 300, 'crowdIndex': crowd_index}]}
    content |= {'annotations': people, 'categories': [{'id': 1, 'name': 'person'}]}
    path = tmp_path / 'crowdpose.json'
    path.write_text(json.dumps(content))
    return str(path)


def evaluate(metric, poses, scores=None, dataset=COCO):
    metric.dataset_meta = meta(dataset)
    for number, pose in enumerate(poses):
        confidence = np.full((1, 17), 0.5)
        if scores is not None:
            confidence = np.array(scores[number])[None]
        boxes = {'bbox_scores': np.array([0.8]), 'bbox_scales': np.array([[100.0, 200.0]])}
        instances = {'keypoints': pose[None], 'keypoint_scores': confidence}
        sample = {'id': number, 'img_id': 1, 'pred_instances': instances, 'gt_instances': boxes}
        metric.process([], [sample])
    return metric.evaluate(len(poses))


def build(path, **options):
    options = {'use_area': False, 'iou_type': 'keypoints_crowd', 'prefix': 'c12'} | options
    return JointSubsetCocoMetric(path, CROWDPOSE, **options)


def test_twelve_joints_are_shared():
    names = [
        [info['keypoint_id2name'][k] for k in range(info['num_keypoints'])]
        for info in map(meta, (CROWDPOSE, COCO))
    ]
    assert shared_joints(*names) == PAIRS
    for truth, predicted in PAIRS:
        assert names[0][truth] == names[1][predicted]


def test_metainfo_of_the_subset(tmp_path):
    metric = build(annotations(tmp_path, [person(1)]))
    given = meta(COCO)
    metric.dataset_meta = given
    assert metric.dataset_meta['num_keypoints'] == 12
    np.testing.assert_allclose(metric.dataset_meta['sigmas'], SIGMAS, atol=1e-7)
    assert given['num_keypoints'] == 17  # not ours to change
    assert metric.pred_converter == {
        'num_keypoints': 12,
        'mapping': [(i + 5, i) for i in range(12)],
    }


def test_annotations_are_cut_once(tmp_path):
    metric = build(annotations(tmp_path, [person(1, [0, 3, HEAD, NECK])]))
    for _ in range(2):  # every validation sets it again
        metric.dataset_meta = meta(COCO)
    (ann,) = metric.coco.dataset['annotations']
    joints = np.array(ann['keypoints']).reshape(12, 3)
    assert joints[0].tolist() == [10, 20, 1]
    assert joints[3].tolist() == [13, 29, 2]
    assert np.count_nonzero(joints) == 6
    assert ann['num_keypoints'] == 2
    assert metric.coco.anns[1] is ann


def test_oks_of_twelve_joints_by_hand(tmp_path):
    # Left wrist (COCO 9, CrowdPose 4, sigma 0.062) off by 20 px, right hip (12, 7, 0.107) by 30.
    ann = person(1)
    wrist = math.exp(-(20**2) / (2 * (2 * 0.062) ** 2 * AREA))
    hip = math.exp(-(30**2) / (2 * (2 * 0.107) ** 2 * AREA))
    oks = (10 + wrist + hip) / 12
    metric = build(annotations(tmp_path, [ann]))
    stats = evaluate(metric, [coco_pose(ann, j9=20, j12=30)])
    thresholds = np.linspace(0.5, 0.95, 10)
    assert oks == pytest.approx(0.891, abs=5e-4)  # passes eight of ten
    assert stats['c12/AP'] == pytest.approx(np.mean(oks >= thresholds))
    assert [stats[f'c12/{name}'] for name in ('AP', 'AP(M)')] == pytest.approx([0.8, 0.8])
    assert stats['c12/AP(E)'] == stats['c12/AP(H)'] == -1


def test_threshold_is_crossed_where_the_hand_says(tmp_path):
    """One labelled joint: the greatest distance that still has an OKS of 0.75."""
    ann = person(1, [11, HEAD, NECK])  # right ankle, COCO 16
    limit = math.sqrt(-2 * (2 * 0.089) ** 2 * AREA * math.log(0.75))
    for shift, expected in ((limit - 0.01, 1), (limit + 0.01, 0)):
        metric = build(annotations(tmp_path, [ann]))
        stats = evaluate(metric, [coco_pose(ann, j16=shift)])
        assert stats['c12/AP .75'] == pytest.approx(expected)


def test_persons_with_head_and_neck_alone_are_left_out(tmp_path):
    people = [person(1), person(2, [HEAD, NECK]), person(3, [])]
    assert [ann['num_keypoints'] for ann in people] == [12, 0, 0]
    stats = evaluate(build(annotations(tmp_path, people)), [coco_pose(people[0])])
    assert stats['c12/AP'] == pytest.approx(1)
    assert stats['c12/AR'] == pytest.approx(1)


def test_stock_converters_would_give_another_number(tmp_path):
    people = [person(1), person(2, [HEAD, NECK]), person(3, [])]
    path = annotations(tmp_path, people)
    stock = CocoMetric(
        path,
        use_area=False,
        iou_type='keypoints_crowd',
        pred_converter={'num_keypoints': 12, 'mapping': [(i + 5, i) for i in range(12)]},
        gt_converter={'num_keypoints': 12, 'mapping': [(i, i) for i in range(12)]},
    )
    stats = evaluate(stock, [coco_pose(people[0])])
    assert stats['coco/AR'] == pytest.approx(1 / 3)  # persons without a label count as missed
    assert stock.dataset_meta['sigmas'][4] == pytest.approx(0.035)  # a wrist with that of an ear


def test_score_of_a_person_is_of_the_shared_joints(tmp_path):
    ann = person(1)
    confidence = np.zeros(17)
    confidence[:5], confidence[5:] = 1.0, np.linspace(0.3, 0.85, 12)
    prefix = str(tmp_path / 'out')
    metric = build(annotations(tmp_path, [ann]), outfile_prefix=prefix)
    evaluate(metric, [coco_pose(ann)], [confidence])
    (entry,) = json.loads((tmp_path / 'out.keypoints.json').read_text())
    assert len(entry['keypoints']) == 36
    assert entry['score'] == pytest.approx(0.8 * confidence[5:].mean())


def test_all_shared_joints_of_a_crowdpose_model_itself(tmp_path):
    """With the same data set on both sides nothing is cut: the stock metric's numbers."""
    rng = np.random.default_rng(0)
    people = [person(1), person(2, [0, 1, 5, 9, HEAD]), person(3, [2, 3])]
    poses = [np.array(ann['keypoints']).reshape(14, 3)[:, :2] for ann in people]
    poses = [pose + rng.normal(0, 6, pose.shape) for pose in poses]
    confidence = rng.uniform(0.3, 1, (3, 14))
    path = annotations(tmp_path, people)
    options = {'use_area': False, 'iou_type': 'keypoints_crowd', 'prefix': 'c12'}
    ours = evaluate(build(path), poses, confidence, CROWDPOSE)
    stock = evaluate(CocoMetric(path, **options), poses, confidence, CROWDPOSE)
    assert ours == stock
    assert 0 < ours['c12/AP'] < 1


def test_a_crowdpose_model_over_the_same_twelve(tmp_path):
    """The same twelve joints give the same numbers, whichever data set the model is of."""
    people = [person(1), person(2, [0, 1, 5, 9, HEAD])]
    path = annotations(tmp_path, people)
    rng = np.random.default_rng(0)
    own, coco = [], []
    for ann in people:
        pose = np.full((14, 2), 500.0)
        pose[:12] = coco_pose(ann)[5:] + rng.normal(0, 8, (12, 2))
        own.append(pose)
        coco.append(np.concatenate([np.full((5, 2), 999.0), pose[:12]]))
    metric = build(path, exclude=['top_head', 'neck'])
    stats = evaluate(metric, own, np.full((2, 14), 0.5), CROWDPOSE)
    assert metric.dataset_meta['num_keypoints'] == 12
    assert stats == evaluate(build(path), coco)
    assert 0 < stats['c12/AP'] < 1
    assert evaluate(build(path), own, np.full((2, 14), 0.5), CROWDPOSE) != stats


def test_wrong_use_is_refused(tmp_path):
    path = annotations(tmp_path, [person(1)])
    with pytest.raises(UserError, match='leave gt_converter out'):
        build(path, gt_converter={})
    with pytest.raises(UserError, match=r"exclude has \['nose'\], which 'crowdpose' has not"):
        build(path, exclude=['nose'])
    with pytest.raises(UserError, match=r'42 numbers.*expected 51.*coco.*17 joints'):
        JointSubsetCocoMetric(path, COCO)
    with pytest.raises(UserError, match='share no joint'):
        build(path).dataset_meta = meta({'from_file': 'configs/_base_/datasets/wflw.py'})
