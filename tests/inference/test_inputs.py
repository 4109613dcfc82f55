"""What the user names as input."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from rlepose_ext.errors import UserError
from rlepose_ext.inference.box_file import BoxFile
from rlepose_ext.inference.sources import Source, find_sources, name_apart

FRAME = [np.zeros((10, 10, 3), np.uint8)]


@pytest.fixture
def folder(tmp_path):
    for name in ('b.jpg', 'a.PNG', 'c.mp4', 'notes.txt'):
        (tmp_path / name).touch()
    (tmp_path / 'inner').mkdir()
    (tmp_path / 'inner' / 'd.jpg').touch()
    return tmp_path


def test_folders_patterns_files_cameras_and_standard_input(folder, monkeypatch):
    assert [s.path.name for s in find_sources(folder)] == ['a.PNG', 'b.jpg', 'c.mp4']
    assert [s.kind for s in find_sources(folder)] == ['image', 'image', 'video']
    assert [s.path.name for s in find_sources(str(folder / '*.jpg'))] == ['b.jpg']
    both = find_sources([folder / 'c.mp4', folder / 'b.jpg'])
    assert [s.output_name for s in both] == ['c.mp4', 'b.jpg']
    monkeypatch.setattr('sys.stdin', io.StringIO(f'{folder}/b.jpg\n\n{folder}/a.PNG\n'))
    assert [s.path.name for s in find_sources('-')] == ['b.jpg', 'a.PNG']
    cameras = [*find_sources('webcam'), *find_sources('2')]
    found = [(s.kind, s.camera, s.output_name) for s in cameras]
    assert found == [('webcam', 0, 'webcam.mp4'), ('webcam', 2, found[1][2])]


def test_what_is_not_there(folder, monkeypatch):
    monkeypatch.setattr('sys.stdin', io.StringIO('\n'))
    (folder / 'empty').mkdir()
    for text, message in (
        ('nowhere.jpg', 'does not exist'),
        (folder / 'empty', 'neither images nor videos'),
        (str(folder / '*.webp'), 'no file fits'),
        (folder / 'notes.txt', r'neither an image .* nor a video'),
        (['', 'nowhere.jpg'], 'is empty text'),
        ('-', 'standard input'),
        (str(folder / ('a' * 300 + '.jpg')), r'cannot be read|does not exist'),
        (str(folder / 'a\0.jpg'), r'cannot be read|does not exist'),
    ):
        with pytest.raises(UserError, match=message):
            find_sources(text)


def test_results_of_two_inputs_have_two_names():
    def named(*paths):
        sources = [Source('video' if p.endswith('4') else 'image', Path(p)) for p in paths]
        return [source.output_name for source in name_apart(sources)]

    assert named('a/1.jpg', 'b/1.jpg', 'b/2.jpg') == ['1.jpg', '1_2.jpg', '2.jpg']
    # files beside the drawn ones are called after the stem
    assert named('a.jpg', 'a.mp4', 'A.png') == ['a.jpg', 'a_2.mp4', 'A_3.png']
    # a number does not lead to the name of another input, and an input again is the same
    assert named('a/1.jpg', 'b/1.jpg', 'b/1.jpg', 'c/1_2.gif') == [
        *('1.jpg', '1_3.jpg', '1_3.jpg', '1_2.png')
    ]


def test_nested_folders(folder):
    (folder / '.cache').mkdir()
    (folder / '.cache' / 'z.jpg').touch()
    (folder / 'inner' / 'b.jpg').touch()
    (folder / 'inner' / 'round').symlink_to(folder, target_is_directory=True)
    found = find_sources(folder, nested=True)
    assert [str(source.path.relative_to(folder)) for source in found] == [
        *('a.PNG', 'b.jpg', 'c.mp4', 'inner/b.jpg', 'inner/d.jpg')
    ]
    assert [source.stem for source in found] == ['a', 'b', 'c', 'b_2', 'd']
    (folder / 'inner' / 'round').unlink()
    assert [s.path.name for s in find_sources(f'{folder}/**/d.jpg')] == ['d.jpg']
    (folder / 'outer').mkdir()
    (folder / 'inner').rename(folder / 'outer' / 'inner')
    with pytest.raises(UserError, match='--nested takes those'):
        find_sources(folder / 'outer')


def test_one_of_several_that_is_not_there(folder):
    found = find_sources([folder / 'b.jpg', 'nowhere.jpg', folder / 'notes.txt'])
    assert [source.kind for source in found] == ['image', 'bad', 'bad']
    with pytest.raises(UserError, match=r'nowhere\.jpg does not exist'):
        found[1].resolve()
    with pytest.raises(UserError, match=r'nowhere\.jpg does not exist'):
        find_sources(['nowhere.jpg', 'nor.jpg'])
    assert find_sources([]) == []
    # what fits a pattern and is no picture is left out
    assert [s.path.name for s in find_sources(f'{folder}/*')] == ['a.PNG', 'b.jpg', 'c.mp4']
    with pytest.raises(UserError, match=r'only .*notes\.txt'):
        find_sources(f'{folder}/n*')


def test_addresses_have_names_without_passwords():
    found = find_sources([
        'https://me:secret@site.org/a%20b/street.jpg?size=2',
        'rtsp://me:secret@10.0.0.7:554/',
        'https://site.org/download?id=3',
    ])  # fmt: skip
    assert [source.output_name for source in found] == [
        'street.jpg',
        '10-0-0-7.mp4',
        'download.jpg',
    ]
    assert [source.kind for source in found] == ['image', 'stream', 'url']
    assert [source.label for source in found] == [
        'https://site.org/a%20b/street.jpg?size=2',
        'rtsp://10.0.0.7:554/',
        'https://site.org/download?id=3',
    ]
    assert 'secret' in found[1].readable


@pytest.mark.parametrize('begin', ['file://', 'file://localhost', 'FILE://'])
def test_addresses_of_files(folder, begin):
    (folder / '100% [new] #1?.jpg').touch()
    (found,) = find_sources(f'{begin}{folder}/100%25%20%5Bnew%5D%20%231%3F.jpg')
    assert (found.kind, found.path) == ('image', folder / '100% [new] #1?.jpg')
    assert len(find_sources(f'{begin}{folder}')) == 4
    with pytest.raises(UserError, match=f'{folder}/no one.jpg does not exist'):
        find_sources(f'{begin}{folder}/no%20one.jpg')


@pytest.mark.parametrize('text', ['ftp://me:secret@a.org/b.jpg', 's3://b/*.jpg', 'file://b/c.jpg'])
def test_addresses_that_are_not_read(text):
    with pytest.raises(UserError, match=r'expected file:///PATH, .* https, .*, got \w+://') as told:
        find_sources(text)
    assert 'secret' not in str(told.value)


# --- boxes from a file ------------------------------------------------------------------

COCO = [
    {'image_id': 785, 'category_id': 1, 'bbox': [1, 2, 3, 4], 'score': 0.5},
    {'image_id': 785, 'category_id': 2, 'bbox': [9, 9, 9, 9], 'score': 0.5},
    {'image_id': 785, 'category_id': 1, 'bbox': [9, 9, 9, 9], 'score': 0.2},
]
ANNOTATIONS = {
    'images': [{'id': 3, 'file_name': 'val/a.jpg'}, {'id': 4, 'file_name': 'b.jpg'}],
    'annotations': [{'image_id': 3, 'bbox': [1, 2, 3, 4]}],
}
PLAIN = {'a.jpg': [[1, 2, 4, 6, 0.5]], 'v.mp4:3': [[1, 2, 4, 6]], 'u/c.jpg': [], 'w.mp4': [[1] * 4]}


@pytest.fixture
def box_file(tmp_path):
    def write(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / 'boxes.json').write_text(text)
        return BoxFile(tmp_path / 'boxes.json')

    return write


@pytest.mark.parametrize(
    ('content', 'name', 'scores'),
    [
        (COCO, '000000000785.jpg', [0.5]),
        (COCO, '785.mp4:785', []),  # frames of a video are no images of COCO
        (ANNOTATIONS, 'a.jpg', [1.0]),
        (ANNOTATIONS, 'b.jpg', []),
        (PLAIN, 'a.jpg', [0.5]),
        (PLAIN, 'v.mp4:3', [1.0]),
        (PLAIN, 'v.mp4:4', []),
    ],
)
def test_three_forms_of_box_files(box_file, content, name, scores):
    ((boxes, found),) = box_file(content)(FRAME, [name])
    assert boxes.tolist() == [[1, 2, 4, 6]] * len(scores)
    assert found.tolist() == scores


def test_names_that_are_not_in_it(box_file):
    boxes = box_file(PLAIN)
    assert boxes.check(['v.mp4', 'c.jpg']) == ''
    note = boxes.check(['v.mp4', 'b.jpg', 'a.jpg', 'w.mp4'])
    assert 'no entry for 2 of 4 inputs' in note
    assert note.endswith(': b.jpg, w.mp4')
    assert boxes.check(['v.mp4', *'bcdef']).endswith(': b, c, d, ...')
    assert box_file(ANNOTATIONS).check(['b.jpg', 'a.jpg']) == ''
    assert box_file(COCO).check(['785.jpg', '785.mp4']).endswith(': 785.mp4')
    for content, names, message in (
        (PLAIN, ['x.jpg', 'y.jpg'], r'no boxes of x\.jpg or of the 1 other'),
        # boxes of a video are those of its frames
        (PLAIN, ['w.mp4'], r'no boxes of w\.mp4; .* such as clip\.mp4:0'),
        (COCO, ['785.mp4'], r'no boxes of 785\.mp4'),
    ):
        with pytest.raises(UserError, match=message):
            box_file(content).check(names)


@pytest.mark.parametrize('form', ['plain', 'annotations'])
def test_one_name_in_two_folders(box_file, form):
    files = ('x/a.jpg', 'y/a.jpg', 'x/v.mp4:0', 'y/v.mp4:0', 'x/b.jpg')
    content = {name: [[1, 2, 4, 6]] for name in files}
    if form == 'annotations':
        content = {
            'images': [{'id': n, 'file_name': name} for n, name in enumerate(files)],
            'annotations': [{'image_id': n, 'bbox': [1, 2, 3, 4]} for n in range(len(files))],
        }
    boxes = box_file(content)
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
    ('{"a.jpg": [[5, 5, 1, 1]]}', r'boxes\.json: a\.jpg'),
])  # fmt: skip
def test_broken_box_files(box_file, text, message):
    with pytest.raises(UserError, match=message):
        box_file(text)(FRAME, ['a.jpg'])
    with pytest.raises(UserError, match='cannot be read'):
        BoxFile('absent.json')
