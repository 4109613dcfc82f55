"""What tools write, read back: the same joints in the same images."""

import json
import shutil
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from formats import WRITERS, read

from rlepose_ext.errors import UserError
from rlepose_ext.own_data.objects import Images
from rlepose_ext.own_data.project import init


@pytest.mark.parametrize('boxes', [False, True])
@pytest.mark.parametrize('kind', WRITERS)
def test_round_trip(geckos, items, labels_as, kind, boxes):
    joints, written = items
    path = labels_as(kind, boxes)
    labels, objects, problems, bare = read(geckos, path)
    assert (problems, bare) == ([], 0)
    assert labels.joints == joints
    assert len(objects) == len(written) == 9
    for item, found in zip(written, objects, strict=True):
        folder = 'images' if kind != 'yolo' else found.file.rpartition('/')[0]
        assert found.file == f'{folder}/{item.image}'
        assert found.size == (144, 144)
        expected = np.array([item.joints[name] for name in joints])
        if kind == 'deeplabcut':  # does not know hidden joints
            expected[:, 2] = 2 * (expected[:, 2] > 0)
        np.testing.assert_allclose(found.keypoints, expected, atol=1e-6)
        if boxes and kind != 'deeplabcut':
            np.testing.assert_allclose(found.box, item.box)
        elif kind != 'yolo':
            places = expected[expected[:, 2] > 0, :2]
            low, high = found.box[:2], found.box[:2] + found.box[2:]
            assert (low < places.min(axis=0)).all() or (low == 0).any()
            assert (high > places.max(axis=0)).all() or (high == 144).any()
            assert (low >= 0).all()
            assert (high <= 144).all()
    if kind == 'yolo':
        assert [o.part for o in objects] == ['train'] * 7 + ['val'] * 2
        assert ('left_knee', 'right_knee') in labels.pairs


@pytest.mark.parametrize('kind', ['coco', 'labelme', 'cvat', 'csv'])
def test_a_kind_is_found_in_the_folder(geckos, labels_as, kind):
    labels_as(kind)
    labels, objects, *_ = read(geckos, kind)
    assert labels.kind == kind
    assert len(objects) == 9


def test_a_table_for_one_animal(geckos):
    """DeepLabCut's three header rows and one column of paths; and with semicolons."""
    (geckos / 'a.csv').write_text(
        'scorer,me,me,me,me\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n'
        'labeled-data/v/gecko_0001.png,1.5,2,30,40\nlabeled-data/v/gecko_0002.png,,,3,4\n'
    )
    labels, objects, problems, bare = read(geckos, 'a.csv')
    assert labels.joints == ['nose', 'tail']
    assert (problems, bare) == ([], 1)  # one joint gives no box
    assert objects[0].keypoints.tolist() == [[1.5, 2, 2], [30, 40, 2]]
    (geckos / 'b.csv').write_text(
        'image;nose_x;nose_y;tail_x;tail_y\ngecko_0001.png;1.5;2;30;40\ngecko_0002.png;5;6;7;8\n'
    )
    _, objects, problems, _ = read(geckos, 'b.csv')
    assert not problems
    assert objects[0].keypoints.tolist() == [[1.5, 2, 2], [30, 40, 2]]


def test_of_images_with_one_name_the_folder_decides(geckos):
    for name in ('a', 'b'):
        (geckos / name).mkdir()
        (geckos / name / 'one.png').write_bytes((geckos / 'images/gecko_0001.png').read_bytes())
    images = Images(geckos, geckos / 'labels.json', geckos / 'rlepose')
    assert images('elsewhere/b/one.png')[0] == 'b/one.png'
    with pytest.raises(ValueError, match='2 images of this name'):
        images('one.png')


def edited(geckos, change):
    path = geckos / 'labels.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return read(geckos, path)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda c: c['images'][0].update(file_name='gone.png'), 'gone.png: no such image'),
        (
            lambda c: c['annotations'][1]['keypoints'].extend([1, 2, 2]),
            'has 14 joints, expected 13',
        ),
        (lambda c: c['annotations'][1]['keypoints'].__setitem__(0, float('nan')), 'at nan, '),
        (
            lambda c: c['annotations'][1]['keypoints'].__setitem__(0, 9000),
            'far out of the image of',
        ),
        (lambda c: c['annotations'][1]['keypoints'].__setitem__(2, 7), 'a visibility is none of'),
        (lambda c: c['annotations'][1].update(bbox=[1, 2, 0, 5]), 'the box'),
        (lambda c: c['annotations'][1].update(bbox=[150, 2, 9, 5]), 'is out of the image of'),
        (lambda c: c['images'][1].update(width=288, height=288), 'labelled at 288x288 px, but'),
        (lambda c: c['annotations'][1].update(image_id=77), 'of no image that is listed'),
    ],
)
def test_bad_entries_are_named_and_the_others_stay(geckos, change, said):
    _, objects, problems, _ = edited(geckos, change)
    assert len(objects) == 7
    assert len(problems) == 1
    assert said in problems[0]


