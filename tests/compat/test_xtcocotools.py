"""The stand-in for xtcocotools against pycocotools, hand-computed values and the real package.

``GOLDEN`` was written by the real xtcocotools 1.14.3, compiled from source, on ``drawn_scene``.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO as PyCOCO
from pycocotools.cocoeval import COCOeval as PyCOCOeval

from rlepose_ext.compat.xtcocotools.coco import COCO
from rlepose_ext.compat.xtcocotools.cocoeval import COCOeval
from rlepose_ext.errors import UserError

FIELDS = {
    'keypoints': 17, 'foot_kpts': 6, 'face_kpts': 68, 'lefthand_kpts': 21, 'righthand_kpts': 21,
}  # fmt: skip
JOINTS = {'keypoints': 17, 'keypoints_crowd': 17, 'keypoints_body': 17, 'keypoints_foot': 6}
JOINTS |= {'keypoints_face': 68, 'keypoints_lefthand': 21, 'keypoints_righthand': 21}
JOINTS['keypoints_wholebody'] = 133
# type -> use_area -> stats
GOLDEN: dict = json.loads((Path(__file__).parent / 'xtcocotools_golden.json').read_text())


def drawn_scene(seed: int = 7, images: int = 20) -> tuple[dict, list[dict]]:
    """People with whole-body joints, and detections near them; RandomState never changes."""
    rng = np.random.RandomState(seed)
    gt = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'person'}]}
    detections = []
    for image in range(images):
        crowd = float(rng.choice([0.05, 0.2, 0.5, 0.8, 0.95]))
        gt['images'].append({'id': image, 'width': 640, 'height': 480, 'crowdIndex': crowd})
        for _ in range(rng.randint(1, 5)):
            x, y, w, h = rng.uniform([0, 0, 20, 20], [400, 300, 250, 250])
            ann = {
                'id': len(gt['annotations']),  # from 0 on: pycocotools never matches id 0
                'image_id': image,
                'category_id': 1,
                'bbox': [x, y, w, h],
                'area': w * h * rng.uniform(0.3, 0.8),
                'iscrowd': int(rng.rand() < 0.08),
            }
            found = []
            for _ in range(rng.randint(0, 3)):
                found.append({'image_id': image, 'category_id': 1, 'score': round(rng.rand(), 1)})
                found[-1]['spread'] = rng.choice([0.01, 0.05, 0.15])
            labelled = rng.choice([0.0, 0.3, 1.0], p=[0.1, 0.3, 0.6])
            best = rng.choice([2, 3])  # half of the people: labelled, yet nothing visible
            for field, count in FIELDS.items():
                visible = (rng.rand(count) < labelled) * rng.randint(1, best, count)
                xy = rng.uniform([x, y], [x + w, y + h], (count, 2)) * (visible > 0)[:, None]
                ann[field] = np.column_stack([xy, visible]).ravel().tolist()
                if field == 'keypoints':
                    ann['num_keypoints'] = int((visible == 2).sum())
                for detection in found:
                    near = xy + rng.normal(0, detection['spread'] * math.sqrt(w * h), xy.shape)
                    score = rng.rand(count) * (rng.rand() > 0.1)
                    detection[field] = np.column_stack([near, score]).ravel().tolist()
                    if image % 2 and field != 'keypoints':
                        detection[field.replace('kpts', 'score')] = float(rng.rand())
            gt['annotations'].append(ann)
            detections += found
    return gt, detections


def stats(gt, detections, kind, sigmas=None, use_area=True):
    reader = COCO(ann_data=json.loads(json.dumps(gt)))
    results = reader.loadRes(json.loads(json.dumps(detections)))
    evaluation = COCOeval(reader, results, kind, sigmas, use_area)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert len(evaluation.stats) == len(evaluation.stats_names)
    return dict(zip(evaluation.stats_names, evaluation.stats, strict=True))


def one_person(distance, labelled=(0, 1), area=400.0, joints=2):
    """A person whose first joint is detected ``distance`` px off, the others exactly."""
    keypoints = np.zeros((joints, 3))
    keypoints[:, :2] = 50 + 10 * np.arange(joints)[:, None]
    keypoints[list(labelled), 2] = 2
    found = keypoints.copy()
    found[0, 0] += distance
    found[:, 2] = 0.5
    person = {'id': 1, 'image_id': 1, 'category_id': 1, 'iscrowd': 0, 'area': area}
    person |= {'bbox': [40, 40, 20, 40], 'keypoints': keypoints.ravel().tolist()}
    gt = {'images': [{'id': 1}], 'annotations': [person], 'categories': [{'id': 1, 'name': 'p'}]}
    detection = {'image_id': 1, 'category_id': 1, 'score': 0.9}
    return gt, [detection | {'keypoints': found.ravel().tolist()}]


def oks(gt, detections, sigmas, use_area=True):
    reader = COCO(ann_data=gt)
    evaluation = COCOeval(reader, reader.loadRes(detections), 'keypoints', sigmas, use_area)
    evaluation.evaluate()
    return evaluation.ious[1, 1][0, 0]


def test_oks_by_hand():
    # d = 4, sigma = 0.1, area = 400: exp(-16 / (2 * 0.2^2 * 400)) = exp(-0.5); the other is 1.
    scene = one_person(distance=4)
    assert oks(*scene, sigmas=[0.1, 0.1]) == pytest.approx((math.exp(-0.5) + 1) / 2, abs=1e-12)
    # Only the labelled joint counts.
    scene = one_person(distance=4, labelled=[0])
    assert oks(*scene, sigmas=[0.1, 0.3]) == pytest.approx(math.exp(-0.5), abs=1e-12)
    # Without areas: 0.53 * 20 * 40 = 424 px^2.
    scene = one_person(distance=4, labelled=[0])
    expected = math.exp(-16 / (2 * 0.04 * 424))
    assert oks(*scene, sigmas=[0.1, 0.1], use_area=False) == pytest.approx(expected, abs=1e-12)


def test_ap_follows_the_thresholds():
    # OKS = exp(-0.5) = 0.607 of the only joint passes 0.5, 0.55, 0.6: 3 thresholds of 10.
    result = stats(*one_person(distance=4, labelled=[0]), 'keypoints', sigmas=[0.1, 0.1])
    assert result['AP'] == pytest.approx(0.3)
    assert result['AP .5'] == pytest.approx(1)
    assert result['AP .75'] == 0
    assert result['AR'] == pytest.approx(0.3)
    # 400 px^2 is below 32^2: neither medium nor large.
    assert result['AP (M)'] == result['AP (L)'] == -1


@pytest.mark.parametrize('kind', JOINTS)
def test_perfect_predictions(kind):
    gt, _ = drawn_scene()
    # Persons with nothing labelled are not to be found: detections of them would be wrong.
    gt['annotations'] = [
        ann
        for ann in gt['annotations']
        if ann['num_keypoints'] and all(any(ann[field][2::3]) for field in FIELDS)
    ]
    exact = []
    for ann in gt['annotations']:
        ann['iscrowd'] = 0
        detection = {'image_id': ann['image_id'], 'category_id': 1, 'score': 0.9}
        for field in FIELDS:
            joints = np.array(ann[field]).reshape(-1, 3)
            joints[:, 2] = 0.9
            detection[field] = joints.ravel().tolist()
        exact.append(detection)
    sigmas = np.full(JOINTS[kind], 0.05)
    result = stats(gt, exact, kind, sigmas)
    assert result['AP'] == pytest.approx(1)
    assert result['AR'] == pytest.approx(1)


def test_parity_with_pycocotools():
    """Where both mean the same: ids from 1 on, num_keypoints of all labelled joints."""
    gt, detections = drawn_scene(seed=3, images=20)
    for ann in gt['annotations']:
        ann['id'] += 1
        ann['num_keypoints'] = int(np.count_nonzero(np.array(ann['keypoints'])[2::3]))
    detections = [d for d in detections if np.any(np.array(d['keypoints'])[2::3] > 0)]
    ours = stats(gt, detections, 'keypoints')

    reader = PyCOCO()
    reader.dataset = gt
    reader.createIndex()
    peer = PyCOCOeval(reader, reader.loadRes(detections), 'keypoints')
    peer.evaluate()
    peer.accumulate()
    peer.summarize()
    np.testing.assert_allclose(list(ours.values()), peer.stats, atol=1e-12)
    assert 0.05 < ours['AP'] < 0.95


@pytest.mark.parametrize('use_area', [True, False])
@pytest.mark.parametrize('kind', JOINTS)
def test_numbers_of_the_real_package(kind, use_area):
    sigmas = np.linspace(0.03, 0.1, JOINTS[kind])
    result = stats(*drawn_scene(), kind, sigmas, use_area)
    np.testing.assert_allclose(list(result.values()), GOLDEN[kind][str(use_area)], atol=1e-9)


def test_crowd_levels_split_at_their_limits():
    gt, detections = drawn_scene()
    for image in gt['images']:
        image['crowdIndex'] = 0.8  # the limit itself is hard
    result = stats(gt, detections, 'keypoints_crowd')
    assert result['AP(E)'] == result['AP(M)'] == -1
    assert result['AP(H)'] == pytest.approx(result['AP'], abs=5e-5)


def test_id_zero_is_matched_and_silent_detections_are_dropped():
    gt, detections = one_person(distance=0)
    gt['annotations'][0]['id'] = 0
    assert stats(gt, detections, 'keypoints', [0.1, 0.1])['AP'] == pytest.approx(1)
    # A detection of a better score, all joints with score 0, would else be a false positive.
    silent = json.loads(json.dumps(detections[0]))
    silent |= {'score': 0.99, 'keypoints': [500.0, 500.0, 0.0] * 2}
    assert stats(gt, [silent, *detections], 'keypoints', [0.1, 0.1])['AP'] == pytest.approx(1)


def test_ids_of_text_and_some_of_the_joints(tmp_path):
    gt, _ = one_person(distance=0, joints=3)
    gt['images'][0]['id'] = gt['annotations'][0]['image_id'] = 'a string'
    path = tmp_path / 'gt.json'
    path.write_text(json.dumps(gt))
    reader = COCO(str(path), test_index=[2, 0])
    assert reader.loadImgs('a string')[0]['id'] == 'a string'
    (ann,) = reader.loadAnns(reader.getAnnIds(imgIds='a string'))
    assert ann['keypoints'][::3] == [70, 50]


@pytest.mark.parametrize(('kind', 'sigmas', 'drop', 'said'), [
    ('keypoints', None, None, r'6 numbers.*17 sigmas'),
    ('keypoints_wholebody', None, None, 'foot_kpts'),
    ('keypoints_crowd', [0.1, 0.1], None, 'crowdIndex'),
    ('keypoints', [0.1, 0.1], 'area', 'use_area=False'),
])  # fmt: skip
def test_errors_name_the_cause(kind, sigmas, drop, said):
    gt, detections = one_person(distance=0)
    gt['annotations'][0]['num_keypoints'] = 2
    gt['annotations'][0].pop(drop, None)
    with pytest.raises(UserError, match=said):
        stats(gt, detections, kind, sigmas)


REPORT = """
import rlepose_ext, sys
assert 'numpy' not in sys.modules
import xtcocotools, xtcocotools.mask
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval
from rlepose_ext.compat.xtcocotools import PATCH
print(COCO.__module__, COCOeval.__module__, hasattr(xtcocotools.mask, 'frPyObjects'))
print(PATCH.status())
"""


def report(path, files):
    package = path / 'xtcocotools'
    package.mkdir()
    for name, text in files.items():
        (package / name).write_text(text)
    command = f'import sys; sys.path.insert(0, {str(path)!r})' + REPORT
    done = subprocess.run(
        [sys.executable, '-c', command], check=True, capture_output=True, text=True
    )
    return done.stdout


BROKEN = "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility')"
STAND_IN = 'rlepose_ext.compat.xtcocotools.coco rlepose_ext.compat.xtcocotools.cocoeval True\n'


@pytest.mark.parametrize('files', [
    {'__init__.py': BROKEN},
    {'__init__.py': '', 'mask.py': 'from . import _mask', '_mask.py': BROKEN},
    {'__init__.py': '', 'mask.py': '', 'coco.py': '', 'cocoeval.py': 'import no_such_thing'},
], ids=['package', 'compiled part', 'missing dependency'])  # fmt: skip
def test_broken_installation(tmp_path, files):
    out = report(tmp_path, files)
    assert out.startswith(STAND_IN)
    assert 'installed but broken: ' in out


def test_working_installation_is_used(tmp_path):
    real = {'__init__.py': '', 'mask.py': '', 'coco.py': 'class COCO: pass'}
    out = report(tmp_path, real | {'cocoeval.py': 'class COCOeval: pass'})
    assert out.startswith('xtcocotools.coco xtcocotools.cocoeval False\n')
    assert 'not needed' in out


def test_a_file_without_results(tmp_path):
    """What a model writes that finds nobody."""
    truth = tmp_path / 'truth.json'
    truth.write_text('{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1}]}')
    reader = COCO(str(truth))
    (tmp_path / 'results.json').write_text('[]')
    for path in (tmp_path / 'results.json', str(tmp_path / 'results.json')):
        assert reader.loadRes(path).getAnnIds() == []
    gt, _ = one_person(distance=0)
    assert stats(gt, [], 'keypoints', [0.1, 0.1])['AP'] == 0
