"""The persons of an image: subsets, COCO and MMPose's JSON entries, checks of boxes."""

import json
import sys
import types

import cv2
import numpy as np
import pytest
from people import META, persons
from PIL import Image

from rlepose_ext.errors import UserError
from rlepose_ext.inference.boxes import as_boxes


def test_coco_entry_by_hand():
    poses = persons([[10, 20]]).with_track_id([7])
    (entry,) = poses.to_coco(image_id=785)
    assert entry == {
        'image_id': 785,
        'category_id': 1,
        'keypoints': [30, 28, 0.8, 30, 40, 0.8, 30, 52, 0.8],
        'score': 0.72,
        'bbox': [10, 20, 40, 40],
        'track_id': 7,
    }


def test_instances_have_the_form_of_mmposes_demo():
    from mmengine.structures import InstanceData
    from mmpose.structures import split_instances

    poses = persons([[10, 20], [50, 0]])
    fields = {'keypoints': poses.keypoints, 'keypoint_scores': poses.scores}
    fields |= {'bboxes': poses.boxes, 'bbox_scores': poses.box_scores}
    stock = split_instances(InstanceData(**{k: v.astype(float) for k, v in fields.items()}))
    # json makes a list of the tuple that MMPose has around the box
    stock = [{**entry, 'bbox': list(entry['bbox'])} for entry in stock]
    assert poses.to_instances() == stock


def test_sigma_goes_into_the_entries_and_into_pixels():
    sigma = np.full((1, 3, 2), 4.0, np.float32)
    poses = persons([[0, 0]], sigma=sigma, meta={**META, 'sigma_spread': np.array([0.25, 0.5])})
    assert poses.to_instances()[0]['sigma'] == [[4.0, 4.0]] * 3
    np.testing.assert_allclose(poses.sigma_px, np.full((1, 3, 2), [1.0, 2.0]))
    assert persons([[0, 0]], sigma=sigma).sigma_px is None
    assert persons([[0, 0]]).sigma_px is None


def test_covariances_and_ellipses_by_hand():
    """Deviations of 4 and 3 px with a correlation of 0, and of 4 and 4 px with one of 0.5."""
    sigma = np.array([[[8.0, 6.0], [8.0, 8.0], [8.0, 8.0]]])
    flow = {'sigma_spread': np.array([0.5, 0.5]), 'sigma_correlation': 0.25}
    poses = persons([[0, 0]], sigma=sigma, meta={**META, **flow})
    np.testing.assert_allclose(poses.covariance_px[0, 0], [[16, 3], [3, 9]])
    np.testing.assert_allclose(poses.covariance_px[0, 1], [[16, 4], [4, 16]])
    assert poses.ellipse_95 is None
    found = {
        'spread': [[0.5, 0.5]] * 3,
        'correlation': [0.0, 0.5, 0.0],
        'radius': [[1, 2, 3], [1, 2, 3], [None] * 3],
        'curve': None,
    }
    poses = persons([[0, 0]], sigma=sigma, meta={**META, **flow, 'calibration': found})
    np.testing.assert_allclose(poses.sigma_px, sigma / 2)
    np.testing.assert_allclose(poses.ellipse_95[0, 0], [12, 9, 0])
    # along the diagonal the variance is 16 (1 + 0.5), across 16 (1 - 0.5)
    np.testing.assert_allclose(poses.ellipses(0.9)[0, 1], [2 * 24**0.5, 2 * 8**0.5, 45])
    assert np.isnan(poses.ellipse_95[0, 2, :2]).all()
    assert poses.to_instances()[0]['ellipse_95'][2][0] is None
    with pytest.raises(UserError, match='expected one of'):
        poses.ellipses(0.99)


def test_subsets_keep_what_belongs_together():
    poses = persons([[0, 0], [50, 0], [90, 9]], sigma=np.ones((3, 3, 2))).with_track_id([4, 5, 6])
    for part in (poses[[2]], poses[2], poses[np.array([False, False, True])], poses[2:]):
        assert len(part) == 1
        assert part.track_id.tolist() == [6]
        assert part.boxes[0, 0] == 90
        assert part.sigma.shape == (1, 3, 2)


def test_nobody():
    nobody = persons([])
    assert len(nobody) == 0
    assert nobody.to_coco() == nobody.to_instances() == []
    picture = np.full((20, 20, 3), 7, np.uint8)
    np.testing.assert_array_equal(nobody.plot(picture), picture)


CALIBRATION = {
    'spread': [[0.5, 0.5]] * 3,
    'correlation': [0.0] * 3,
    'radius': [[1, 2, 3]] * 3,
    'curve': None,
}


