"""Every mistake in the data gets one error that names the file and the remedy."""

import json

import cv2
import numpy as np
import pytest
from metainfo import METAINFO, changed
from mmengine.dataset import Compose
from mmpose.datasets.datasets import CocoDataset, DeepFashionDataset
from mmpose.datasets.transforms import KeypointConverter, LoadImage, RandomFlip
from mmpose.evaluation.metrics import CocoMetric
from PIL import ImageFile
from torch.utils.data import DataLoader

from rlepose_ext.annotations.coco_file import DataError, MissingFileError
from rlepose_ext.annotations.images import is_truncated
from rlepose_ext.errors import UserError


def noise(height=48, width=64):
    return np.random.RandomState(0).randint(0, 255, (height, width, 3), np.uint8)


@pytest.fixture
def data(tmp_path):
    """Four images of noise with a person of 17 joints in each."""
    images, annotations = [], []
    for number in range(1, 5):
        name = f'{number}.jpg'
        cv2.imwrite(str(tmp_path / name), noise())
        images.append({'id': number, 'file_name': name, 'width': 64, 'height': 48})
        ann = {'id': number, 'image_id': number, 'category_id': 1, 'iscrowd': 0, 'area': 400.0}
        ann |= {'bbox': [10, 10, 20, 20], 'keypoints': [15, 15, 2] * 17, 'num_keypoints': 17}
        annotations.append(ann)
    categories = [{'id': 1, 'name': 'person'}]
    return tmp_path, {'images': images, 'annotations': annotations, 'categories': categories}


def build(folder, content, **kwargs):
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / 'ann.json').write_text(text)
    kwargs = {'pipeline': [LoadImage()]} | kwargs
    return CocoDataset(
        ann_file='ann.json', data_root=str(folder), data_prefix={'img': ''}, **kwargs
    )


# -- images --------------------------------------------------------------------------------


