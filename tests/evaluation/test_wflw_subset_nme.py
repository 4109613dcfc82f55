"""NME per WFLW subset: numbers by hand, matching of faces, files that are wrong, two processes."""

import json
import multiprocessing
import os

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.evaluation.metrics import NME
from mmpose.registry import DATASETS, METRICS

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.wflw_subset_nme import WFLWSubsetNME, match_faces, read_faces

META = {'dataset_name': 'drawn', 'keypoint_id2name': {0: 'a', 1: 'b', 2: 'c'}}


def face(x, image='a.jpg', size=10.0):
    """Three landmarks; the first two are the eye corners, ``size`` apart."""
    return image, np.array([[x, 0.0], [x + size, 0.0], [x, 5.0]])


def write(path, faces, visible=2):
    """The faces as a COCO keypoint file, with its own numbers of images and annotations."""
    names = sorted({name for name, _ in faces})
    annotations = [
        {
            'id': 100 + number,
            'image_id': 7 + names.index(name),
            'category_id': 1,
            'keypoints': np.c_[points, np.full(len(points), visible)].ravel().tolist(),
        }
        for number, (name, points) in enumerate(faces)
    ]
    images = [{'id': 7 + i, 'file_name': name} for i, name in enumerate(names)]
    categories = [{'id': 1, 'name': 'face'}]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    path.write_text(json.dumps(content))
    return str(path)


def sample(face, error=0.0, visible=(1, 1, 1)):
    """What the evaluator hands over for one face, predicted ``error`` px to the right."""
    name, points = face
    return {
        'img_path': f'/data/wflw/images/{name}',
        'gt_instances': {
            'keypoints': points[None].astype(np.float32),
            'keypoints_visible': np.array([visible], dtype=np.float32),
        },
        'pred_instances': {'keypoints': (points + np.array([error, 0]))[None].astype(np.float32)},
    }


def evaluate(metric, samples):
    metric.dataset_meta = META
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def drawn(subsets, **kwargs):
    return WFLWSubsetNME(subsets, keypoint_indices=(0, 1), **kwargs)


def test_by_hand(tmp_path):
    # Eye corners 10, 10 and 20 px apart, off by 1, 3 and 4 px: 0.1, 0.3 and 0.2.
    faces = [face(0), face(100), face(0, 'b.jpg', size=20.0)]
    near = write(tmp_path / 'near.json', [faces[2], faces[0]])
    far = write(tmp_path / 'far.json', [faces[1]])
    samples = [sample(f, error) for f, error in zip(faces, (1, 3, 4), strict=True)]
    result = evaluate(drawn({'near': near, 'far': far}), samples)
    assert list(result) == ['NME', 'NME_near', 'NME_far']
    assert result == pytest.approx({'NME': 0.2, 'NME_near': 0.15, 'NME_far': 0.3})


def test_mean_is_over_labelled_landmarks(tmp_path):
    # 3 landmarks at 0.1 and 1 at 0.4, not the mean of two faces' means.
    faces = [face(0), face(50)]
    path = write(tmp_path / 'all.json', faces)
    samples = [sample(faces[0], 1), sample(faces[1], 4, visible=(1, 0, 0))]
    result = evaluate(drawn({'all': path}), samples)
    assert result == pytest.approx({'NME': 0.7 / 4, 'NME_all': 0.7 / 4})


def test_whole_set_is_stock_nme():
    rng = np.random.default_rng(0)
    faces = [('a.jpg', rng.uniform(0, 50, (3, 2))) for _ in range(20)]
    samples = [sample(f, rng.normal()) for f in faces]
    stock = NME('keypoint_distance', keypoint_indices=(0, 1))
    assert evaluate(drawn({}), samples) == evaluate(stock, samples)


def test_faces_of_one_image_are_told_apart(tmp_path):
    # Close by, rounded to a tenth of a pixel, in another order and under another folder.
    faces = [face(x + 0.04) for x in (0, 3, 6)]
    rounded = [(f'36--Football/{name}', np.round(points, 1)) for name, points in faces]
    path = write(tmp_path / 'two.json', [rounded[2], rounded[1]])
    samples = [sample(f, error) for f, error in zip(faces, (9, 2, 4), strict=True)]
    assert evaluate(drawn({'two': path}), samples)['NME_two'] == pytest.approx(0.3)


def test_a_face_that_is_listed_twice_takes_two_tested_ones():
    listed = [(name, np.c_[points, [1, 1, 1]]) for name, points in (face(0), face(0))]
    assert sorted(match_faces(listed, [face(0), face(0), face(9)], 'x.json')) == [0, 1]
    with pytest.raises(UserError, match=r'1 of the 2 faces in subset file x\.json .* a\.jpg'):
        match_faces(listed, [face(0), face(9)], 'x.json')


def test_another_face_is_a_pixel_away():
    listed = [('a.jpg', np.c_[face(0)[1], [1, 1, 1]])]
    assert match_faces(listed, [face(1.5), face(0.9)], 'x.json') == [1]
    with pytest.raises(UserError, match=r'1 of the 1 faces in subset file x\.json'):
        match_faces(listed, [face(1.1)], 'x.json')


@pytest.mark.parametrize('other', [face(1.5), face(0, 'b.jpg')])
def test_a_face_that_was_not_tested_is_an_error(tmp_path, other):
    path = write(tmp_path / 'blur.json', [face(0), other])
    with pytest.raises(UserError, match=r'1 of the 2 faces in subset file .*blur\.json'):
        evaluate(drawn({'blur': path}), [sample(face(0)), sample(face(300, 'b.jpg'))])


def test_another_number_of_landmarks_is_an_error(tmp_path):
    path = write(tmp_path / 'blur.json', [('a.jpg', np.zeros((68, 2)))])
    with pytest.raises(UserError, match=r'68 landmarks in subset file .*blur\.json, but 3'):
        evaluate(drawn({'blur': path}), [sample(face(0))])


