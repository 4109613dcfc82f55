"""``rlepose_ext.Pose``: one line of Python from any source to results."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clips import write_clip
from people import META, persons
from PIL import Image

import rlepose_ext
from rlepose_ext.errors import UserError


@pytest.fixture(scope='module')
def find(pose):
    return rlepose_ext.Pose(*pose, detector='full', device='cpu')


def test_importing_the_package_stays_cheap():
    code = (
        'import sys, rlepose_ext; assert "torch" not in sys.modules;'
        'assert "numpy" not in sys.modules; assert callable(rlepose_ext.Pose)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_every_kind_of_source_is_the_same_picture(tmp_path, noise, find):
    image = noise(80, 60)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    pil = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
    (expected,) = find(image)
    assert expected.keypoints.shape == (1, 17, 2)
    assert expected.boxes.tolist() == [[0, 0, 80, 60]]
    for source in (tmp_path / 'a.png', str(tmp_path / '*.png'), tmp_path, pil, [image], [pil]):
        (found,) = find(source)
        np.testing.assert_array_equal(found.keypoints, expected.keypoints)
    both = find([tmp_path / 'a.png', image, pil])
    assert [result.path for result in both] == [str(tmp_path / 'a.png'), 'image1.jpg', 'image2.jpg']
    assert [len(result) for result in find(np.stack([image, image]))] == [1, 1]
    (boxed,) = find(image, boxes=[[10, 5, 60, 55], [0, 0, 9, 9]])
    assert boxed.boxes.tolist() == [[10, 5, 60, 55], [0, 0, 9, 9]]


def test_a_video_is_streamed(tmp_path, find):
    path = write_clip(tmp_path / 'walk.mp4', 6)
    stream = find(path, stream=True, track='iou', output_root=tmp_path / 'out')
    first = next(stream)
    assert (first.path, first.frame) == (str(path), 0)
    rest = list(stream)
    assert [result.frame for result in rest] == [1, 2, 3, 4, 5]
    assert {int(result.track_id[0]) for result in rest} == {0}
    assert (tmp_path / 'out/walk.mp4').is_file()
    # who stops early has a whole file of what was seen
    for result in find(path, stream=True, output_root=tmp_path / 'early'):
        if result.frame == 1:
            break
    del result
    assert cv2.VideoCapture(str(tmp_path / 'early/walk.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) >= 2


def test_a_picture_of_a_result(tmp_path, noise, find):
    (result,) = find(noise(80, 60))
    saved = result.save(tmp_path / 'new' / 'drawn.png', kpt_thr=0)
    np.testing.assert_array_equal(cv2.imread(str(saved)), result.plot(kpt_thr=0))
    assert (result.plot(kpt_thr=0) != result.image).any()
    picture = cv2.imdecode(np.frombuffer(result._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(picture, result.plot())
    assert '1 person' in repr(result)
    assert '0 persons' in repr(result[:0])


def test_tables_of_a_result(tmp_path):
    meta = {**META, 'keypoint_id2name': {0: 'a', 1: 'b', 2: 'c'}, 'sigma_spread': [0.5, 0.25]}
    result = persons([[10, 20], [50, 20]], meta=meta, sigma=np.full((2, 3, 2), 8.0))
    result = result.with_track_id(np.array([4, 7]))
    _, person = json.loads(result.to_json(tmp_path / 'a.json'))
    assert json.loads((tmp_path / 'a.json').read_text())[1] == person
    assert (person['box'], person['track_id']) == ([50, 20, 90, 60], 7)
    assert person['keypoints'][1] == {
        'name': 'b', 'x': 70, 'y': 40, 'score': 0.8, 'sigma_px': [4, 2]
    }  # fmt: skip
    table = result.to_df()
    assert list(table['joint']) == ['a', 'b', 'c'] * 2
    assert list(table['track_id']) == [4] * 3 + [7] * 3
    np.testing.assert_array_equal(table[['x', 'y']], result.keypoints.reshape(-1, 2))
    np.testing.assert_array_equal(table[['sigma_x', 'sigma_y']], [[4, 2]] * 6)


def test_a_torn_file_does_not_stop_the_others(tmp_path, noise, find):
    for name in ('a.jpg', 'c.jpg'):
        cv2.imwrite(str(tmp_path / name), noise(80, 60))
    (tmp_path / 'b.jpg').write_bytes((tmp_path / 'a.jpg').read_bytes()[:400])
    with pytest.warns(UserWarning, match='truncated or corrupt'):
        found = find(tmp_path)
    assert [Path(result.path).name for result in found] == ['a.jpg', 'c.jpg']
    with pytest.raises(UserError, match='truncated or corrupt'):
        find(tmp_path / 'b.jpg')


def test_what_is_refused(tmp_path, find, pose):
    for source in (None, torch.zeros(3, 9, 9), {'image': 1}):
        with pytest.raises(UserError, match=f'got a {type(source).__name__}'):
            find(source)
    with pytest.raises(UserError, match='does not exist'):
        find(tmp_path / 'absent.jpg')
    with pytest.raises(UserError, match='no config of the zoo is called'):
        rlepose_ext.Pose('no-such-model')
    everybody = rlepose_ext.Pose(*pose, detector='full')
    everybody.predictor = object()  # as a model that has no estimator of its own
    with pytest.raises(UserError, match='finds all persons by itself'):
        everybody(np.zeros((9, 9, 3), np.uint8), boxes=[[0, 0, 5, 5]])
