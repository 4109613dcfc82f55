"""LIP's pictures: what is drawn where, thresholds, file names, and what cannot be drawn."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rlepose_ext.errors import UserError
from rlepose_ext.inference import lip_pictures
from rlepose_ext.inference.annotated import AnnotatedImage

GREY = np.full((120, 240, 3), 128, np.uint8)


def joints():
    """In a row, 12 px apart."""
    return np.stack([20 + 12.0 * np.arange(16), np.full(16, 60.0)], axis=1)


def shown(*which):
    flags = np.zeros(16, bool)
    flags[list(which)] = True
    return flags


def changed(picture):
    return (picture != GREY).any(-1)


def test_dots_where_joints_are():
    picture = lip_pictures.draw_joints(GREY, joints(), shown(0, 7), (0, 0, 255))
    assert picture[60, 20].tolist() == picture[60, 104].tolist() == [0, 0, 255]
    touched = changed(picture)
    columns = np.flatnonzero(touched.any(0))
    assert set(columns) <= {*range(16, 25), *range(100, 109)}
    assert (GREY == 128).all(), 'the image was changed in place'


def test_lines_between_joints_that_are_shown():
    # ankle - knee is an edge, and knee - hip; the hip is not shown
    picture = lip_pictures.draw_joints(GREY, joints(), shown(0, 1), (255, 0, 0), skeleton=True)
    assert changed(picture)[60, 20:33].all()
    assert not changed(picture)[:, 40:].any()
    without = lip_pictures.draw_joints(GREY, joints(), shown(0, 1), (255, 0, 0))
    assert not changed(without)[60, 26]
    points = joints()
    points[:3] = [[np.nan, 3], [1e30, 1e30], [-50, 10]]
    lip_pictures.draw_joints(GREY, points, shown(0, 1, 2), (1, 2, 3), skeleton=True)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Two images of one name in two folders, and a model whose scores are 0, 1/15, ... 1."""
    images = []
    for folder in 'ab':
        path = tmp_path / folder / 'x.png'
        path.parent.mkdir()
        cv2.imwrite(str(path), GREY)
        truth = joints()[None] + [0, 30]
        box = np.array([[0, 0, 240, 120.0]])
        images.append(AnnotatedImage(path, box, truth, shown(3)[None]))
    found = SimpleNamespace(keypoints=joints()[None], keypoint_scores=np.linspace(0, 1, 16)[None])
    answer = [[SimpleNamespace(pred_instances=found)]]
    monkeypatch.setattr(lip_pictures, 'predict_annotated', lambda model, images: answer)
    return images


def test_threshold_and_truth(drawn, tmp_path):
    first, second = lip_pictures.write_pictures(
        None, drawn, tmp_path / 'new' / 'out', threshold=0.5, truth=True
    )
    assert [first.name, second.name] == ['x.png', 'x_2.png']
    picture = cv2.imread(str(first))
    red = [picture[60, 20 + 12 * k].tolist() == [0, 0, 255] for k in range(16)]
    assert red == [k / 15 >= 0.5 for k in range(16)]
    assert picture[90, 56].tolist() == [255, 0, 0]
    (plain, _) = lip_pictures.write_pictures(None, drawn, tmp_path / 'out')
    picture = cv2.imread(str(plain))
    assert (picture[60, 20:201:12] == [0, 0, 255]).all()
    assert picture[90, 56].tolist() == [128, 128, 128]
    with pytest.raises(UserError, match='would overwrite image'):
        lip_pictures.write_pictures(None, drawn, tmp_path / 'a')
    assert (cv2.imread(str(drawn[0].path)) == GREY).all()


def test_images_of_the_user(drawn):
    (image,) = lip_pictures.plain_images([drawn[0].path])
    assert image.boxes.tolist() == [[0, 0, 240, 120]]
    assert not image.labelled.any()
    with pytest.raises(UserError, match=r'nowhere\.jpg does not exist'):
        lip_pictures.plain_images(['nowhere.jpg'])
