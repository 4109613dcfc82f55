"""Result files that cannot be evaluated are refused, with what is wrong and where.

Mistakes in the annotations are in tests/annotations/test_edits.py.
"""

import json

import pytest
from coco_drawn import scene

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.coco_files import check_annotations, check_results, read_pair

IDS = {1, 2, 3, 4, 5, 6}
NAN = float('nan')
NUMBERS = 'no numbers'
# Values of one entry that are wrong, and what is said.
WRONG = [
    ({'keypoints': [0.0] * 42}, '42 numbers .* 14 joints.* 51'),
    ({'keypoints': None}, '0 numbers'),
    ({'score': '0.5'}, NUMBERS),
    ({'score': True}, NUMBERS),
    ({'score': NAN}, 'not finite'),
    ({'score': 10**400}, 'not finite'),
    ({'bbox': 5}, 'has the bbox 5; expected x, y, width'),
    ({'bbox': [1, 2, 3]}, r'has the bbox \[1, 2, 3\]'),
    ({'bbox': 'abcd'}, "has the bbox 'abcd'"),
]
# The same of ids, which are compared when all entries have been read.
UNKNOWN = [
    ({'image_id': 99}, r'1 image_ids that .* do not have, such as 99 \(known is 1\)'),
    ({'image_id': '1'}, r"such as '1' \(known is 1\)"),
    ({'image_id': [1]}, 'neither number nor string'),
    ({'category_id': 3}, 'category_ids that .* such as 3'),
]


@pytest.mark.parametrize(('values', 'said'), [*WRONG, *UNKNOWN])
def test_wrong_entries(values, said):
    _, found = scene()
    for box in ([1, 2, 3, 4.5], [], None):
        found[1]['bbox'] = box
        check_results(found, 'r.json', 17, IDS)
    found[1].update(values)
    where = '' if (values, said) in UNKNOWN else 'entry 1 of '
    with pytest.raises(UserError, match=rf'{where}r\.json .*{said}'):
        check_results(found, 'r.json', 17, IDS)


@pytest.mark.parametrize(('found', 'said'), [
    ({'annotations': []}, r'r\.json holds a JSON dict, no list; .*\.keypoints\.json'),
    ([], r'r\.json is an empty list'),
    ([3], r'entry 0 of r\.json is a JSON int'),
    ([{'image_id': 1, 'category_id': 1}], r'entry 0 .* has no keypoints, score'),
])  # fmt: skip
def test_no_results(found, said):
    with pytest.raises(UserError, match=said):
        check_results(found, 'r.json', 17, IDS)


def test_what_options_read():
    truth = scene(crowd=True)[0]
    check_annotations(truth, 17, 'a.json', use_area=False, crowd=True)
    truth['images'][1]['crowdIndex'] = '0.5'
    with pytest.raises(UserError, match=r"image 2 in a\.json has no 'crowdIndex'"):
        check_annotations(truth, 17, 'a.json', crowd=True)
    for ann in truth['annotations']:
        del ann['area'], ann['num_keypoints']
    check_annotations(truth, 17, 'a.json', use_area=False)
    with pytest.raises(UserError, match=r'51 numbers .* expected 42 .*--sigmas'):
        check_annotations(truth, 14, 'a.json', use_area=False)
    with pytest.raises(UserError, match=r"annotation 1 in a\.json has no 'num_keypoints'"):
        check_annotations(truth, 17, 'a.json', use_area=False, crowd=True)


def test_files(tmp_path):
    truth, found = scene()
    names = 'a.json', 'r.json', 'none.json', 'zip.json', 'cut.json'
    a, r, none, zipped, cut = (tmp_path / name for name in names)
    a.write_text(json.dumps(truth))
    r.write_text(json.dumps(found))
    zipped.write_bytes(b'PK\x03\x04\xff\xfe')
    cut.write_text(r.read_text()[:-20])
    assert read_pair(r, a) == (found, truth)
    for results, annotations, said in (
        (a, r, r'a\.json holds annotations.*swapped.*RESULTS ANNOTATIONS'),
        (a, a, r'a\.json holds annotations.*no result file'),
        (r, r, r'r\.json holds a JSON list'),
        (none, a, r'result file .*none\.json does not exist'),
        (r, tmp_path, 'annotation file .* cannot be read'),
        (zipped, a, r'zip\.json is not JSON'),
        (cut, a, r'cut\.json is not JSON'),
    ):
        with pytest.raises(UserError, match=said):
            read_pair(results, annotations)
