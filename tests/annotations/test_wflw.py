"""WFLW's lists to MMPose's json: by hand, against MMPose's sample, and the six subsets."""

import json

import cv2
import numpy as np
import pytest

from rlepose_ext.annotations import wflw
from rlepose_ext.annotations.catalogue import WFLW_SUBSETS
from rlepose_ext.errors import UserError


def line(landmarks, flags='000000', name='0--Parade/a.jpg'):
    numbers = [f'{number:.6f}' for number in np.ravel(landmarks)]
    return ' '.join([*numbers, '1', '2', '30', '40', *flags, name])


def square(x, y, side):
    """98 landmarks of which the outermost span a square."""
    t = np.linspace(0, 1, 98)
    return np.column_stack([x + side * t, y + side * t[::-1]])


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    for name in ('0--Parade/a.jpg', '1--Walk/b.jpg'):
        (folder / name).parent.mkdir(parents=True)
        cv2.imwrite(str(folder / name), np.zeros((120, 200, 3), np.uint8))
    return folder


@pytest.fixture
def test_list(tmp_path):
    path = tmp_path / 'list_98pt_rect_attr_test.txt'

    def write(*lines):
        path.write_text('\n'.join(lines) + '\n')
        return path

    return write


FACES = (
    line(square(10.25, 20.5, 50), '100010'),
    line(square(100, 40, 60), '010010'),
    line(square(5, 2, 30), '001101', '1--Walk/b.jpg'),
)


def test_by_hand(test_list, images, tmp_path):
    result = wflw.convert(test_list(*FACES), images, tmp_path / 'out')
    main = tmp_path / 'out/face_landmarks_wflw_test.json'
    assert result.files[main] == (2, 3)
    content = json.loads(main.read_text())
    assert content['images'] == [
        {'id': 1, 'file_name': '0--Parade/a.jpg', 'width': 200, 'height': 120},
        {'id': 2, 'file_name': '1--Walk/b.jpg', 'width': 200, 'height': 120},
    ]
    first, second, third = content['annotations']
    # landmarks from (10.25, 20.5) to (60.25, 70.5); whole px from (10, 20) to (61, 71)
    assert first['center'] == [35.5, 45.5]
    assert first['scale'] == pytest.approx(51 / 200)
    assert first['bbox'] == pytest.approx([5.25, 15.5, 60, 60])
    assert first['area'] == pytest.approx(3600)
    assert first['keypoints'][:3] == [10.25, 70.5, 1]
    assert (first['iscrowd'], first['num_keypoints']) == (0, 98)
    assert second['image_id'] == 1
    assert second['scale'] == pytest.approx(60 / 200)
    # cut at the upper border of the image
    assert third['bbox'] == pytest.approx([2, 0, 36, 35])


def test_subsets_are_parts_of_the_test(test_list, images, tmp_path):
    wflw.convert(test_list(*FACES), images, tmp_path)
    whole = json.loads((tmp_path / 'face_landmarks_wflw_test.json').read_text())
    expected = {
        'largepose': [1], 'expression': [2], 'illumination': [3], 'makeup': [3],
        'occlusion': [1, 2], 'blur': [3],
    }  # fmt: skip
    assert set(expected) == set(WFLW_SUBSETS)
    for name, ids in expected.items():
        subset = json.loads((tmp_path / f'face_landmarks_wflw_test_{name}.json').read_text())
        assert [face['id'] for face in subset['annotations']] == ids
        assert subset['annotations'] == [whole['annotations'][i - 1] for i in ids]
        assert {image['id'] for image in subset['images']} == {
            face['image_id'] for face in subset['annotations']
        }


def test_training_has_no_subsets(images, tmp_path):
    path = tmp_path / 'list_98pt_rect_attr_train.txt'
    path.write_text('\n'.join(FACES))
    result = wflw.convert(path, images, tmp_path)
    assert list(result.files) == [tmp_path / 'face_landmarks_wflw_train.json']


