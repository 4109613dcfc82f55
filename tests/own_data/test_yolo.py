"""Where a data.yaml says that images and labels are, and what it says of joints."""

import shutil

import pytest
from formats import read

from rlepose_ext.errors import UserError


@pytest.fixture
def data(geckos, labels_as):
    """The file, with its images in ``images/train`` and ``images/val``."""
    return labels_as('yolo')


def change(path, /, **lines):
    """Replace lines of the file; None removes one."""
    kept = [line for line in path.read_text().splitlines() if line.partition(':')[0] not in lines]
    kept += [f'{key}: {value}' for key, value in lines.items() if value is not None]
    path.write_text('\n'.join(kept))


def list_of(folder, start):
    return '\n'.join(f'{start}{path.name}' for path in sorted(folder.iterdir()))


def as_list(path):
    home = path.parent
    (home / 'train.txt').write_text(list_of(home / 'images/train', './images/train/'))
    change(path, path='../none', train='train.txt')


def as_list_of_the_root(path):
    home = path.parent
    (home / 'lists').mkdir()
    (home / 'lists/train.txt').write_text(list_of(home / 'images/train', 'images/train/') + '\n\n')
    change(path, train='lists/train.txt')


def as_list_of_whole_paths(path):
    home = path.parent
    (home / 'train.txt').write_text(list_of(home / 'images/train', f'{home}/images/train/'))
    change(path, train='train.txt')


def as_sequence(path):
    for kind in ('images', 'labels'):
        (path.parent / kind / 'more').mkdir()
        for file in (path.parent / kind / 'train').glob('gecko_0002.*'):
            shutil.move(file, path.parent / kind / 'more')
    change(path, train='[images/train, images/more]')


def as_roboflow(path):
    for kind in ('images', 'labels'):
        for part, folder in (('train', 'train'), ('val', 'valid')):
            (path.parent / folder).mkdir(exist_ok=True)
            shutil.move(path.parent / kind / part, path.parent / folder / kind)
    change(path, path=None, train='../train/images', val='../valid/images')


def as_part_of_another(path):
    change(path, train='images')


def as_other_key(path):
    change(path, val=None, validation='images/val')


@pytest.mark.parametrize(
    'layout',
    [
        as_list,
        as_list_of_the_root,
        as_list_of_whole_paths,
        as_sequence,
        as_roboflow,
        as_part_of_another,
        as_other_key,
    ],
)
def test_layouts(geckos, data, layout):
    layout(data)
    _, objects, problems, _ = read(geckos, data)
    assert problems == []
    assert sorted(o.part for o in objects) == ['train'] * 7 + ['val'] * 2
    assert len({o.file for o in objects}) == 8
    assert all(o.file.startswith('yolo/') for o in objects)


@pytest.mark.parametrize('part', ['train', 'val'])
@pytest.mark.parametrize(
    ('entry', 'where'),
    [
        ('images/gone', 'yolo/labels/gone'),
        ('../gone/images', 'gone/labels'),
        ('[images/train, images/gone]', 'yolo/labels/gone'),
        ('images/empty', 'yolo/labels/empty'),
        ('gone.txt', 'yolo/gone.txt'),
        ('empty.txt', 'yolo/empty.txt'),
    ],
)
def test_an_entry_without_labels(geckos, data, part, entry, where):
    for kind in ('images', 'labels'):
        (data.parent / kind / 'empty').mkdir()
    (data.parent / 'images/empty/a.png').write_bytes(b'')
    (data.parent / 'labels/empty/a.txt').write_text('\n')  # a picture without objects
    (data.parent / 'empty.txt').write_text('./images/empty/a.png')
    change(data, **{part: entry})
    with pytest.raises(UserError, match=rf'data\.yaml: {part}: .*gives no labels.*{where}[.,]'):
        read(geckos, data)


def test_entries_of_a_list_that_are_no_files(geckos, data):
    (data.parent / 'train.txt').write_text('./images/train/gecko_0002.png\n./images/gone.png')
    change(data, train='train.txt')
    _, objects, problems, _ = read(geckos, data)
    assert len(objects) == 3
    assert problems == [f'./images/gone.png of {data.parent / "train.txt"} is no file']


@pytest.mark.parametrize('line', ['gecko', '0 0.5 0.5', 'nan 0.5 0.5 0.1 0.1', '0 1 1 1 1 3'])
def test_lines_of_another_form(geckos, data, line):
    file = data.parent / 'labels/train/gecko_0002.txt'
    file.write_text(f'{line}\n{file.read_text()}')
    _, objects, problems, _ = read(geckos, data)
    assert len(objects) == 9
    assert [problem.startswith(f'line 1 of {file} ') for problem in problems] == [True]


NAMES = [f'j{k}' for k in range(13)]


@pytest.mark.parametrize(
    'names',
    [
        NAMES,
        {0: NAMES},
        {0: NAMES, 1: NAMES},
        dict(enumerate(NAMES)),
    ],
)
def test_names_of_joints(geckos, data, names):
    change(data, kpt_names=names)
    assert read(geckos, data)[0].joints == NAMES


@pytest.mark.parametrize(
    ('lines', 'said'),
    [
        ({'kpt_names': {0: NAMES, 1: NAMES[::-1]}}, 'other kpt_names for one class'),
        ({'kpt_names': NAMES[:5]}, r'kpt_shape \[13, 3\] and 5 names'),
        ({'flip_idx': [*range(1, 14)]}, 'has flip_idx'),  # counted from 1
        ({'flip_idx': [12, *range(12)]}, 'has flip_idx'),  # a ring, and no pairs
        ({'kpt_shape': None}, 'has no kpt_shape'),
        ({'train': None}, 'has no train'),
    ],
)
def test_contradictions(geckos, data, lines, said):
    change(data, **lines)
    with pytest.raises(UserError, match=rf'data\.yaml {said}|data\.yaml has {said}') as caught:
        read(geckos, data)
    assert 'Error' not in str(caught.value)
