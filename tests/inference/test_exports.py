"""Crops, label lines and tables of images and videos."""

import csv

import cv2
import numpy as np
import pytest
from clips import read_clip, write_clip
from people import META, persons
from test_engine import engine
from test_full_disk import files_up_to

from rlepose_ext.errors import UserError
from rlepose_ext.inference.exports import COLUMNS, Exports, Table, label_lines
from rlepose_ext.inference.sources import Source


def rows_of(path):
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def test_label_lines_by_hand():
    poses = persons([[10, 20]], image=np.zeros((100, 200, 3), np.uint8))
    # the box is 10, 20, 50, 60; joints are at x 30, y 28, 40, 52
    (line,) = label_lines(poses)
    expected = [0, 0.15, 0.4, 0.2, 0.4, 0.15, 0.28, 0.8, 0.15, 0.4, 0.8, 0.15, 0.52, 0.8]
    assert [float(word) for word in line.split()] == pytest.approx(expected)
    assert label_lines(persons([], image=np.zeros((100, 200, 3), np.uint8))) == []
    with pytest.raises(UserError, match='size of the picture'):
        label_lines(persons([[10, 20]]))


def test_an_image(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(picture, (9, 9), 4)
    meta = {**META, 'sigma_spread': np.array([0.5, 0.25])}
    poses = persons(
        [[10, 10], [80, 50], [200, 10]], image=picture, meta=meta, sigma=np.full((3, 3, 2), 8.0)
    )
    save = ('crops', 'txt', 'csv')
    files = Exports(tmp_path, Source('image', tmp_path / '00785.jpg'), meta, save, True)
    files.add(poses)
    files.close()
    # the third box lies outside
    assert names(tmp_path) == [
        *('00785.csv', '00785_coco.json', 'crops/00785/0.jpg', 'crops/00785/1.jpg'),
        *('labels/00785.txt', 'results_00785.json'),
    ]
    crop = cv2.imread(str(tmp_path / 'crops/00785/0.jpg'))
    assert np.abs(crop.astype(int) - picture[10:50, 10:50]).mean() < 4
    assert cv2.imread(str(tmp_path / 'crops/00785/1.jpg')).shape == (14, 16, 3)
    assert len((tmp_path / 'labels/00785.txt').read_text().splitlines()) == 3
    rows = rows_of(tmp_path / '00785.csv')
    assert list(rows[0]) == list(COLUMNS)
    assert [(row['person'], row['joint']) for row in rows[2:4]] == [('0', '2'), ('1', '0')]
    assert rows[1]['track_id'] == ''
    found = [float(rows[1][name]) for name in ('x1', 'y2', 'x', 'y', 'score')]
    assert found == pytest.approx([10, 50, 30, 30, 0.8])
    assert [float(rows[1][name]) for name in ('sigma_x', 'sigma_y')] == [4, 2]
    # the number of a COCO image, also under another name
    assert '"image_id": 785' in (tmp_path / '00785_coco.json').read_text()


def test_a_video(tmp_path):
    source = Source('video', write_clip(tmp_path / 'walk.mp4', 6))
    out = tmp_path / 'out'
    chain, _ = engine(output_root=out, save=('crops', 'txt', 'csv'), tracking='iou', vid_stride=1)
    assert chain.run(source) == 6
    # nobody is in frame 3, and the drawn video was not asked for
    seen = [0, 1, 2, 4, 5]
    assert names(out) == [
        *(f'crops/walk/{frame:06d}_0.jpg' for frame in seen),
        *(f'labels/walk_{frame:06d}.txt' for frame in range(6)),
        'walk.csv',
    ]
    assert (out / 'labels/walk_000003.txt').read_text() == ''
    rows = rows_of(out / 'walk.csv')
    assert [int(row['frame']) for row in rows[::3]] == seen
    assert [float(row['time']) for row in rows[::3]] == pytest.approx([f / 10 for f in seen])
    assert {row['track_id'] for row in rows} == {'0'}


def test_crops_and_results_show_nothing_drawn(tmp_path):
    source = Source('video', write_clip(tmp_path / 'walk.mp4', 3))
    chain, _ = engine(output_root=tmp_path / 'out', save=('image', 'crops'))
    for poses, clean in zip(list(chain.stream(source)), read_clip(source.path)[0], strict=True):
        np.testing.assert_array_equal(poses.image, clean)
        x1, y1, x2, y2 = poses.boxes[0].astype(int)
        crop = cv2.imread(str(tmp_path / f'out/crops/walk/{poses.frame:06d}_0.jpg'))
        assert np.abs(crop.astype(int) - clean[y1:y2, x1:x2]).mean() < 12


def test_nothing(tmp_path):
    source = Source('video', write_clip(tmp_path / 'walk.mp4', 3))
    chain, _ = engine(output_root=tmp_path / 'out', save=())
    assert chain.run(source) == 3
    assert names(tmp_path / 'out') == []
    assert 'draw' not in chain.clock.seconds


@pytest.mark.parametrize('size', range(1500, 2000, 23))
def test_a_table_on_a_full_disk_has_whole_frames(tmp_path, size):
    poses = persons([[10, 10], [40, 10]])
    table = Table(tmp_path / 'a.csv')

    def fill():
        for number in range(100):
            table.add(poses, number / 10, number)

    with files_up_to(size):
        with pytest.raises(UserError, match=r'a\.csv cannot be written: File too large'):
            fill()
        table.close()
    rows = rows_of(tmp_path / 'a.csv')
    frames = len(rows) // 6
    assert 1 <= frames < 100
    assert [int(row['frame']) for row in rows] == [n for n in range(frames) for _ in range(6)]
    assert names(tmp_path) == ['a.csv']