@pytest.mark.parametrize('meta', [
    META,
    {**META, 'sigma_spread': np.ones(2)},
    {**META, 'calibration': CALIBRATION},
])  # fmt: skip
@pytest.mark.parametrize('tracked', [False, True])
def test_tables(meta, tracked):
    """Their columns, and what is in these, do not depend on whether there is anybody."""
    pandas = pytest.importorskip('pandas')
    sigma = None if meta is META else np.full((2, 3, 2), 4.0)
    poses = persons([[10, 20], [50, 0]], meta=meta, sigma=sigma, path='a.mp4', frame=7)
    poses = poses.with_track_id([5, 3]) if tracked else poses
    table, empty = poses.to_df(), poses[[]].to_df()
    assert len(table) == 6
    assert len(empty) == 0
    assert list(empty) == list(table)
    assert list(empty.dtypes) == list(table.dtypes)
    assert list(pandas.concat([empty, table]).dtypes) == list(table.dtypes)
    row = table.iloc[4]
    expected = {'path': 'a.mp4', 'frame': 7, 'person': 1, 'person_score': 0.9, 'x1': 50, 'y1': 0}
    expected |= {'x2': 90, 'y2': 40, 'x': 70, 'y': 20, 'score': 0.8, 'joint': '1'}
    expected |= {'track_id': 3 if tracked else None}
    if meta is not META:
        expected |= dict.fromkeys(('sigma_x', 'sigma_y'), 4 if 'sigma_spread' in meta else 2)
    if 'calibration' in meta:
        expected |= {'ellipse_long': 6, 'ellipse_short': 6, 'ellipse_angle': row.ellipse_angle}
    assert set(table) == set(expected)
    assert row.to_dict() == expected


def test_json_files(tmp_path):
    poses = persons([[10, 20]])
    path = tmp_path / 'new' / 'a.json'
    assert poses.to_json(str(path)) == poses.to_json() == path.read_text()
    assert [entry['box'] for entry in json.loads(path.read_text())] == [[10, 20, 50, 60]]
    with pytest.raises(UserError, match='is a folder'):
        poses.to_json(tmp_path)
    assert [p.name for p in path.parent.iterdir()] == ['a.json']


def test_drawing_on_any_kind_of_image(tmp_path, noise):
    picture = noise(60, 60)
    poses = persons([[5, 5]])
    expected = poses.plot(picture)
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    for image in (tmp_path / 'a.png', str(tmp_path / 'a.png'), Image.fromarray(picture[..., ::-1])):
        np.testing.assert_array_equal(poses.plot(image), expected)
    with pytest.raises(UserError, match='cannot be read'):
        poses.plot(tmp_path / 'b.png')


def test_showing_needs_pillow(monkeypatch):
    shown = []
    monkeypatch.setattr(Image.Image, 'show', lambda image: shown.append(np.asarray(image)))
    poses = persons([[5, 5]], image=np.zeros((60, 60, 3), np.uint8))
    poses.show()
    np.testing.assert_array_equal(shown[0][..., ::-1], poses.plot())
    monkeypatch.setitem(sys.modules, 'PIL', None)
    with pytest.raises(UserError, match='pip install pillow'):
        poses.show()


def test_drawing_needs_an_image_and_does_not_change_it():
    with pytest.raises(UserError, match='without keeping its image'):
        persons([[0, 0]]).plot()
    picture = np.zeros((60, 60, 3), np.uint8)
    drawn = persons([[5, 5]], image=picture).plot()
    assert drawn.any()
    assert not picture.any()


def test_boxes():
    assert as_boxes([]).shape == as_boxes(np.zeros((0, 4))).shape == (0, 4)
    assert as_boxes([1, 2, 3, 4]).tolist() == [[1, 2, 3, 4]]
    for boxes, message in (
        ([[0, 0, 10]], r'\(1, 3\)'),
        ([[0, 0, 10, float('nan')]], 'finite'),
        ([[0, 0, 10, 10], [5, 5, 5, 9]], r'number 1'),
        ('boxes', 'numbers'),
    ):
        with pytest.raises(UserError, match=message):
            as_boxes(boxes)


def until_0_28(xy, class_id=None, confidence=None, data=None):
    return xy, class_id, confidence, data


def from_0_29(xy, class_id=None, keypoint_confidence=None, detection_confidence=None, data=None):
    np.testing.assert_array_equal(detection_confidence, np.float32([0.9]))
    return xy, class_id, keypoint_confidence, data


def in_between(xy, class_id=None, keypoint_confidence=None, confidence=None, data=None):
    assert confidence is None, 'deprecated: warns'
    return xy, class_id, keypoint_confidence, data


@pytest.mark.parametrize('version', [until_0_28, from_0_29, in_between])
def test_supervision_of_any_version(monkeypatch, version):
    stub = types.ModuleType('supervision')
    stub.KeyPoints = version
    monkeypatch.setitem(sys.modules, 'supervision', stub)
    poses = persons([[0, 0]])
    xy, class_id, scores, data = poses.to_supervision()
    assert data == {}
    assert poses.with_track_id([7]).to_supervision()[3]['track_id'].tolist() == [7]
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(UserError, match='pip install supervision'):
        poses.to_supervision()
    np.testing.assert_array_equal(xy, poses.keypoints)
    np.testing.assert_array_equal(scores, poses.scores)
    assert class_id.tolist() == [0]


def test_supervision_itself():
    supervision = pytest.importorskip('supervision')
    poses = persons(
        [[0, 0], [9, 9]], meta={**META, 'sigma_spread': np.ones(2)}, sigma=np.ones((2, 3, 2))
    )
    poses = poses.with_track_id([4, 2])
    found = poses.to_supervision()
    assert isinstance(found, supervision.KeyPoints)
    np.testing.assert_array_equal(found.detection_confidence, poses.box_scores)
    assert found[1].data['track_id'].tolist() == [2]
    nobody = poses[[]].to_supervision()
    assert len(nobody) == 0
    assert nobody.data['covariance'].shape == (0, 3, 2, 2)
    assert nobody.data['track_id'].shape == (0,)
