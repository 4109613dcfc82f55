"""MoveNet through the front doors: persons in annotated boxes, and found in whole pictures."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib import cbook
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import MODELS

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.oks import object_keypoint_similarity
from rlepose_ext.geometry.crops import AREA_OF_BOX
from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.boxes import find_boxes, overlaps
from rlepose_ext.inference.multipose import MODEL, MultiPose
from rlepose_ext.zoo import find
from rlepose_ext.zoo.weights import fetch

sys.path.insert(0, str(Path(__file__).parents[1]))
from movenet_weights import model_json


@pytest.fixture
def persons(shared):
    """The annotated persons of MMPose's pictures of COCO: picture, box xyxy, joints."""
    folder = shared / 'data/mmpose_samples/coco'
    content = json.loads((folder / 'test_coco.json').read_text())
    names = {image['id']: folder / image['file_name'] for image in content['images']}
    found = []
    for each in content['annotations']:
        if each['num_keypoints']:
            x, y, width, height = each['bbox']
            joints = np.reshape(each['keypoints'], (17, 3))
            found.append((str(names[each['image_id']]), [x, y, x + width, y + height], joints))
    return found


def similarity(keypoints, box, joints, sigmas):
    area = AREA_OF_BOX * (box[2] - box[0]) * (box[3] - box[1])
    (value,) = object_keypoint_similarity(
        keypoints[None], joints[None, :, :2], joints[None, :, 2] > 0, sigmas, np.array([area])
    )
    return value


@pytest.mark.parametrize(
    ('arch', 'config', 'least'),
    [
        ('lightning', 'movenet_lightning_8xb64-120e_coco-192x192', 0.79),
        pytest.param(
            'thunder',
            'movenet_thunder_8xb64-120e_coco-256x256',
            0.85,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_mean_similarity_of_twelve_persons(arch, config, least, persons):
    model_json(arch)
    estimate = PoseEstimator(config, device='cpu')
    assert 'fused' in estimate.done
    found = []
    for path, box, joints in persons:
        result = estimate(path, [box])
        found.append(similarity(result.keypoints[0], box, joints, result.meta['sigmas']))
    assert len(found) == 12
    assert np.mean(found) >= least


@pytest.mark.slow
def test_average_precision_of_the_config_s_own_test(shared, tmp_path):
    """On MMPose's pictures of COCO, as `mim test` evaluates it."""
    folder = shared / 'data/mmpose_samples/coco'
    model_json('multipose')
    config = Config.fromfile(find(MODEL).path)
    config.model.backbone.pop('init_cfg', None)
    loader = config.test_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.update(ann_file='test_coco.json', data_root=str(folder), data_prefix={'img': ''})
    config.test_evaluator.ann_file = str(folder / 'test_coco.json')
    config.load_from = str(fetch(find(MODEL)))
    config.work_dir = str(tmp_path)
    assert Runner.from_cfg(config).test()['coco/AP'] >= 0.62


@pytest.mark.slow
def test_multipose_finds_them_by_itself(persons):
    model_json('multipose')
    find = MultiPose(device='cpu')
    paths = sorted({path for path, _, _ in persons})
    pictures = [cv2.imread(path) for path in paths]
    results = dict(zip(paths, find.predict(pictures), strict=True))
    values = []
    for path, box, joints in persons:
        result = results[path]
        overlap = overlaps(np.float32([box]), result.boxes)[0]
        best = overlap.argmax()
        value = similarity(result.keypoints[best], box, joints, find.meta['sigmas'])
        values.append(value if overlap[best] > 0.5 else 0)
    assert np.mean(values) >= 0.82
    # as a detector: the same boxes, and a batch gives what its pictures do
    found = find_boxes(find, pictures, paths)
    for picture, path, (boxes, scores) in zip(pictures, paths, found, strict=True):
        np.testing.assert_array_equal(boxes, results[path].boxes)
        assert (np.diff(scores) <= 0).all()
        assert (scores > 0.2).all()
        (alone,) = find.predict([picture])
        np.testing.assert_allclose(alone.boxes, boxes, atol=0.05)


def test_a_portrait_is_found_in_a_small_copy():
    model_json('multipose')
    with cbook.get_sample_data('grace_hopper.jpg') as stream:
        picture = cv2.imread(stream.name)
    find = MultiPose(device='cpu')
    (found,) = find.predict([picture])
    assert len(found) == 1
    assert overlaps(found.boxes, [[8, 20, 512, 591]])[0, 0] > 0.95
    # the face is where it is, in image px: nose, eyes
    expected = [[271, 221], [305, 195], [239, 193]]
    np.testing.assert_allclose(found.keypoints[0, :3], expected, atol=25)
    (nobody,) = MultiPose(device='cpu', close_side=None).predict([picture])
    assert len(nobody) == 0


def test_odd_pictures():
    model_json('multipose')
    find = MultiPose(device='cpu')
    strange = [np.zeros(shape, np.uint8) for shape in ((1, 1, 3), (3, 900, 3), (700, 33, 3))]
    for nobody in find(strange):
        assert nobody.boxes.shape == (0, 4)
        assert nobody.scores.shape == (0, 17)
    assert find([]) == []


def test_another_model(tmp_path, root):
    config = Config.fromfile(
        root / 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
    )
    init_default_scope('mmpose')
    state = MODELS.build(config.model).state_dict()
    torch.save({'state_dict': state, 'meta': {}}, tmp_path / 'other.pth')
    with pytest.raises(UserError, match='expected a MoveNet MultiPose model'):
        MultiPose(config, tmp_path / 'other.pth')
    for wrong in ({'longer_side': 0}, {'batch_size': 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            MultiPose(MODEL, tmp_path / 'other.pth', **wrong)
