"""The check: clean data are clean, and each thing that is broken is named."""

import json
import re
from dataclasses import replace

import pytest
from mmpose.datasets.datasets import CocoDataset
from reports import notes, only_problem, problems

from rlepose_ext.annotations.check import check_part
from rlepose_ext.annotations.coco_file import DataError
from rlepose_ext.annotations.contact_sheet import write_sheet
from rlepose_ext.annotations.report import Finding, Findings, as_json, as_text


def test_clean_data_have_no_findings(check):
    report = check(num_images=24, num_annotations=24)
    assert report.findings == []
    assert report.counts == {
        'images': 24, 'annotations': 24, 'persons': 24, 'labelled_joints': 120,
        'images_checked': 24,
    }  # fmt: skip
    assert report.flips.count('confirmed') == 5
    left, right = report.joints[1:3]
    assert (left.name, left.labelled, left.visible, left.outside) == ('left_hand', 1, 1, 0)
    assert right.x < 0.2 < 0.8 < left.x
    assert 'No problems.' in as_text([report])
    assert json.loads(json.dumps(as_json([report]), allow_nan=False))['ok']


def test_limit_spreads_over_the_files(check, puppets):
    for number in range(2, 24):
        (puppets / f'images/train_{number:03d}.png').unlink()
    report = check(limit=2)  # the first and the last
    assert report.counts['images_checked'] == 2
    assert problems(report) == []


def break_image(folder, kind):
    path = folder / 'images/train_007.png'
    content = path.read_bytes()
    if kind == 'missing':
        path.unlink()
    elif kind == 'other size':
        path.write_bytes((folder / 'images/train_008.png').read_bytes())
    else:
        path.write_bytes(
            {'truncated': content[: len(content) // 2], 'empty': b'', 'no image': b'IEND' * 40}[
                kind
            ]
        )


@pytest.mark.parametrize(
    ('kind', 'said'),
    [
        ('missing', 'images are missing: train_007.png'),
        ('truncated', 'images are broken: train_007.png (truncated)'),
        ('empty', 'images are broken: train_007.png (empty)'),
        ('no image', 'images are broken: train_007.png (no image)'),
        ('other size', 'images have another size than annotated: train_007.png ('),
    ],
)
def test_images(check, puppets, kind, said):
    break_image(puppets, kind)
    assert said in only_problem(check())


def test_no_image_folder(check, puppets):
    report = check(images=puppets / 'pictures')
    assert f'the image folder {puppets / "pictures"} does not exist' in only_problem(report)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('', 'cannot be read, it is empty'),
        ('{"images": [', 'it is not JSON'),
        ('[]', 'holds a JSON list'),
        ('{"annotations": []}', "has no 'images'"),
        ('{"images": [{"id": 1}], "annotations": []}', 'no file_name'),
    ],
)
def test_files_that_are_no_annotations(check, puppets, text, said):
    path = puppets / 'train.json'
    path.write_text(text)
    report = check()
    assert said in only_problem(report)
    assert str(path) in only_problem(report)
    assert not json.loads(json.dumps(as_json([report])))['ok']


def test_absent_annotations(check, puppets):
    (puppets / 'train.json').unlink()
    assert 'does not exist' in only_problem(check())


def first(content, **values):
    content['annotations'][0].update(values)


KEYPOINTS = [50, 20, 2, 90, 60, 2, 10, 60, 2, 70, 90, 2, 30, 90, 2]
EDITS = {
    'wrong joint count': (
        lambda c: first(c, keypoints=KEYPOINTS[:12]),
        'annotations have another number of joints than the 5 of m',
        '1 (4)',
    ),
    'annotation id twice': (lambda c: first(c, id=2), 'annotation ids come more than once', '2'),
    'image id twice': (
        lambda c: c['images'][0].update(id=2),
        'image ids come more than once',
        '2',
    ),
    'image twice': (
        lambda c: c['images'].append({**c['images'][0], 'id': 99}),
        'image files are listed more than once',
        'train_001.png',
    ),
    'nan': (
        lambda c: first(c, keypoints=[float('nan'), *KEYPOINTS[1:]]),
        'annotations have joints that are NaN or infinite',
        '1',
    ),
    'visibility': (
        lambda c: first(c, keypoints=[50, 20, 3, *KEYPOINTS[3:]]),
        'annotations have a visibility other than 0, 1, 2',
        '1',
    ),
    'num_keypoints': (
        lambda c: first(c, num_keypoints=0),
        'num_keypoints 0, so MMPose leaves them out',
        '1',
    ),
    'empty box': (
        lambda c: first(c, bbox=[10, 10, 0, 50]),
        'annotations with labelled joints have no usable box',
        '1',
    ),
    'box away': (
        lambda c: first(c, bbox=[900, 900, 50, 50]),
        'boxes lie wholly out of the image',
        '1',
    ),
    'box of three': (lambda c: first(c, bbox=[1, 2, 3]), 'expected x, y, width', '[1, 2, 3]'),
    'no list of joints': (
        lambda c: first(c, keypoints=5),
        'annotation 1',
        'are 5; expected a list',
    ),
    'joints are null': (lambda c: first(c, keypoints=None), 'annotation 1', 'are None'),
    'joints half nested': (
        lambda c: first(c, keypoints=[[50, 20, 2], *KEYPOINTS[3:]]),
        'annotation 1',
        'expected a list with x, y, visibility of each joint',
    ),
    'joints nested twice': (
        lambda c: first(c, keypoints=[[[n, n, n]] * 3 for n in KEYPOINTS[:5]]),
        'keypoints of annotation 1',
        'are not all numbers',
    ),
    'null num_keypoints': (
        lambda c: first(c, num_keypoints=None),
        'num_keypoints that is no number',
        ': 1',
    ),
    'text num_keypoints': (
        lambda c: first(c, num_keypoints='5'),
        'num_keypoints that is no number',
        ': 1',
    ),
    'text width': (
        lambda c: c['images'][0].update(width='abc'),
        'image 1 in',
        "has the size 'abc', ",
    ),
    'list as image id': (
        lambda c: c['images'][2].update(id=[3]),
        "id of entry 2 of 'images'",
        'is [3]; expected a number or a text',
    ),
    'list as annotation id': (
        lambda c: first(c, id=[1]),
        "id of entry 0 of 'annotations'",
        'is [1]; expected',
    ),
    'object as id of the image': (
        lambda c: first(c, image_id={}),
        "image_id of entry 0 of 'annotations'",
        'is {}; expected',
    ),
    'null category': (
        lambda c: first(c, category_id=None),
        "category_id of entry 0 of 'annotations'",
        'is None; expected',
    ),
    'words': (lambda c: first(c, keypoints=['a'] * 15), 'are not all numbers', 'annotation 1'),
}


