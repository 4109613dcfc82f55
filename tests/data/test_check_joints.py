"""Joints against their metainfo: order, names, absurd places, flip pairs."""

import json
from dataclasses import replace

import pytest
from reports import notes, only_problem, problems

from rlepose_ext.data.contact_sheet import write_sheet
from rlepose_ext.data.report import as_json, as_text


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


def test_absurd_joints_are_reported_in_numbers(check, edit, meta, tmp_path):
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
