"""Reading annotated images: what counts as a person, and errors that name the file."""

import json

import numpy as np
import pytest

from rlepose_ext.errors import UserError
from rlepose_ext.inference.annotated import mean_oks, predict_annotated, read_annotated

PERSON = {'image_id': 7, 'bbox': [10, 20, 30, 40], 'keypoints': [1, 2, 2, 3, 4, 1, 0, 0, 0]}
CONTENT = {'images': [{'id': 7, 'file_name': 'a.jpg'}], 'annotations': [PERSON, PERSON]}


def write(tmp_path, content):
    path = tmp_path / 'ann.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_persons_with_labels(tmp_path):
    unlabelled = {**PERSON, 'keypoints': [0] * 9}
    crowd = {**PERSON, 'iscrowd': 1}
    content = {**CONTENT, 'annotations': [PERSON, unlabelled, crowd]}
    (image,) = read_annotated(write(tmp_path, content), tmp_path)
    assert image.path == tmp_path / 'a.jpg'
    assert image.boxes.tolist() == [[10, 20, 40, 60]]
    assert image.joints.tolist() == [[[1, 2], [3, 4], [0, 0]]]
    assert image.labelled.tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    'content',
    [
        '{',
        '[]',
        {**CONTENT, 'images': []},
        {**CONTENT, 'annotations': [{'image_id': 7}]},
        {**CONTENT, 'annotations': [{**PERSON, 'keypoints': [1, 2, 2, 3]}]},
    ],
)
def test_bad_annotations_are_named(tmp_path, content):
    path = write(tmp_path, content)
    with pytest.raises(UserError, match=r'ann\.json cannot be read as COCO keypoint json'):
        read_annotated(path, tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r'none\.json cannot be read'):
        read_annotated(tmp_path / 'none.json', tmp_path)
    images = read_annotated(write(tmp_path, CONTENT), tmp_path)
    with pytest.raises(UserError, match=r'1 image files do not exist.*a\.jpg'):
        predict_annotated(None, images)


def test_mean_is_over_persons_with_53_percent_of_the_box(tmp_path):
    class Sample:
        def __init__(self, keypoints):
            self.pred_instances = self
            self.keypoints = np.array([keypoints], float)

    images = read_annotated(write(tmp_path, CONTENT), tmp_path)
    exact, off = [[1, 2], [3, 4], [50, 50]], [[1, 2], [3, 14], [0, 0]]
    oks = mean_oks(images, [[Sample(exact), Sample(off)]], np.full(3, 0.1))
    far = np.exp(-100 / (2 * 0.2**2 * 0.53 * 30 * 40))
    assert oks == pytest.approx((1 + (1 + far) / 2) / 2)