def test_missing_files_are_named_and_left_out(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        'rlepose_ext.evaluation.wflw_subset_nme.print_log', lambda text, **_: told.append(text)
    )
    path = write(tmp_path / 'blur.json', [face(0)])
    metric = drawn({'pose': str(tmp_path / 'no.json'), 'blur': path})
    (text,) = told
    assert f'NME_pose ({tmp_path / "no.json"})' in text
    assert 'blur' not in text
    assert list(evaluate(metric, [sample(face(0))])) == ['NME', 'NME_blur']


IMAGE = {'id': 1, 'file_name': 'a.jpg'}
FACE = {'id': 3, 'image_id': 1}


@pytest.mark.parametrize(('content', 'message'), [
    ('face_landmarks,1,2', 'cannot be read as JSON'),
    ([1, 2], 'holds a JSON list'),
    ({'annotations': []}, "has no 'images'"),
    ({'images': [IMAGE], 'annotations': []}, 'no annotation'),
    ({'images': [IMAGE], 'annotations': [FACE]}, 'annotation 3 .* has no keypoints'),
    ({'images': [{'id': 1}], 'annotations': [FACE | {'keypoints': [1, 2, 3]}]}, 'no file_name'),
    ({'images': [IMAGE], 'annotations': [FACE | {'keypoints': ['a', 2, 3]}]}, 'no numbers'),
    ({'images': [IMAGE], 'annotations': [FACE | {'keypoints': [{}, 2, 3]}]}, 'no numbers'),
])  # fmt: skip
def test_a_damaged_file_is_named(tmp_path, content, message):
    path = tmp_path / 'blur.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=message) as error:
        drawn({'blur': str(path)})
    assert str(path) in str(error.value)


@pytest.mark.parametrize('subsets', ['blur.json', ['blur.json'], {'blur': None}, {3: 'x.json'}])
def test_subsets_must_be_named(subsets):
    with pytest.raises(UserError, match=r'expects subsets=dict\(pose=PATH'):
        drawn(subsets)


def test_sample_without_path_is_an_error():
    with pytest.raises(UserError, match='meta_keys of PackPoseInputs'):
        evaluate(drawn({}), [{k: v for k, v in sample(face(0)).items() if k != 'img_path'}])


def one_of_two(rank, folder, path, queue):
    """What one process does: every second of five faces, the last one padded."""
    os.chdir(folder)  # results are exchanged through files in the working folder
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    faces = [face(20 * i) for i in range(5)]
    indices = (0, 2, 4) if rank == 0 else (1, 3, 0)
    metric = drawn({'odd': path})
    metric.dataset_meta = META
    metric.process({}, [sample(faces[i], i) for i in indices])
    queue.put((rank, metric.evaluate(5)))


def test_two_processes(tmp_path):
    path = write(tmp_path / 'odd.json', [face(20), face(60)])
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    both = [
        context.Process(target=one_of_two, args=(rank, tmp_path, path, queue)) for rank in (0, 1)
    ]
    for process in both:
        process.start()
    try:
        results = dict(queue.get(timeout=60) for _ in both)
    finally:
        for process in both:
            process.terminate()
            process.join()
    # Errors of 0, 1, 2, 3, 4 px over 10 px, each face once; 1 and 3 are in the subset.
    assert results[0] == pytest.approx({'NME': 0.2, 'NME_odd': 0.2})
    assert results[1] == results[0]


def test_on_wflw_samples(shared, tmp_path):
    """Four real faces through MMPose's data set; three are of one image."""
    init_default_scope('mmpose')
    folder = shared / 'data' / 'mmpose_samples' / 'wflw'
    content = json.loads((folder / 'test_wflw.json').read_text())
    anns = content['annotations']
    paths = {}
    for name, members in {'pose': [2], 'blur': [0, 3], 'makeup': [1, 2, 3]}.items():
        path = tmp_path / f'face_landmarks_wflw_test_{name}.json'
        chosen = [{**anns[i], 'id': 900 + i} for i in reversed(members)]
        path.write_text(json.dumps({**content, 'annotations': chosen}))
        paths[name] = str(path)
    dataset = DATASETS.build(
        Config(
            dict(
                type='WFLWDataset',
                ann_file=str(folder / 'test_wflw.json'),
                data_prefix=dict(img=str(folder) + '/'),
                test_mode=True,
                pipeline=[
                    dict(type='LoadImage'),
                    dict(type='GetBBoxCenterScale'),
                    dict(type='TopdownAffine', input_size=(64, 64)),
                    dict(type='PackPoseInputs'),
                ],
            )
        )
    )
    metric = METRICS.build(dict(type='rlepose_ext.WFLWSubsetNME', subsets=paths))
    metric.dataset_meta = dataset.metainfo
    # Face i is off by (i + 1) hundredths of its own eye distance, in both directions.
    for i, packed in enumerate(dataset):
        data = packed['data_samples'].to_dict()
        points = data['gt_instances']['keypoints']
        unit = np.linalg.norm(points[:, 60] - points[:, 72])
        data['pred_instances'] = {'keypoints': points + 0.01 * (i + 1) * unit * np.sqrt(0.5)}
        metric.process({}, [data])
    assert len(metric.results) == 4
    assert metric.evaluate(4) == pytest.approx(
        {'NME': 0.025, 'NME_pose': 0.03, 'NME_blur': 0.025, 'NME_makeup': 0.03}, rel=1e-4
    )
    (name, landmarks), *_ = read_faces(paths['pose'])
    assert name == '7_Cheering_Cheering_7_16.jpg'
    assert landmarks.shape == (98, 3)