def break_image(folder, how):
    path = folder / '3.jpg'
    content = path.read_bytes()
    if how == 'missing':
        path.unlink()
    elif how == 'empty':
        path.write_bytes(b'')
    elif how == 'truncated':
        path.write_bytes(content[: len(content) // 2])
    elif how == 'truncated png':
        png = cv2.imencode('.png', noise())[1].tobytes()
        path.write_bytes(png[: len(png) // 2])
    else:
        path.write_text('<html>404 not found</html>')
    return path


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize(
    ('how', 'word'),
    [('missing', 'does not exist'), ('empty', 'empty'), ('no image', 'cannot be read')],
)
def test_bad_image(data, how, word, test_mode):
    dataset = build(*data, test_mode=test_mode)
    assert dataset[2]['img'].shape == (48, 64, 3)
    path = break_image(data[0], how)
    with pytest.raises(UserError, match=word) as caught:
        dataset[2]
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError) == (how == 'missing')


@pytest.mark.parametrize('how', ['truncated', 'truncated png'])
@pytest.mark.parametrize('goes_on', [True, False])
def test_a_truncated_image_is_named_and_read_if_the_reader_can(data, how, goes_on, monkeypatch):
    """Pillow says whether it reads them, OpenCV's versions differ."""
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', goes_on)
    dataset = build(*data, pipeline=[LoadImage(imdecode_backend='pillow')])
    path = break_image(data[0], how)
    words = rf'{path} is truncated.*take it out'
    if goes_on:
        with pytest.warns(UserWarning, match=words):
            assert dataset[2]['img'].shape == (48, 64, 3)
    else:
        with pytest.raises(DataError, match=words):
            dataset[2]


@pytest.mark.parametrize('how', ['missing', 'empty'])
def test_bad_image_in_a_worker(data, how):
    dataset = build(*data)
    path = break_image(data[0], how)
    loader = DataLoader(dataset, batch_size=2, num_workers=1, collate_fn=list)
    with pytest.raises(UserError) as caught:
        list(loader)
    assert str(path) in str(caught.value).strip().splitlines()[-1]


def test_whole_images_are_not_called_truncated():
    for extension in ('.jpg', '.png', '.bmp', '.webp'):
        encoded = cv2.imencode(extension, noise())[1].tobytes()
        assert not is_truncated(encoded)
        # Cameras and editors append bytes of their own.
        assert not is_truncated(encoded + b'\0' * 5000)
    progressive = cv2.imencode('.jpg', noise(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert not is_truncated(progressive)
    # A thumbnail in the header, with an end marker of its own, hides nothing.
    jpeg = cv2.imencode('.jpg', noise())[1].tobytes()
    size = (len(jpeg) + 2).to_bytes(2, 'big')
    with_thumbnail = jpeg[:2] + b'\xff\xe1' + size + jpeg + jpeg[2:]
    assert not is_truncated(with_thumbnail)
    assert is_truncated(with_thumbnail[:-200])


def test_images_given_or_optional_are_left_alone(tmp_path):
    load = Compose([LoadImage()])
    assert load({'img': noise(), 'img_path': 'nowhere.jpg'})['img_shape'] == (48, 64)
    assert LoadImage(ignore_empty=True)({'img_path': str(tmp_path / 'nowhere.jpg')}) is None


# -- annotations; single edits are in test_edits.py -----------------------------------------


def without_keypoints(content):
    for ann in content['annotations']:
        del ann['keypoints']


@pytest.mark.parametrize('data_mode', ['topdown', 'bottomup'])
def test_nested_keypoints_are_read(data, data_mode):
    folder, content = data
    expected = [info['keypoints'] for info in build(folder, content, data_mode=data_mode)]
    for ann in content['annotations']:
        ann['keypoints'] = np.reshape(ann['keypoints'], (-1, 3)).tolist()
    dataset = build(folder, content, data_mode=data_mode)
    np.testing.assert_array_equal([info['keypoints'] for info in dataset], expected)


@pytest.mark.parametrize('data_mode', ['topdown', 'bottomup'])
def test_annotations_of_images_that_were_removed_are_left_out(data, data_mode):
    folder, content = data
    content['images'].pop(1)
    content['annotations'][2] |= {'image_id': 99, 'keypoints': [1, 2]}  # not looked at
    with pytest.warns(UserWarning, match=r'2 of the 4 annotations in .*annotation 2 of image 2'):
        dataset = build(folder, content, data_mode=data_mode)
    assert {1, 4} <= {info['img_id'] for info in dataset} <= {1, 3, 4}


@pytest.mark.parametrize('change', [lambda content: content.pop('annotations'), without_keypoints])
def test_bottom_up_tests_whole_images_without_annotations(data, change):
    folder, content = data
    change(content)
    dataset = build(folder, content, data_mode='bottomup', test_mode=True)
    assert [dataset[i]['img_id'] for i in range(len(dataset))] == [1, 2, 3, 4]


def test_metainfo_after_a_converter_of_joints(data):
    metainfo = METAINFO | {'dataset_name': 'nose and eyes'}
    pipeline = [KeypointConverter(3, mapping=[(0, 0), (1, 1), (2, 2)])]
    dataset = build(*data, metainfo=metainfo, pipeline=pipeline)
    assert dataset[0]['keypoints'].shape == (1, 3, 2)
    assert dataset[0]['flip_indices'] == [0, 2, 1]


def test_metric_needs_categories_before_it_evaluates(data):
    folder, content = data
    del content['categories']
    path = folder / 'ann.json'
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"ann\.json has no 'categories'"):
        CocoMetric(ann_file=str(path))
    CocoMetric(ann_file=str(path), format_only=True, outfile_prefix=str(folder / 'results'))


def test_missing_files(data):
    with pytest.raises(MissingFileError, match=r'annotation file .*RLEPOSE_DATA'):
        build(data[0], None)
    with pytest.raises(MissingFileError, match=r'detection file.*boxes\.json'):
        build(*data, test_mode=True, bbox_file=str(data[0] / 'no' / 'boxes.json'))


def test_images_alone_are_enough_for_a_test_set(data):
    """COCO's test-dev has images and categories only, and comes with detected boxes."""
    folder, content = data
    del content['annotations']
    boxes = [{'image_id': 1, 'category_id': 1, 'bbox': [1, 1, 9, 9], 'score': 0.9}]
    (folder / 'boxes.json').write_text(json.dumps(boxes))
    dataset = build(folder, content, test_mode=True, bbox_file=str(folder / 'boxes.json'))
    assert len(dataset) == 1


# -- metainfo ------------------------------------------------------------------------------


@pytest.mark.parametrize('data_mode', ['topdown', 'bottomup'])
def test_metainfo_of_another_data_set(data, data_mode):
    folder, content = data
    words = r"of image 1 in .*ann\.json has 17 joints.*'three joints' has 3.*metainfo="
    kwargs = {'metainfo': METAINFO, 'data_mode': data_mode}
    with pytest.warns(UserWarning, match=words):
        dataset = build(folder, content, **kwargs)
    assert [dataset[i]['keypoints'].shape for i in range(4)] == [(1, 17, 2)] * 4
    with pytest.raises(DataError, match=words):
        build(folder, content, **kwargs, pipeline=[LoadImage(), RandomFlip()])


def test_landmarks_of_whole_bodies_under_the_metainfo_of_upper_ones(data):
    """MMPose's own test of this data set does so."""
    folder, content = data
    for ann in content['annotations']:
        ann['keypoints'] = [15, 15, 2] * 8
    (folder / 'ann.json').write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="8 joints, but the metainfo 'deepfashion_upper' has 6"):
        dataset = DeepFashionDataset(ann_file=str(folder / 'ann.json'), subset='upper')
    assert len(dataset) == 4


def test_a_data_set_reads_its_metainfo_with_care(data):
    folder, content = data
    for ann in content['annotations']:
        ann['keypoints'] = [1, 2, 2] * 3
    with pytest.warns(UserWarning, match=r"three joints.*'left' swaps with 'nose'"):
        build(folder, content, metainfo=changed('keypoint_info', 1, 'swap', value='nose'))
