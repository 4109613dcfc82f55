"""``rlepose data`` and ``rlepose convert aic|wflw``: arguments, status, and what is printed."""

import json
from itertools import chain

import cv2
import numpy as np
import pytest

from rlepose_ext.annotations.catalogue import CATALOGUE
from rlepose_ext.cli.main import main

META = """
dataset_info = dict(
    dataset_name='two', joint_weights=[1.0] * 2, sigmas=[], skeleton_info={},
    keypoint_info={0: dict(name='left', swap='right'), 1: dict(name='right', swap='left')})
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Two joints on twelve images, a metainfo, and the arguments that name them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('RLEPOSE_DATA', raising=False)
    (tmp_path / 'images').mkdir()
    content = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'thing'}]}
    for number in range(1, 13):
        name = f'{number}.png'
        cv2.imwrite(f'images/{name}', np.zeros((50, 60, 3), np.uint8))
        content['images'].append({'id': number, 'file_name': name, 'width': 60, 'height': 50})
        thing = {'id': number, 'image_id': number, 'category_id': 1, 'bbox': [10, 10, 40, 30]}
        thing |= {'keypoints': [45, 20, 2, 15, 20 + number % 3, 2], 'num_keypoints': 2}
        content['annotations'].append(thing | {'area': 1200})
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    (tmp_path / 'meta.py').write_text(META)
    return ['data', 'check', '--ann', 'ann.json', '--images', 'images', '--metainfo', 'meta.py']


def test_clean(own, tmp_path, capsys):
    assert main([*own, '--sheet', 'sheet.jpg', '--limit', '3']) == 0
    said = capsys.readouterr().out
    assert '12 images (3 files looked at), 12 annotations' in said
    assert 'by names confirmed; by poses 2 confirmed' in said
    assert said.endswith('No problems.\nsheet.jpg drawn.\n')
    assert cv2.imread('sheet.jpg') is not None


def test_problems(own, tmp_path, capsys):
    (tmp_path / 'images/5.png').unlink()
    (tmp_path / 'meta.py').write_text(META.replace("'right', swap='left'", "'right', swap=''"))
    assert main(own) == 1
    said = capsys.readouterr().out
    assert 'problem: 1 images are missing: 5.png' in said
    assert "'left' swaps with 'right', but that one swaps with 'right'" in said
    assert 'flip pairs contradict the names of joints: right does not swap' in said


@pytest.mark.parametrize('broken', [False, True])
def test_json(own, tmp_path, capsys, broken):
    if broken:
        (tmp_path / 'ann.json').write_text('')
    assert main([*own, '--json']) == int(broken)
    report = json.loads(capsys.readouterr().out)
    assert report['ok'] is not broken
    (part,) = report['parts']
    if broken:
        assert part['findings'][0]['severity'] == 'problem'
        assert 'it is empty' in part['findings'][0]['what']
    else:
        assert part['counts']['labelled_joints'] == 24
        assert part['joints'][0]['x'] == pytest.approx(35 / 40)
        assert part['flips']['joints'][0]['verdict'] == 'confirmed'


def test_json_is_all_that_is_printed(root, own, capfd, monkeypatch):
    # MMEngine reports a variable that a config reads
    monkeypatch.setenv('RLEPOSE_DATA', 'elsewhere')
    assert main(['data', 'check', 'lsp', '--json']) == 1
    assert json.loads(capfd.readouterr().out)['ok'] is False
    config = root / 'configs/rle/rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py'
    assert main(['data', 'check', '--config', str(config), '--json']) == 1
    parts = json.loads(capfd.readouterr().out)['parts']
    assert parts[0]['annotations'] == 'elsewhere/lsp/lsp_train.json'


def test_a_known_set_that_is_not_there(own, capsys):
    assert main(['data', 'check', 'coco', '--root', 'nowhere']) == 1
    said = capsys.readouterr().out
    assert 'nowhere/coco/annotations/person_keypoints_train2017.json is missing' in said
    assert 'To get it: https://cocodataset.org' in said
    assert main(['data', 'list', '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row['name'], row['there']) for row in rows] == [(name, '-') for name in CATALOGUE]
    assert main(['data', 'list', '--root', 'here']) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in CATALOGUE)


@pytest.mark.parametrize(('arguments', 'message'), [
    (['check'], 'expected what to check'),
    (['check', 'cocoo'], "no data set 'cocoo' is known"),
    (['check', '--images', 'images'], '--images needs --ann and --metainfo as well'),
    (['check', '--config', 'absent.py'], 'config absent.py does not exist'),
    ('absent.json images meta.py', 'absent.json does not exist'),
    ('ann.json absent meta.py', 'absent does not exist'),
    ('ann.json images absent.py', 'absent.py does not exist'),
    (['check', 'lsp', '--limit', '0'], '--limit must be 1 or more'),
])  # fmt: skip
def test_wrong_use_ends_with_status_2(own, capsys, arguments, message):
    if isinstance(arguments, str):
        options = zip(('--ann', '--images', '--metainfo'), arguments.split(), strict=True)
        arguments = ['check', *chain.from_iterable(options)]
    assert main(['data', *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('rlepose: error: ')
    assert message in error


def test_a_sheet_that_cannot_be_drawn(own, tmp_path, capsys):
    assert main(['data', 'check', 'lsp', '--sheet', 'a.jpg']) == 1
    said = capsys.readouterr()
    assert 'lsp_train.json is missing' in said.out
    assert 'no sheet: there is nothing to draw' in said.err
    assert main([*own, '--sheet', 'a.xyz']) == 2
    said = capsys.readouterr()
    assert 'No problems.' in said.out
    assert 'cannot be written as a picture' in said.err


def test_convert_aic(own, tmp_path, capsys):
    people = {'human_annotations': {'human1': [0, 0, 10, 10]}}
    people |= {'keypoint_annotations': {'human1': [5, 5, 1] * 14}}
    raw = [{'image_id': '1', **people}]
    (tmp_path / 'raw.json').write_text(json.dumps(raw))
    cv2.imwrite('images/1.jpg', np.zeros((50, 60, 3), np.uint8))
    command = ['convert', 'aic', 'raw.json', 'images', 'out.json']
    assert main(command) == 0
    assert 'out.json: 1 annotations of 1 images' in capsys.readouterr().out
    assert main(command) == 2
    assert 'add --force' in capsys.readouterr().err
    assert main([*command, '--force']) == 0
    check = ['data', 'check', '--ann', 'out.json', '--images', 'images', '--metainfo', 'aic']
    assert main(check) == 0
    raw[0]['keypoint_annotations']['human2'] = []
    (tmp_path / 'raw.json').write_text(json.dumps(raw))
    before = (tmp_path / 'out.json').read_bytes()
    assert main([*command, '--force']) == 2
    assert (tmp_path / 'out.json').read_bytes() == before
    assert main([*command, '--force', '--skip-bad']) == 0
    assert 'left out, 1 human2: box None' in capsys.readouterr().out


def test_convert_wflw(own, tmp_path, capsys):
    numbers = ' '.join(str(10 + k % 20) for k in range(196))
    listed = tmp_path / 'list_98pt_rect_attr_test.txt'
    listed.write_text(f'{numbers} 1 1 30 30 1 0 0 0 0 0 1.png\n')
    command = ['convert', 'wflw', str(listed), 'images', 'out']
    assert main(command) == 0
    said = capsys.readouterr().out
    assert 'face_landmarks_wflw_test_largepose.json: 1 annotations of 1 images' in said
    assert 'face_landmarks_wflw_test_blur.json: 0 annotations of 0 images' in said
    assert main(command) == 2
    assert 'exists already' in capsys.readouterr().err
