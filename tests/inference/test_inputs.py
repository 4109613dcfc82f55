"""What the user names as input."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from rlepose_ext.errors import UserError
from rlepose_ext.inference.box_file import BoxFile
from rlepose_ext.inference.sources import Source, check_names, find_sources

FRAME = [np.zeros((10, 10, 3), np.uint8)]


@pytest.fixture
def folder(tmp_path):
    for name in ('b.jpg', 'a.PNG', 'c.mp4', 'notes.txt'):
        (tmp_path / name).touch()
    (tmp_path / 'inner').mkdir()
    (tmp_path / 'inner' / 'd.jpg').touch()
    return tmp_path


def test_folders_patterns_and_files(folder):
    assert [s.path.name for s in find_sources(folder)] == ['a.PNG', 'b.jpg', 'c.mp4']
    assert [s.kind for s in find_sources(folder)] == ['image', 'image', 'video']
    assert [s.path.name for s in find_sources(str(folder / '*.jpg'))] == ['b.jpg']
    both = find_sources([folder / 'c.mp4', folder / 'b.jpg'])
    assert [s.output_name for s in both] == ['c.mp4', 'b.jpg']


def test_cameras(folder, monkeypatch):
    (camera,) = find_sources('webcam')
    assert camera.camera == 0
    assert camera.output_name == 'webcam.mp4'
    (second,) = find_sources('2')
    assert (second.kind, second.camera) == ('webcam', 2)


def test_standard_input(folder, monkeypatch):
    monkeypatch.setattr('sys.stdin', io.StringIO(f'{folder}/b.jpg\n\n{folder}/a.PNG\n'))
    assert [s.path.name for s in find_sources('-')] == ['b.jpg', 'a.PNG']
    monkeypatch.setattr('sys.stdin', io.StringIO('\n'))
    with pytest.raises(UserError, match='standard input'):
        find_sources('-')


def test_what_is_not_there(folder, tmp_path):
    (folder / 'empty').mkdir()
    for text, message in (
        ('nowhere.jpg', 'does not exist'),
        (folder / 'empty', 'neither images nor videos'),
        (str(folder / '*.webp'), 'no file fits'),
        (folder / 'notes.txt', r'neither an image .* nor a video'),
        ([], 'no input'),
    ):
        with pytest.raises(UserError, match=message):
            find_sources(text)


def test_results_of_two_inputs_need_two_names():
    sources = [Source('image', Path('x/a.jpg')), Source('image', Path('y/a.jpg'))]
    with pytest.raises(UserError, match='same name'):
        check_names(sources, by_stem=False)
    sources = [Source('image', Path('a.jpg')), Source('video', Path('a.mp4'))]
    check_names(sources, by_stem=False)
    with pytest.raises(UserError, match='same name'):
        check_names(sources, by_stem=True)


def boxes_of(tmp_path, content, name, **options):
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(content))
    ((boxes, scores),) = BoxFile(path, **options)(FRAME, [name])
    return boxes.tolist(), scores.tolist()


def test_three_forms_of_box_files(tmp_path):
    one = ([[1, 2, 4, 6]], [0.5])
    coco = [
        {'image_id': 785, 'category_id': 1, 'bbox': [1, 2, 3, 4], 'score': 0.5},
        {'image_id': 785, 'category_id': 2, 'bbox': [9, 9, 9, 9], 'score': 0.5},
        {'image_id': 785, 'category_id': 1, 'bbox': [9, 9, 9, 9], 'score': 0.2},
    ]
    assert boxes_of(tmp_path, coco, '000000000785.jpg') == one
    annotations = {
        'images': [{'id': 3, 'file_name': 'val/a.jpg'}],
        'annotations': [{'image_id': 3, 'bbox': [1, 2, 3, 4]}],
    }
    assert boxes_of(tmp_path, annotations, 'a.jpg') == ([[1, 2, 4, 6]], [1.0])
    plain = {'a.jpg': [[1, 2, 4, 6, 0.5]], 'v.mp4:3': [[1, 2, 4, 6]]}
    assert boxes_of(tmp_path, plain, 'a.jpg') == one
    assert boxes_of(tmp_path, plain, 'v.mp4:3') == ([[1, 2, 4, 6]], [1.0])
    assert boxes_of(tmp_path, plain, 'v.mp4:4') == ([], [])


def box_file(tmp_path, content):
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(content))
    return BoxFile(path)


def test_names_that_are_not_in_it(tmp_path):
    boxes = box_file(tmp_path, {'v.mp4:3': [[1, 2, 4, 6]], 'u/a.jpg': [], 'w.mp4': [[1, 2, 4, 6]]})
    assert boxes.check(['v.mp4', 'a.jpg']) == ''
    note = boxes.check(['v.mp4', 'b.jpg', 'a.jpg', 'w.mp4'])
    assert 'no entry for 2 of 4 inputs' in note
    assert note.endswith(': b.jpg, w.mp4')
    assert boxes.check(['v.mp4', *'bcdef']).endswith(': b, c, d, ...')
    with pytest.raises(UserError, match=r'no boxes of x\.jpg or of the 1 other'):
        boxes.check(['x.jpg', 'y.jpg'])
    # boxes of a video are those of its frames
    with pytest.raises(UserError, match=r'no boxes of w\.mp4; .* such as clip\.mp4:0'):
        boxes.check(['w.mp4'])


def test_an_image_without_persons_is_in_annotations(tmp_path):
    annotations = {
        'images': [{'id': 3, 'file_name': 'a.jpg'}, {'id': 4, 'file_name': 'b.jpg'}],
        'annotations': [{'image_id': 3, 'bbox': [1, 2, 3, 4]}],
    }
    boxes = box_file(tmp_path, annotations)
    assert boxes.check(['b.jpg', 'a.jpg']) == ''
    assert [len(found) for found, _ in boxes(FRAME * 2, ['a.jpg', 'b.jpg'])] == [1, 0]


def test_frames_of_a_video_are_no_images_of_coco(tmp_path):
    boxes = box_file(tmp_path, [{'image_id': 785, 'bbox': [1, 2, 3, 4]}])
    names = ['000000000785.jpg', '785.mp4:0', '785.mp4:785']
    assert [len(found) for found, _ in boxes(FRAME * 3, names)] == [1, 0, 0]
    assert boxes.check(['785.jpg', '785.mp4']).endswith(': 785.mp4')
    with pytest.raises(UserError, match=r'no boxes of 785\.mp4'):
        boxes.check(['785.mp4'])


@pytest.mark.parametrize('form', ['plain', 'annotations'])
def test_one_name_in_two_folders(tmp_path, form):
    files = ('x/a.jpg', 'y/a.jpg', 'x/v.mp4:0', 'y/v.mp4:0', 'x/b.jpg')
    content = {name: [[1, 2, 4, 6]] for name in files}
    if form == 'annotations':
        content = {
            'images': [{'id': n, 'file_name': name} for n, name in enumerate(files)],
            'annotations': [{'image_id': n, 'bbox': [1, 2, 3, 4]} for n in range(len(files))],
        }
    boxes = box_file(tmp_path, content)
    # nobody asks for the others
    assert boxes.check(['b.jpg']) == ''
    for name, frame in (('a.jpg', 'a.jpg'), ('v.mp4', 'v.mp4:0')):
        both = f'x/{frame} and y/{frame} have the same base name'
        with pytest.raises(UserError, match=both):
            boxes.check(['b.jpg', name])
        with pytest.raises(UserError, match=both):
            boxes(FRAME, [frame])


@pytest.mark.parametrize(('text', 'message'), [
    ('{"a.jpg": [[1, 2', 'not JSON'),
    ('[' * 100_000, 'not JSON'),
    ('{}', 'has no boxes'),
    ('3', 'expected COCO'),
    ('{"a.jpg": [[1, 2, 3]]}', '4 or 5 numbers'),
    ('{"a.jpg": [["x", 2, 3, 4]]}', 'could not convert'),
    ('[{"image_id": 1}]', 'bbox'),
    ('{"annotations": []}', 'images'),
])  # fmt: skip
def test_broken_box_files(tmp_path, text, message):
    path = tmp_path / 'boxes.json'
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        BoxFile(path)


def test_boxes_without_area_are_named(tmp_path):
    with pytest.raises(UserError, match=r'boxes\.json: a\.jpg'):
        boxes_of(tmp_path, {'a.jpg': [[5, 5, 1, 1]]}, 'a.jpg')
    with pytest.raises(UserError, match='cannot be read'):
        BoxFile(tmp_path / 'absent.json')
