"""LIP's csv: parsing, flags, counts, every kind of bad line, and the COCO file made of it."""

import json
import math
import struct

import numpy as np
import pytest
from lip_drawn import draw_lip
from mmengine.config import Config
from PIL import Image

from rlepose_ext.annotations import lip, lip_csv
from rlepose_ext.cli.main import main
from rlepose_ext.errors import UserError

WHOLE = [value for k in range(16) for value in (10 + k, 20 + k, 0)]


def line(name='a.jpg', **joints):
    """A csv line; ``j3='nan,nan,nan'`` changes joint 3."""
    cells = [f'{x},{y},{v}' for x, y, v in np.reshape(WHOLE, (16, 3)).tolist()]
    for key, text in joints.items():
        cells[int(key[1:])] = text
    return ','.join([name, *cells])


def parse(*lines):
    return lip_csv.parse_rows(lines)


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    return draw_lip(tmp_path_factory.mktemp('data') / 'lip')


def test_joints_and_pairs():
    assert lip.NUM_JOINTS == 16
    assert (lip.NECK, lip.HEAD) == (8, 9)
    names = lip.JOINTS
    swapped = {
        tuple(names.index(side + name.split('_', 1)[1]) for side in ('right_', 'left_'))
        for name in names
        if name.startswith('right_')
    }
    assert {tuple(sorted(pair)) for pair in swapped} == set(lip.FLIP_PAIRS)
    assert len(lip.SKELETON) == 15
    # a tree: 15 edges that reach all 16 joints
    reached, edges = {6}, set(lip.SKELETON)
    for _ in edges:
        reached |= {j for edge in edges if set(edge) & reached for j in edge}
    assert reached == set(range(16))
    columns = sorted(j for joints in lip.COLUMNS.values() for j in joints)
    assert tuple(columns) == lip.POOLED['Total'] == tuple(j for j in range(16) if j not in (6, 7))
    assert lip.POOLED['U.Body'] == tuple(range(8, 16))


def test_metainfo_of_the_configs(root):
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    config = Config.fromfile(root / 'configs/_base_/datasets/lip_topdown.py')
    info = parse_pose_metainfo(config.metainfo)
    assert tuple(info['keypoint_id2name'].values()) == lip.JOINTS
    pairs = {tuple(sorted(pair)) for pair in info['flip_pairs']}
    assert pairs == set(lip.FLIP_PAIRS)
    middle = [i for i, j in enumerate(info['flip_indices']) if i == j]
    assert middle == [6, 7, 8, 9]
    links = {tuple(sorted(link)) for link in info['skeleton_links']}
    assert links == {tuple(sorted(edge)) for edge in lip.SKELETON}


def test_a_line_by_hand():
    (row,), problems = parse(line(j0='nan,nan,nan', j1='5.5,7,1'))
    assert problems == []
    assert (row.line, row.name) == (1, 'a.jpg')
    assert row.joints[:3] == (None, (5.5, 7, 1), (12, 22, 0))
    content = lip_csv.to_coco([row], {'a.jpg': (100, 200)})
    (person,) = content['annotations']
    assert person['keypoints'][:9] == [0, 0, 0, 5.5, 7, 1, 12, 22, 2]
    assert person['num_keypoints'] == 15
    assert (person['bbox'], person['area']) == ([0, 0, 100, 200], 20000)
    assert content['images'] == [{'id': 1, 'file_name': 'a.jpg', 'width': 100, 'height': 200}]
    assert content['categories'][0]['keypoints'] == list(lip.JOINTS)


@pytest.mark.parametrize(('text', 'message'), [
    ('a.jpg,1,2', 'line 2: 3 columns, expected 49'),
    (line() + ',7', 'line 2: 50 columns, expected 49'),
    (line(''), 'line 2: no file name'),
    (line(j2='1,x,0'), "line 2: 'x' in column 9 is not a number"),
    (line(j0='1,inf,0'), "line 2: 'inf' in column 3 is not finite"),
    (line(j1='nan,4,0'), r'line 2: joint 1 \(right_knee\) is nan,4,0: all three'),
    (line(j9='3,4,2'), r'line 2: joint 9 \(head_top\) has v = 2, expected 0 .* or 1'),
    (line('a.jpg'), 'line 2: a.jpg is in line 1 already'),
])  # fmt: skip
def test_bad_lines_are_named(text, message):
    rows, problems = parse(line('a.jpg'), text, '', line('b.jpg'))
    assert [row.name for row in rows] == ['a.jpg', 'b.jpg']
    assert rows[1].line == 4
    (problem,) = problems
    assert problem.line == 2
    with pytest.raises(UserError, match=message):
        lip_csv.refuse('x.csv', problems, 'Do this.')


def test_a_header_is_recognised():
    header = ','.join(['image', *(f'{c}{k}' for k in range(16) for c in 'xyv')])
    rows, (problem,) = parse(header, line())
    assert len(rows) == 1
    assert 'has no header' in str(problem)