@pytest.mark.parametrize(('bad', 'said'), [
    ('1 2 3 a.jpg', 'line 2: 4 columns, expected 207'),
    (FACES[0].replace('10.250000', 'x'), 'line 2: could not convert'),
    (FACES[0].replace('10.250000', 'nan'), 'line 2: a number is not finite'),
    (line(square(1, 2, 3), '000002'), 'expected 0 or 1'),
    (line(square(1, 2, 3), name='c.jpg'), 'c.jpg is missing'),
])  # fmt: skip
def test_bad_lines_are_named_and_nothing_is_written(test_list, images, tmp_path, bad, said):
    path = test_list(FACES[0], bad)
    with pytest.raises(UserError, match='--skip-bad') as error:
        wflw.convert(path, images, tmp_path / 'out')
    assert said in str(error.value)
    assert not (tmp_path / 'out').exists()
    result = wflw.convert(path, images, tmp_path / 'out', skip_bad=True)
    assert said in result.left_out[0]
    assert result.files[tmp_path / 'out/face_landmarks_wflw_test.json'] == (1, 1)


def test_lists_of_another_kind(test_list, images, tmp_path):
    path = tmp_path / 'list_98pt_test_blur.txt'
    path.write_text(FACES[0])
    with pytest.raises(UserError, match='ends in _train'):
        wflw.convert(path, images, tmp_path)
    with pytest.raises(UserError, match='is empty'):
        wflw.convert(test_list(''), images, tmp_path)
    with pytest.raises(UserError, match='cannot be read as text'):
        wflw.convert(tmp_path / 'absent_test.txt', images, tmp_path)
    with pytest.raises(UserError, match='1 bad entries'):
        wflw.convert(test_list('1'), images, tmp_path, skip_bad=True)


@pytest.fixture
def sample(shared):
    folder = shared / 'data/mmpose_samples/wflw'
    if not folder.is_dir():
        pytest.skip(f'{folder} is not there')
    return folder


@pytest.fixture
def sample_list(sample, test_list):
    """MMPose's four sample faces as lines of WFLW's list."""
    content = json.loads((sample / 'test_wflw.json').read_text())
    names = {image['id']: image['file_name'] for image in content['images']}
    lines = [
        line(np.reshape(face['keypoints'], (98, 3))[:, :2], '100000', names[face['image_id']])
        for face in content['annotations']
    ]
    return test_list(*lines), content


def test_the_fields_are_those_of_the_published_sample(sample, sample_list, tmp_path):
    path, published = sample_list
    wflw.convert(path, sample, tmp_path)
    ours = json.loads((tmp_path / 'face_landmarks_wflw_test.json').read_text())
    assert set(ours['annotations'][0]) == set(published['annotations'][0])
    for face, theirs in zip(ours['annotations'], published['annotations'], strict=True):
        assert face['center'] == theirs['center']
        assert face['scale'] == pytest.approx(theirs['scale'], abs=1e-12)
        np.testing.assert_allclose(face['keypoints'], theirs['keypoints'], atol=1e-6)
        np.testing.assert_allclose(face['bbox'][:3], theirs['bbox'][:3], atol=1e-4)
        if theirs['id'] != 40:  # this box is cut at 768 px in the sample, the image has 1024
            np.testing.assert_allclose(face['bbox'], theirs['bbox'], atol=1e-4)
            assert face['area'] == pytest.approx(theirs['area'], abs=0.1)
    for image, theirs in zip(ours['images'], published['images'], strict=True):
        assert (image['width'], image['height']) == (theirs['width'], theirs['height'])


@pytest.mark.slow
def test_mmpose_and_the_metric_read_them(sample, sample_list, tmp_path):
    from mmpose.datasets import WFLWDataset

    from rlepose_ext.evaluation.wflw_subset_nme import match_faces, read_faces

    path, _ = sample_list
    wflw.convert(path, sample, tmp_path)
    whole = tmp_path / 'face_landmarks_wflw_test.json'
    data = WFLWDataset(ann_file=str(whole), data_prefix=dict(img=f'{sample}/'), pipeline=[])
    assert len(data) == 4
    assert data[0]['bbox_scale'].tolist() == [[85, 85]]
    faces = read_faces(tmp_path / 'face_landmarks_wflw_test_largepose.json')
    tested = [(name, landmarks[:, :2]) for name, landmarks in read_faces(whole)]
    assert match_faces(faces, tested, 'largepose') == [0, 1, 2, 3]
