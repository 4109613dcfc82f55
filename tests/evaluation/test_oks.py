"""OKS against numbers worked out by hand and against COCO's own evaluation."""

import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rlepose_ext.evaluation.oks import object_keypoint_similarity

SIGMAS = np.array([0.1, 0.05])


def test_by_hand():
    truth = np.zeros((1, 2, 2))
    # d = 5, k = 0.2, area = 100: exp(-25 / (2 * 0.04 * 100)); the other joint is exact.
    oks = object_keypoint_similarity([[[3, 4], [0, 0]]], truth, [[1, 1]], SIGMAS, [100.0])
    assert oks == pytest.approx([(math.exp(-25 / 8) + 1) / 2])


def test_unlabelled_joints_do_not_count():
    truth = np.array([[[0.0, 0.0], [np.nan, np.inf]]])
    oks = object_keypoint_similarity([[[3, 4], [9, 9]]], truth, [[1, 0]], SIGMAS, [100.0])
    assert oks == pytest.approx([math.exp(-25 / 8)])
    nothing = object_keypoint_similarity([[[3, 4], [9, 9]]], truth, [[0, 0]], SIGMAS, [100.0])
    assert np.isnan(nothing).all()


@pytest.mark.parametrize(
    ('area', 'error', 'low', 'high'),
    [(4000.0, 5, 0.2, 0.95), (0.0, 5, 0, 0), (0.0, 0, 1, 1)],
    ids=['usual', 'no area', 'no area, exact'],
)
def test_equals_coco(capsys, area, error, low, high):
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (17, 2))
    visible = np.r_[np.full(12, 2), np.zeros(5)].astype(int)
    predicted = truth + rng.normal(0, 1, (17, 2)) * error
    person = {'id': 1, 'image_id': 1, 'category_id': 1, 'iscrowd': 0, 'area': area}
    person |= {'bbox': [0, 0, 100, 100], 'num_keypoints': 12}
    person['keypoints'] = np.c_[truth, visible].ravel().tolist()
    coco = COCO()
    coco.dataset = {
        'info': {},
        'images': [{'id': 1}],
        'annotations': [person],
        'categories': [{'id': 1}],
    }
    coco.createIndex()
    result = {'image_id': 1, 'category_id': 1, 'score': 1.0}
    result['keypoints'] = np.c_[predicted, np.ones(17)].ravel().tolist()
    evaluation = COCOeval(coco, coco.loadRes([result]), 'keypoints')
    evaluation.evaluate()
    expected = evaluation.ious[1, 1][0, 0]
    ours = object_keypoint_similarity(
        predicted[None], truth[None], visible[None] > 0, evaluation.params.kpt_oks_sigmas, [area]
    )
    assert low <= expected <= high
    assert ours == pytest.approx([expected])
