"""The check: clean data are clean, and each thing that is broken is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from reports import notes, only_problem, problems

from rlepose_ext.annotations.check import check_part
from rlepose_ext.annotations.contact_sheet import write_sheet
from rlepose_ext.annotations.report import Findings, as_json, as_text


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


def break_image(folder, how):
    path = folder / 'images/train_007.png'
    content = path.read_bytes()
    if how == 'missing':
        path.unlink()
    elif how == 'other size':
        path.write_bytes((folder / 'images/train_008.png').read_bytes())
    else:
        wrong = {'truncated': content[: len(content) // 2], 'empty': b'', 'no image': b'IEND' * 40}
        path.write_bytes(wrong[how])


@pytest.mark.parametrize('how', ['missing', 'truncated', 'empty', 'no image', 'other size'])
def test_images(check, puppets, how):
    break_image(puppets, how)
    found = only_problem(check())
    assert how in found
    assert 'train_007.png' in found


def test_no_image_folder(check, puppets):
    report = check(images=puppets / 'pictures')
    assert f'the image folder {puppets / "pictures"} does not exist' in only_problem(report)


def first(content, **values):
    content['annotations'][0].update(values)


KEYPOINTS = [50, 20, 2, 90, 60, 2, 10, 60, 2, 70, 90, 2, 30, 90, 2]


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
        other = {'id': 50, 'image_id': 999, 'bbox': [0, 0, 9, 9], 'keypoints': [0] * 15}
        content['annotations'].append({**content['annotations'][2], **other})
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
    assert list(map(str, findings)) == ['problem: 7 p: 0, 1, 2, 3, 4, ...', 'problem: q',
                                        'note: 2 n: 0, 1']  # fmt: skip


# -- joints and their metainfo ------------------------------------------------------------


def test_order_of_joints(check, edit):
    def exchange(content):
        names = content['categories'][0]['keypoints']
        names[1], names[2] = 'Right Hand', 'Left Hand'

    edit(exchange)
    assert '2 joints have another order in the file' in only_problem(check())


@pytest.mark.parametrize(
    'names',
    [
        5,
        [],
        ['head', 'left_hand', 'right_hand', 'left_foot', 'right_foot', 'head'],
        ['1', '2', '3', '4', '5'],
        ['kpt-0', 'kpt-1', 'kpt-2', 'kpt-3', 'kpt-4'],
        ['HEAD', 'Left Hand', 'right-hand', 'LeftFoot', 'rightfoot'],
        ['top_head', 'L_Hand', 'R_Hand', 'l_foot', 'right foot tip'],
    ],
)
def test_names_that_say_nothing_else(check, edit, names):
    edit(lambda c: c['categories'][0].update(keypoints=names))
    assert check().findings == []


@pytest.mark.parametrize(
    ('names', 'count'),
    [
        (['a', 'b', 'c', 'd', 'e'], 5),
        (['head', 'left_hand', 'right_hand', 'left_paw', 'right_paw'], 2),
        (['left_hand', 'head', 'right_hand', 'left_foot', 'tail'], 3),
        (['head', 'right_hand', 'left_foot', 'left_hand', 'joint_5'], 4),
    ],
)
def test_joints_of_another_skeleton(check, edit, names, count):
    edit(lambda c: c['categories'][0].update(keypoints=names))
    assert f'{count} joints have other names in the file' in only_problem(check())


def test_a_data_set_of_other_names_is_built(edit, puppets):
    """The names are of no concern to MMPose."""
    from mmpose.datasets.datasets import CocoDataset

    edit(lambda c: c['categories'][0].update(keypoints=['a', 'b', 'c', 'd', 'e']))
    metainfo = {'from_file': str(Path(__file__).with_name('puppets_metainfo.py'))}
    assert len(CocoDataset(ann_file=str(puppets / 'train.json'), metainfo=metainfo)) == 24


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


def test_wrong_flip_pairs_are_named_by_both(check, meta, root):
    wrong = replace(meta, partners=(0, 1, 2, 4, 3))
    names, poses = problems(check(meta=wrong))
    said = '2 flip pairs contradict the names of joints: left_hand does not swap; by its name it'
    assert said in names
    assert said in (root / 'docs/datasets.md').read_text()
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
    'ap10k': ('test_ap10k.json', 'mmpose:ap10k', (2, 2, 2)),
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


@pytest.mark.parametrize(
    ('name', 'metainfo'),
    [('ap10k', 'mmpose:coco'), ('coco', 'mmpose:ap10k'), ('aic', 'ours:lsp_topdown')],
)
def test_real_samples_with_metainfo_of_others(shared, name, metainfo):
    """They have as many joints."""
    from rlepose_ext.annotations.metainfo import load_metainfo

    path = shared / f'data/mmpose_samples/{name}/test_{name}.json'
    if not path.is_file():
        pytest.skip(f'{path} is not there')
    report = check_part(name, path, None, load_metainfo(metainfo))
    assert any('in the file than in the metainfo' in problem for problem in problems(report))