@pytest.mark.parametrize('box', [None, [], [0, 0, 0, 0]])
def test_an_empty_box_is_none(geckos, box):
    _, objects, problems, _ = edited(geckos, lambda c: c['annotations'][1].update(bbox=box))
    assert (len(objects), problems) == (8, [])


@pytest.mark.parametrize('place', [(0, 0), (-1, -1)])
def test_joints_that_are_nowhere(geckos, place):
    """What tools write for a joint that is not in the image."""

    def change(content):
        content['annotations'][1]['keypoints'][:2] = place

    labels, objects, problems, _ = edited(geckos, change)
    assert not problems
    assert objects[1].keypoints[0].tolist() == [0, 0, 0]
    assert '1 joints at exactly 0, 0 or -1, -1 are taken as not labelled' in labels.notes


def test_numbers_that_are_texts(geckos):
    """As some programs write them."""

    def change(content):
        keypoints = content['annotations'][1]['keypoints']
        keypoints[:] = map(str, keypoints)

    _, objects, problems, _ = edited(geckos, change)
    assert (len(objects), problems) == (8, [])


@pytest.mark.parametrize('kind', ['labelme', 'cvat'])
def test_labels_of_a_copy_of_another_size(geckos, labels_as, kind):
    """What is drawn on a smaller copy would lie at wrong places in the image."""
    path = labels_as(kind)
    file = path if path.is_file() else path / 'gecko_0002.png.json'
    text = file.read_text().replace('width="144"', 'width="72"')
    text = text.replace('"imagePath"', '"imageWidth": 72, "imageHeight": 144, "imagePath"')
    file.write_text(text)
    _, objects, problems, _ = read(geckos, path)
    assert len(objects) == {'labelme': 8, 'cvat': 0}[kind]
    assert 'gecko_0002.png: labelled at 72x144 px, but the file has 144x144' in '\n'.join(problems)


def test_fractions_where_px_are_expected(geckos):
    (geckos / 'a.csv').write_text(
        'image,nose_x,nose_y,tail_x,tail_y\ngecko_0001.png,0.1,0.2,0.3,0.4\n'
    )
    with pytest.raises(UserError, match=r'a\.csv: no joint is more than 1 px away.*expected px'):
        read(geckos, 'a.csv')


def test_names_of_images_as_systems_write_them(geckos):
    """Windows' separators and case, and accents as macOS takes them apart."""
    (geckos / 'Früh am Tag').mkdir()
    (geckos / 'images/gecko_0001.png').rename(geckos / 'Früh am Tag/Gécko.PNG')
    images = Images(geckos, geckos / 'labels.json', geckos / 'rlepose')
    found = 'Früh am Tag/Gécko.PNG'
    for name in ('früh am tag\\gécko.png', unicodedata.normalize('NFD', found), 'C:\\a\\Gécko.PNG'):
        assert images(name) == (found, (144, 144))


def test_tables_as_excel_writes_them(geckos):
    """Decimal commas, an index before the image, Windows' characters, and two columns too many."""
    (geckos / 'images/gecko_0001.png').rename(geckos / 'images/Gécko.png')
    text = (
        ';image;nose_x;nose_y;tail_x;tail_y;box_w;comment\r\n'
        '0;Gécko.png;1,5;2;30;40,25;9;x\r\n\r\n1;gecko_0002.png;5;n/a;7;8;9;\r\n'
    )
    for encoding in ('utf-8-sig', 'cp1252', 'utf-16'):
        (geckos / 'a.csv').write_bytes(text.encode(encoding))
        labels, objects, problems, _ = read(geckos, 'a.csv')
        assert objects[0].keypoints.tolist() == [[1.5, 2, 2], [30, 40.25, 2]]
        assert problems == ["line 4, gecko_0002.png: nose_y is 'n/a', expected a number"]
        assert 'columns that are not used: box_w, comment' in labels.notes
    (geckos / 'a.csv').write_text('image,nose_x,nose_y\ngecko_0002.png,"1,234",5\n')
    assert "nose_x is '1,234', expected a number" in read(geckos, 'a.csv')[2][0]
    (geckos / 'a.csv').write_text(text.replace(',', '.').replace(';', '\t'))
    assert read(geckos, 'a.csv')[1][0].keypoints.tolist() == [[1.5, 2, 2], [30, 40.25, 2]]