def test_byte_order_mark_and_windows_lines(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_bytes(('\ufeff' + line('a.jpg') + '\r\n' + line('b.jpg')).encode())
    rows, problems = lip_csv.read_csv(path)
    assert [row.name for row in rows] == ['a.jpg', 'b.jpg']
    assert problems == []


@pytest.mark.parametrize(
    ('content', 'message'),
    [(None, 'cannot be read as text'), (b'\xff\xfe\x00', 'cannot be read'), (b'\n', 'is empty')],
)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / 'a.csv'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        lip_csv.read_csv(path)
    assert str(path) in str(error.value)


def test_statistics_by_hand():
    rows, _ = parse(line('a', j0='nan,nan,nan', j1='1,1,1'), line('b'))
    counted = lip_csv.statistics(rows)
    assert (counted.images, counted.visible, counted.occluded, counted.absent) == (2, 30, 1, 1)
    assert counted.joints_per_image == {15: 1, 16: 1}
    assert '15 to 16 per image, all 16 in 1' in str(counted)
    assert str(lip_csv.statistics([])).startswith('0 images')


def test_statistics_of_the_real_csv(shared):
    """The figures of LIP's validation set; v = 1 is the rarer flag, so it is not 'visible'."""
    rows, problems = lip_csv.read_csv(shared / 'data' / 'lip' / 'val_annotations.csv')
    assert problems == []
    counted = lip_csv.statistics(rows)
    assert counted.images == 10_000
    assert counted.visible == 132_528
    assert counted.occluded == 11_920
    assert counted.absent == 15_552
    assert sum(counted.joints_per_image.values()) == 10_000
    assert (min(counted.joints_per_image), max(counted.joints_per_image)) == (9, 16)
    assert counted.joints_per_image[16] == 5_452
    # An order of joints that is right: ankles below knees below hips below the neck.
    ys = np.array([[j[1] if j else math.nan for j in row.joints] for row in rows])
    below = [(0, 1), (1, 2), (5, 4), (4, 3), (2, 8), (8, 9)]
    shares = [np.nanmean(np.where(np.isnan(ys[:, a] + ys[:, b]), np.nan, ys[:, a] > ys[:, b]))
              for a, b in below]  # fmt: skip
    assert min(shares) > 0.85


def test_size_is_that_of_the_image_as_it_is_loaded(tmp_path):
    """A photograph that is stored lying and turned by its EXIF tag."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (30, 20)).save(tmp_path / 'a.jpg', exif=exif)
    Image.new('L', (31, 21)).save(tmp_path / 'b.jpg')
    rows, _ = parse(line('a.jpg'), line('b.jpg'))
    sizes, problems = lip_csv.image_sizes(rows, tmp_path)
    import cv2

    assert problems == []
    assert sizes == {'a.jpg': (20, 30), 'b.jpg': (31, 21)}
    assert cv2.imread(str(tmp_path / 'a.jpg')).shape == (30, 20, 3)


def test_joints_outside_are_reported_and_kept(tmp_path):
    Image.new('RGB', (40, 50)).save(tmp_path / 'a.png')
    rows, _ = parse(line('a.png', j4='39,49,0', j5='40,10,0', j6='-1,10,1', j7='3,50,0'))
    found = lip_csv.outside(rows, {'a.png': (40, 50)})
    assert [str(p).split(' at ')[0] for p in found] == [
        'line 1: joint 5 (left_ankle)', 'line 1: joint 6 (pelvis)', 'line 1: joint 7 (spine)',
    ]  # fmt: skip
    assert lip_csv.to_coco(rows, {'a.png': (40, 50)})['annotations'][0]['num_keypoints'] == 16


# --- the command -------------------------------------------------------------------------


def test_command_converts(drawn, tmp_path, capsys):
    out = tmp_path / 'new' / 'lip.json'
    arguments = ['convert', 'lip', str(drawn / 'lip_val.csv'), str(drawn / 'val_images'), str(out)]
    assert main(arguments) == 0
    assert out.read_text() == (drawn / 'annotations/lip_val.json').read_text()
    assert '4 images; joints: ' in capsys.readouterr().out
    out.write_text('precious')
    assert main(arguments) == 2
    assert 'add --force' in capsys.readouterr().err
    assert out.read_text() == 'precious'
    assert main([*arguments, '--force']) == 0
    assert json.loads(out.read_text())['images']
    assert [path.name for path in out.parent.iterdir()] == ['lip.json']


def test_command_counts(drawn, capsys):
    assert main(['convert', 'lip', str(drawn / 'lip_train.csv')]) == 0
    assert 'lip_train.csv: 6 images' in capsys.readouterr().out
    assert main(['convert', 'lip', str(drawn / 'lip_train.csv'), str(drawn)]) == 2
    assert 'OUT is missing' in capsys.readouterr().err


def test_command_refuses_or_leaves_out(tmp_path, capsys):
    images = tmp_path / 'images'
    images.mkdir()
    Image.new('RGB', (12, 50)).save(images / 'a.png')
    (images / 'torn.png').write_bytes(b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13))
    table = tmp_path / 'lip.csv'
    lines = [line('a.png'), 'b.png,1', line('c.png'), line('torn.png')]
    table.write_text('\n'.join(lines))
    out = tmp_path / 'out.json'
    arguments = ['convert', 'lip', str(table), str(images), str(out)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    for part in ('3 bad line(s)', 'line 2: 2 columns', 'line 3: image', 'is missing', 'line 4: '):
        assert part in error
    assert 'torn.png is broken' in error
    assert not out.exists()

    assert main([*arguments, '--skip-bad']) == 0
    said = capsys.readouterr().out
    assert said.count('left out, line') == 3
    assert said.count('kept, line 1: joint') == 14
    assert '3 lines left out; 14 joints outside' in said
    content = json.loads(out.read_text())
    assert [image['file_name'] for image in content['images']] == ['a.png']

    assert main(['convert', 'lip', str(table), str(tmp_path / 'no'), str(out), '--force']) == 2
    assert 'does not exist' in capsys.readouterr().err
    table.write_text(line('z.png'))
    assert main([*arguments, '--force', '--skip-bad']) == 2
    assert 'No line is left' in capsys.readouterr().err
    assert json.loads(out.read_text()) == content
