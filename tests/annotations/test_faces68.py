"""Udacity's csv of facial landmarks to COCO: by hand, against the faces here, and bad files."""

import json

import cv2
import numpy as np
import pytest

from rlepose_ext.annotations.metainfo import load_metainfo
from rlepose_ext.cli.main import main

HEADER = ['', *map(str, range(136))]


def write(path, faces, header=HEADER):
    rows = [header, *([name, *np.ravel(xy)] for name, xy in faces)]
    path.write_text('\n'.join(','.join(map(str, row)) for row in rows) + '\n')


@pytest.fixture
def command(tmp_path):
    """Two faces in images of 90 x 120: landmark k at (20 + k / 2, 40 + k), and 10 px further."""
    (tmp_path / 'training').mkdir()
    k = np.arange(68.0)
    face = np.stack([20 + k / 2, 40 + k], axis=1)
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'training/{name}.jpg'), np.zeros((120, 90, 3), np.uint8))
    write(tmp_path / 'faces.csv', [('a.jpg', face), ('b.jpg', face + 10)])
    return ['convert', 'faces68', *(str(tmp_path / n) for n in ('faces.csv', 'training', 'o.json'))]


def test_by_hand(command, tmp_path, capsys):
    assert main(command) == 0
    assert 'o.json: 2 annotations of 2 images' in capsys.readouterr().out
    content = json.loads((tmp_path / 'o.json').read_text())
    assert content['images'][1] == {'id': 2, 'file_name': 'b.jpg', 'width': 90, 'height': 120}
    first, second = content['annotations']
    assert first['keypoints'][:6] == [20, 40, 2, 20.5, 41, 2]
    # 33.5 x 67 px, 0.12 of it and 4 px on each side; the second reaches the lower edge
    assert first['bbox'] == [11.98, 27.96, 49.54, 91.08]
    assert second['bbox'] == [21.98, 37.96, 49.54, 82.04]
    assert second['area'] == round(49.54 * 82.04, 2)
    assert content['categories'][0]['keypoints'] == list(
        load_metainfo('ours:faces68_topdown').joints
    )


@pytest.mark.parametrize('part', [pytest.param('train', marks=pytest.mark.slow), 'val'])
def test_the_faces_of_the_records(shared, tmp_path, part):
    """Their boxes were computed before faces of over 224 px were made smaller: not compared."""
    known = json.loads((shared / f'data/faces68/faces68_{part}.json').read_text())
    images = {image['id']: image for image in known['images']}
    expected = [
        (images[a['image_id']]['file_name'], a)
        for a in known['annotations']
        if max(images[a['image_id']][side] for side in ('width', 'height')) < 224
    ]
    assert len(expected) > 300
    faces = [(name, np.reshape(a['keypoints'], (68, 3))[:, :2]) for name, a in expected]
    write(tmp_path / 'faces.csv', faces)
    out = tmp_path / 'o.json'
    arguments = [tmp_path / 'faces.csv', shared / 'data/faces68/images', out]
    assert main(['convert', 'faces68', *map(str, arguments)]) == 0
    written = json.loads(out.read_text())
    names = {image['id']: image['file_name'] for image in written['images']}
    for found, (name, annotation) in zip(written['annotations'], expected, strict=True):
        assert names[found['image_id']] == name
        assert found['keypoints'] == annotation['keypoints']
        np.testing.assert_allclose(found['bbox'], annotation['bbox'], atol=0.011)
        np.testing.assert_allclose(found['area'], annotation['area'], atol=0.02)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda lines: [line.rsplit(',', 1)[0] for line in lines], 'has 136 columns. Expected 137'),
        (lambda lines: [lines[0], '', 'a.jpg,1,2'], 'line 3 has 3 columns'),
        (lambda lines: [*lines, lines[2].replace(',42.0,', ',x,')], 'line 4: could not convert'),
        (lambda lines: [lines[0], lines[2].replace(',50.0,', ',nan,')], 'not finite'),
        (lambda lines: [*lines, lines[1]], 'line 4: a.jpg for the second time'),
        (lambda lines: [*lines, lines[1].replace('a.jpg', 'c.jpg')], 'c.jpg is missing'),
        (lambda lines: [], 'cannot be read'),
    ],
)  # fmt: skip
def test_what_is_refused(command, tmp_path, capsys, change, said):
    path = tmp_path / 'faces.csv'
    path.write_text('\n'.join(change(path.read_text().splitlines())))
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'o.json').exists()


def test_bad_lines_can_be_left_out(command, tmp_path, capsys):
    (tmp_path / 'training/a.jpg').write_bytes(b'no image')
    assert main([*command, '--skip-bad']) == 0
    assert 'left out, image' in capsys.readouterr().out
    (kept,) = json.loads((tmp_path / 'o.json').read_text())['images']
    assert kept['file_name'] == 'b.jpg'