@pytest.mark.parametrize(
    ('kind', 'text', 'why'),
    [
        ('csv', 'image,nose_x,nose_y\n', 'one row, the names of the columns'),
        (
            'json',
            '{"images": [], "categories": [], "annotations": '
            '[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]}',
            '1 of 1 annotations have no keypoints',
        ),
        (
            'xml',
            '<annotations><image name="gecko_0001.png"><polygon/></image></annotations>',
            'what is not read: 1 polygon',
        ),
    ],
)
def test_why_there_is_nothing(geckos, kind, text, why):
    (geckos / f'a.{kind}').write_text(text)
    with pytest.raises(UserError, match=f'found 0 objects that can be used; .*{why}'):
        init(geckos, f'a.{kind}')


def test_a_truncated_image_is_named(geckos):
    path = geckos / 'images/gecko_0003.png'
    path.write_bytes(path.read_bytes()[:-40])
    _, objects, problems, _ = read(geckos, 'labels.json')
    assert len(objects) == 7
    assert problems == ['gecko_0003.png: the image is empty, truncated or no image']


DUPLICATES = {
    'labels.json': '{"images": [], "categories": [{"id": 1, "keypoints": ["tail", "tail", "a"]}]}',
    'data.yaml': 'train: images\nkpt_shape: [2, 3]\nkpt_names: {0: [tail, tail]}',
    'joints.csv': 'image,tail_x,tail_y,tail_x,tail_y',
    'flags.csv': 'image,tail_x,tail_y,tail_v,tail_v',
    'CollectedData.csv': 'scorer,me,me,me,me\nbodyparts,tail,tail,tail,tail\ncoords,x,y,x,y',
}


@pytest.mark.parametrize('name', DUPLICATES)
def test_a_name_that_comes_twice_is_refused(geckos, name):
    """One joint would take the place of the other."""
    (geckos / name).write_text(DUPLICATES[name])
    (geckos / 'images/gecko_0001.txt').write_text('0 0.5 0.5 0.2 0.2 0.5 0.5 2 0.6 0.6 2')
    (geckos / 'labels').mkdir()
    shutil.move(geckos / 'images/gecko_0001.txt', geckos / 'labels')
    with pytest.raises(UserError, match=rf"{name} has the .*'tail.*more than once"):
        read(geckos, name)


@pytest.mark.parametrize(
    ('skeleton', 'links', 'noted'),
    [
        ([[1, 2], [2, 13]], [(0, 1), (1, 12)], False),
        ([[0, 1], [1, 12]], [(0, 1), (1, 12)], True),
        ([], [], False),
        (None, [], False),
    ],
)
def test_links_of_coco(geckos, skeleton, links, noted):
    labels, *_ = edited(geckos, lambda c: c['categories'][0].update(skeleton=skeleton))
    assert labels.links == [(labels.joints[a], labels.joints[b]) for a, b in links]
    assert any('numbered from 0' in note for note in labels.notes) == noted


@pytest.mark.parametrize('skeleton', [[[1, 14]], [[0, 13]], [[-1, 2]]])
def test_links_to_no_joint(geckos, skeleton):
    with pytest.raises(UserError, match=r'labels\.json has a skeleton with the joint'):
        edited(geckos, lambda c: c['categories'][0].update(skeleton=skeleton))


def test_an_empty_table(geckos):
    (geckos / 'a.csv').write_text('\n')
    with pytest.raises(UserError, match=r'a\.csv is empty, expected the columns image'):
        read(geckos, 'a.csv')


def test_links_of_cvat(geckos, labels_as):
    path = labels_as('cvat')
    labels, *_ = read(geckos, path)
    assert labels.links == list(pairwise(labels.joints[:-1]))
    # a joint whose circle has no name
    path.write_text(path.read_text().replace('data-label-name="left_hand"', ''))
    assert read(geckos, path)[0].links == [
        link for link in pairwise(labels.joints[:-1]) if 'left_hand' not in link
    ]


def test_video_exports_of_cvat_are_refused(geckos):
    (geckos / 'a.xml').write_text('<annotations><track id="0"/></annotations>')
    with pytest.raises(UserError, match=r'CVAT for images 1\.1", not as one for video'):
        read(geckos, 'a.xml')
