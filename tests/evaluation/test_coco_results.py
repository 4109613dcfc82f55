"""Result files that cannot be evaluated are refused, with what is wrong and where."""

import copy
import json

import pytest
from coco_drawn import scene

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.coco_files import check_results, read_pair

IDS = {1, 2, 3, 4, 5, 6}


@pytest.fixture
def found():
    return scene()[1]


def test_what_is_right_passes(found):
    check_results(found, 'r.json', 17, IDS)
    for box in ([1, 2, 3, 4.5], [], None):
        check_results(changed(found, 1, bbox=box), 'r.json', 17, IDS)


def changed(found, number, **values):
    found = copy.deepcopy(found)
    found[number].update(values)
    return found


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda f: {'annotations': f}, r'r\.json holds a JSON dict, no list; .*\.keypoints\.json'),
        (lambda f: [], r'r\.json is an empty list'),
        (lambda f: [*f, 3], r'entry \d+ of r\.json is a JSON int'),
        (lambda f: [{'image_id': 1, 'category_id': 1}], r'entry 0 .* has no keypoints, score'),
        (lambda f: changed(f, 1, keypoints=[0.0] * 42), r'entry 1 .* 42 numbers .* 14 joints.* 51'),
        (lambda f: changed(f, 1, keypoints=None), r'entry 1 .* 0 numbers'),
        (lambda f: changed(f, 1, score='0.5'), r'entry 1 .* no numbers'),
        (lambda f: changed(f, 1, score=float('nan')), r'entry 1 .* not finite'),
        (lambda f: changed(f, 1, score=True), r'entry 1 .* no numbers'),
        (lambda f: changed(f, 1, score=10**400), r'entry 1 .* not finite'),
        (lambda f: changed(f, 1, bbox=5), r'entry 1 .* has the bbox 5; expected x, y, width'),
        (lambda f: changed(f, 1, bbox=[1, 2, 3]), r'has the bbox \[1, 2, 3\]'),
        (lambda f: changed(f, 1, bbox=['a', 0, 1, 2]), r"has the bbox \['a', 0, 1, 2\]"),
        (lambda f: changed(f, 1, bbox='abcd'), r"has the bbox 'abcd'"),
        (lambda f: changed(f, 1, image_id=99), r'1 image_ids that .* do not have, such as 99 \(kn'),
        (lambda f: changed(f, 1, image_id='1'), r"such as '1' \(known is 1\)"),
        (lambda f: changed(f, 1, image_id=[1]), r'neither number nor string'),
        (lambda f: changed(f, 1, category_id=3), r'category_ids that .* such as 3'),
    ],
)
def test_wrong_results(found, change, message):
    with pytest.raises(UserError, match=message):
        check_results(change(found), 'r.json', 17, IDS)


def test_files(tmp_path):
    truth, found = scene()
    a, r = tmp_path / 'a.json', tmp_path / 'r.json'
    a.write_text(json.dumps(truth))
    r.write_text(json.dumps(found))
    assert read_pair(r, a) == (found, truth)
    with pytest.raises(UserError, match=r'a\.json holds annotations.*swapped.*RESULTS ANNOTATIONS'):
        read_pair(a, r)
    with pytest.raises(UserError, match=r'a\.json holds annotations.*no result file'):
        read_pair(a, a)
    with pytest.raises(UserError, match=r'r\.json holds a JSON list'):
        read_pair(r, r)
    with pytest.raises(UserError, match=r'result file .*none\.json does not exist'):
        read_pair(tmp_path / 'none.json', a)
    with pytest.raises(UserError, match=r'annotation file .* cannot be read'):
        read_pair(r, tmp_path)
    (tmp_path / 'zip.json').write_bytes(b'PK\x03\x04\xff\xfe')
    (tmp_path / 'cut.json').write_text(r.read_text()[:-20])
    for name in ('zip', 'cut'):
        with pytest.raises(UserError, match=rf'{name}\.json is not JSON'):
            read_pair(tmp_path / f'{name}.json', a)
    truth['annotations'][1]['id'] = [2]
    a.write_text(json.dumps(truth))
    with pytest.raises(UserError, match=r"id of entry 1 of 'annotations' in .*a\.json is \[2\]"):
        read_pair(r, a)
    del truth['annotations']
    a.write_text(json.dumps(truth))
    with pytest.raises(UserError, match=r'no annotation to compare with.*coco_testdev'):
        read_pair(r, a)
