"""The contact sheet: joints at their places, in the colours of the metainfo."""

import cv2
import numpy as np
import pytest

from rlepose_ext.annotations.contact_sheet import write_sheet
from rlepose_ext.annotations.metainfo import PoseMeta
from rlepose_ext.annotations.pose_file import read_pose_file
from rlepose_ext.errors import UserError

TWO = PoseMeta('here', 'two', ('a', 'b'), (1, 0), ((0, 1),), ((255, 0, 0), (0, 0, 255)))


@pytest.fixture
def black(tmp_path):
    """One black image of 130 x 130 with a box of 100 x 100 in its middle."""
    import json

    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images/black.png'), np.zeros((130, 130, 3), np.uint8))
    person = {
        'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [15, 15, 100, 100],
        'keypoints': [40, 65, 2, 90, 65, 1],
    }  # fmt: skip
    content = {
        'images': [{'id': 1, 'file_name': 'black.png', 'width': 130, 'height': 130}],
        'annotations': [person],
        'categories': [{'id': 1, 'name': 'x'}],
    }
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    return tmp_path


def test_joints_are_where_they_belong(black):
    out = black / 'sheet.png'
    write_sheet(read_pose_file(black / 'ann.json'), black / 'images', TWO, out, tile=260)
    sheet = cv2.imread(str(out))
    assert sheet.shape == (260, 260, 3)
    # the tile shows the whole image, twice as large; BGR
    assert sheet[130, 80].tolist() == [0, 0, 255]  # visible: a disc, red
    assert sheet[130, 130, 0] > 200  # the link has the colour of its end
    assert sheet[130, 130, 1:].tolist() == [0, 0]
    ring = sheet[126:135, 176:185]
    assert ring[4, 0, 0] > 200  # hidden: a ring, blue
    assert ring[0, 0, 0] < 100
    assert sheet[30, 130].tolist() == [90, 220, 90]  # the box
    assert sheet[10, 10].tolist() == [0, 0, 0]


def test_unreadable_images_are_passed_over(puppets, meta, tmp_path):
    (puppets / 'images/train_001.png').write_bytes(b'')
    pose_file = read_pose_file(puppets / 'train.json')
    out = write_sheet(pose_file, puppets / 'images', meta, tmp_path / 's.png', 2, 60)
    assert cv2.imread(str(out)).shape == (60, 60, 3)
    with pytest.raises(UserError, match='no person of'):
        write_sheet(pose_file, tmp_path, meta, tmp_path / 't.png')
    assert not (tmp_path / 't.png').exists()


def test_an_ending_that_is_no_picture(puppets, meta, tmp_path):
    pose_file = read_pose_file(puppets / 'train.json')
    with pytest.raises(UserError, match='cannot be written as a picture'):
        write_sheet(pose_file, puppets / 'images', meta, tmp_path / 's.xyz', 1, 60)