@pytest.mark.parametrize('name', EDITS)
def test_annotations(check, edit, name):
    change, said, example = EDITS[name]
    edit(change)
    found = [problem for problem in problems(check()) if said in problem]
    assert len(found) == 1
    assert example in found[0]
    assert found[0].startswith('problem: ')


# What stock MMPose cannot load; it goes on with the others.
FATAL = {
    'box of three', 'no list of joints', 'joints are null', 'joints half nested', 'text width',
    'list as image id', 'list as annotation id', 'object as id of the image', 'words',
}  # fmt: skip


@pytest.mark.parametrize('data_mode', ['topdown', 'bottomup'])
@pytest.mark.parametrize('name', EDITS)
def test_annotations_when_a_data_set_is_built(edit, root, name, data_mode):
    change, said, _ = EDITS[name]
    path = edit(change)
    metainfo = {'from_file': str(root / 'demo/own_dataset/puppets_metainfo.py')}
    arguments = {'ann_file': str(path), 'metainfo': metainfo, 'data_mode': data_mode}
    if name in FATAL:
        with pytest.raises(DataError, match=re.escape(said)) as caught:
            CocoDataset(**arguments)
        assert str(path) in str(caught.value)
    else:
        with pytest.warns(UserWarning, match=rf'{path}.*{re.escape(said)}'):
            assert len(CocoDataset(**arguments)) > 20


def test_counts_of_the_public_file(check):
    said = problems(check(num_images=25, num_annotations=30))
    assert said == [
        'problem: 24 images are listed, the public file has 25',
        'problem: 24 annotations are listed, the public file has 30',
    ]


def test_boxes_given_by_their_corners(check, edit):
    def corners(content):
        for ann in content['annotations']:
            x, y, width, height = ann['bbox']
            ann['bbox'] = [x + width / 2, y + height / 2, x + width, y + height]

    edit(corners)
    said = problems(check())
    assert any('far out of their box: check that bbox is x, y, width, height' in s for s in said)


def test_x_and_y_exchanged(check, edit):
    def exchange(content):
        for ann in content['annotations']:
            k = ann['keypoints']
            ann['keypoints'] = [n for j in range(5) for n in (k[3 * j + 1] * 3, k[3 * j], 2)]

    edit(exchange)
    assert any('lie out of their image: check the order of x and y' in s for s in problems(check()))


def test_notes_do_not_count(check, edit):
    def change(content):
        first(content, keypoints=[-30, 20, 2, *KEYPOINTS[3:]])
        content['annotations'][1].update(num_keypoints=3, bbox=[-20, 0, 100, 100])
        content['annotations'].append(
            {
                'id': 50,
                'image_id': 999,
                'category_id': 1,
                'bbox': [0, 0, 9, 9],
                'keypoints': [0] * 15,
            }
        )
        for ann in content['annotations']:
            ann['keypoints'][14] = 0

    edit(change)
    report = check()
    assert problems(report) == []
    said = '\n'.join(notes(report))
    assert 'labelled joints more than 1 px out of the image, in all 1 joints: 1' in said
    assert 'another num_keypoints' in said
    assert '1 boxes reach out of the image: 2' in said
    assert 'images that it does not list' in said
    assert '1 joints are never labelled: right_foot' in said
    assert report.joints[4].x is None
    json.dumps(as_json([report]), allow_nan=False)
    assert 'right_foot' in as_text([report])


