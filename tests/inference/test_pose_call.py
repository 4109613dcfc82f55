"""``Pose`` with a predictor that knows the answer: what its arguments do."""

import cv2
import numpy as np
import pytest
from clips import numbered, write_clip
from PIL import Image
from test_engine import Walker
from web import serving

from rlepose_ext.errors import UserError
from rlepose_ext.inference.pose import Pose
from rlepose_ext.inference.predictors import TopDown


@pytest.fixture
def pose():
    made = Pose.__new__(Pose)
    walker = Walker()
    made.predictor, made.chosen = TopDown(walker, walker), 'a walker'
    return made


def test_pictures_of_all_kinds(pose, tmp_path):
    picture = numbered(5)
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    with serving({'/b.png': ('image/png', (tmp_path / 'a.png').read_bytes(), None)}) as site:
        results = pose([
            tmp_path / 'a.png',
            picture,
            (picture / 255).astype(np.float32),
            Image.fromarray(np.ascontiguousarray(picture[..., ::-1])),
            f'{site}/b.png',
        ])  # fmt: skip
    assert len(results) == 5
    for result in results:
        np.testing.assert_array_equal(result.image, picture)
        assert result.boxes.tolist() == [[25, 10, 45, 30]]
    with pytest.raises(UserError, match='Divide by 255'):
        pose(picture.astype(np.float32))


def test_files_of_pictures_of_one_name(pose, tmp_path):
    for folder in ('x', 'x/y'):
        (tmp_path / folder).mkdir()
        cv2.imwrite(f'{tmp_path}/{folder}/1.png', numbered(5))
    pose(tmp_path / 'x', nested=True, output_root=tmp_path / 'out', save=('image', 'csv'))
    found = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert found == ['1.csv', '1.png', '1_2.csv', '1_2.png']
    assert len(pose(tmp_path / 'x')) == 1
    pose([tmp_path / 'x/1.png', tmp_path / 'x/y/1.png'], output_root=tmp_path / 'b', save='txt')
    assert len(list((tmp_path / 'b/labels').iterdir())) == 2


def test_a_part_of_a_video(pose, tmp_path):
    clip = write_clip(tmp_path / 'a.mp4', 30)
    results = list(pose(clip, stream=True, vid_stride=5, start=1.0, end=2.2))
    assert [result.frame for result in results] == [10, 15, 20]
    assert not list(tmp_path.glob('*.csv'))
