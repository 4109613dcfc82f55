"""What tools write, read back: the same joints in the same images."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
from formats import WRITERS, read

from rlepose_ext.errors import UserError
from rlepose_ext.own_data.objects import Images


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
        (lambda c: c['annotations'][1]['keypoints'].__setitem__(0, float('nan')), 'a joint is NaN'),
        (lambda c: c['annotations'][1]['keypoints'].__setitem__(2, 7), 'a visibility is none of'),
        (lambda c: c['annotations'][1].update(bbox=[1, 2, 0, 5]), 'the box'),
        (lambda c: c['annotations'][1].update(image_id=77), 'of no image that is listed'),
    ],
)
def test_bad_entries_are_named_and_the_others_stay(geckos, change, said):
    _, objects, problems, _ = edited(geckos, change)
    assert len(objects) == 7
    assert len(problems) == 1
    assert said in problems[0]


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