def test_a_list_of_images(check, edit):
    edit(lambda c: c.pop('annotations'))
    assert only_problem(check()) == 'problem: no joint is labelled'
    report = check(images_only=True, num_images=24)
    assert problems(report) == []
    assert notes(report) == [
        'note: it lists images, without annotations, which is all that a test reads'
    ]
    assert (report.counts['images_checked'], report.counts['annotations']) == (24, 0)
    assert (report.joints, report.flips) == ([], None)
    assert '24 images (24 files looked at), 0 annotations' in as_text([report])
    assert as_json([report])['ok']
    assert 'listed, the public file has 25' in only_problem(check(images_only=True, num_images=25))


def test_without_metainfo_the_rest_is_checked(check, edit):
    edit(lambda c: first(c, keypoints=KEYPOINTS[:12]))
    report = check(meta=None)
    assert '5 of most of the file: 1 (4)' in only_problem(report)
    assert report.flips is None
    assert report.joints[0].name == '0'


def test_findings_are_counted_and_shortened():
    findings = Findings()
    findings.note('n', range(2))
    findings.problem('p', range(7))
    findings.problem('q')
    findings.problem('none', [])
    assert [str(finding) for finding in findings] == [
        'problem: 7 p: 0, 1, 2, 3, 4, ...',
        'problem: q',
        'note: 2 n: 0, 1',
    ]
    assert Finding('note', 'x').count == 1


# -- joints and their metainfo ------------------------------------------------------------


def test_order_of_joints(check, edit):
    def exchange(content):
        names = content['categories'][0]['keypoints']
        names[1], names[2] = 'Right Hand', 'Left Hand'

    edit(exchange)
    assert '2 joints have another order in the file' in only_problem(check())


@pytest.mark.parametrize(
    'names', [5, ['head', 'left_hand', 'right_hand', 'left_foot', 'right_foot', 'head']]
)
def test_other_names_of_joints_in_the_file(check, edit, names, meta):
    edit(lambda c: c['categories'][0].update(keypoints=names))
    assert check().findings == []


def test_joints_out_of_range_are_reported_in_numbers(check, edit, meta, tmp_path):
    def far(content):
        for ann in content['annotations'][:2]:
            ann['keypoints'][1] = 1e308
            ann['bbox'][2:] = [0.5, 0.5]

    edit(far)
    report = check()
    assert '2 annotations have labelled joints more than 1 px out' in '\n'.join(notes(report))
    json.dumps(as_json([report]), allow_nan=False)
    assert report.joints[0].y is None
    assert 'head' in as_text([report])
    sheet = write_sheet(report.pose_file, report.images, meta, tmp_path / 'sheet.png')
    assert sheet.is_file()


def test_wrong_flip_pairs_are_named_by_both(check, meta):
    wrong = replace(meta, partners=(0, 1, 2, 4, 3))
    names, poses = problems(check(meta=wrong))
    assert '2 flip pairs contradict the names of joints: left_hand does not swap' in names
    assert '2 flip pairs contradict the poses: left_hand swaps with left_hand (cost 0.' in poses
    assert 'the poses fit right_hand' in poses
    text = as_text([check(meta=wrong)])
    assert 'less for right_hand' in text
    assert '2 kinds of problems.' in text


def test_problems_of_the_metainfo_itself(check, meta):
    wrong = replace(meta, problems=('sigmas has 1 entries for 5 joints',))
    assert 'sigmas has 1 entries' in only_problem(check(meta=wrong))


def test_an_object_without_sides_is_noted(check, meta):
    joints = ('a', 'b', 'c', 'd', 'e')
    report = check(meta=replace(meta, joints=joints, partners=(0, 1, 2, 3, 4)))
    assert any('no joint swaps with another' in note for note in notes(report))


SAMPLES = {
    'coco': ('test_coco.json', 'mmpose:coco', (4, 14, 12)),
    'aic': ('test_aic.json', 'mmpose:aic', (3, 9, 9)),
    'crowdpose': ('test_crowdpose.json', 'mmpose:crowdpose', (2, 5, 4)),
    'cofw': ('test_cofw.json', 'mmpose:cofw', (2, 2, 2)),
    'wflw': ('test_wflw.json', 'mmpose:wflw', (2, 4, 4)),
    'mpii': ('test_mpii.json', 'mmpose:mpii', (5, 5, 5)),
}


@pytest.mark.parametrize('name', SAMPLES)
def test_real_samples_are_clean(shared, name):
    from rlepose_ext.annotations.metainfo import load_metainfo

    file, metainfo, numbers = SAMPLES[name]
    folder = shared / 'data/mmpose_samples' / name
    if not folder.is_dir():
        pytest.skip(f'{folder} is not there')
    report = check_part(name, folder / file, folder, load_metainfo(metainfo))
    assert problems(report) == []
    counts = report.counts
    assert (counts['images'], counts['annotations'], counts['persons']) == numbers
    assert counts['images_checked'] == numbers[0]
    assert report.flips.wrong == []
