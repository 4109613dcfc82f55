"""``rlepose detect``: the file of boxes, and what it refuses. test_two_boxes.py tests in one."""

import json

import cv2
import numpy as np
import pytest

from rlepose_ext.cli.main import main


@pytest.fixture
def command(tmp_path):
    """Two images, of which the annotations name the ids, and three boxes in the first."""
    for name, size in (('a.png', (40, 60)), ('b.png', (30, 20))):
        cv2.imwrite(str(tmp_path / name), np.zeros((*size, 3), np.uint8))
    images = [{'id': 70, 'file_name': 'a.png'}, {'id': 8, 'file_name': 'b.png'}]
    (tmp_path / 'ann.json').write_text(json.dumps({'images': images}))
    rows = [[1, 2, 11.5, 22, 0.9], [0, 0, 9, 9, 0.06], [0, 0, 9, 9, 0.04]]
    (tmp_path / 'found.json').write_text(json.dumps({'a.png': rows, 'b.png': []}))
    ann, out = str(tmp_path / 'ann.json'), str(tmp_path / 'out.json')
    return ['detect', ann, str(tmp_path), '--coco-json', out]


def test_boxes_have_the_ids_of_the_annotations(command, tmp_path, capsys):
    out = tmp_path / 'out.json'
    assert main([*command, '--det', str(tmp_path / 'found.json')]) == 0
    assert 'out.json: 2 boxes in 2 images' in capsys.readouterr().out
    assert json.loads(out.read_text()) == [
        {'image_id': 70, 'category_id': 1, 'bbox': [1, 2, 10.5, 20], 'score': 0.9},
        {'image_id': 70, 'category_id': 1, 'bbox': [0, 0, 9, 9], 'score': 0.06},
    ]
    assert main([*command, '--det', 'full']) == 2
    assert 'out.json exists already' in capsys.readouterr().err
    assert main([*command, '--det', 'full', '--force']) == 0
    boxes = [(entry['image_id'], entry['bbox']) for entry in json.loads(out.read_text())]
    assert boxes == [(70, [0, 0, 60, 40]), (8, [0, 0, 20, 30])]


@pytest.mark.parametrize(
    ('ann', 'said'),
    [
        ('[]', 'holds a JSON list'),
        ('{"images": [{"id": 1}]}', 'no file_name'),
        ('{"images": [{"id": 1, "file_name": "c.png"}]}', 'c.png'),
    ],
)
def test_what_is_refused(command, tmp_path, capsys, ann, said):
    (tmp_path / 'ann.json').write_text(ann)
    assert main([*command, '--det', 'full']) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'out.json').exists()
