"""One mistake in a file that is right, and what each of its readers makes of it.

``rlepose data check`` names it; a data set is refused where stock MMPose cannot load it, and built
with a warning else; the evaluation is refused where COCO's reads the field.
"""

import json
import re
import warnings

import numpy as np
import pytest
from mmpose.datasets.datasets import CocoDataset
from mmpose.evaluation.metrics import CocoMetric
from reports import only_problem, problems

from rlepose_ext.annotations.check import check_part
from rlepose_ext.annotations.coco_file import DataError, MissingFileError
from rlepose_ext.annotations.report import as_json
from rlepose_ext.errors import UserError
from rlepose_ext.evaluation import offline

NAN = float('nan')
KEYPOINTS = [50, 20, 2, 90, 60, 2, 10, 60, 2, 70, 90, 2, 30, 90, 2]


def ann(**values):
    return lambda content: content['annotations'][0].update(values)


def image(**values):
    return lambda content: content['images'][0].update(values)


def joints(*first):
    return ann(keypoints=[*first, *KEYPOINTS[len(first) :]])


def without(kind, key=None):
    return lambda content: content.pop(kind) if key is None else content[kind][0].pop(key)


def every(function):
    return lambda content: [function(entry) for entry in content['annotations']]


def list_again(content):
    content['images'].append({**content['images'][0], 'id': 99})


# What the check says ('': no problem). What building says: REFUSED or WARNED in the same words,
# nothing (NONE), or a refusal in its own words. What the evaluation says ('': it goes on).
REFUSED, WARNED, NONE, SAME = 'refused', 'warned', None, 'as the check'
EDITS = {
    'nothing': (lambda c: None, '', NONE, ''),
    'no images': (without('images'), "has no 'images'", REFUSED, SAME),
    'images are no list': (lambda c: c.update(images=3), 'no list of objects', REFUSED, SAME),
    'no annotations': (
        without('annotations'), 'no joint is labelled', REFUSED, 'no annotation to compare',
    ),
    'no categories': (without('categories'), '', NONE, "has no 'categories'"),
    'image id twice': (image(id=2), 'image ids come more than once: 2', WARNED, 'do not have'),
    'image twice': (list_again, 'listed more than once: train_001.png', WARNED, ''),
    'image id null': (image(id=None), "id of entry 0 of 'images'", REFUSED, SAME),
    'image id list': (image(id=[3]), 'is [3]; expected a number or a text', REFUSED, SAME),
    'image id text': (image(id='1'), 'ids are text, expected numbers: 1', REFUSED, 'partly text'),
    'image without id': (without('images', 'id'), 'image number 0', REFUSED, 'has no id'),
    'image without width': (without('images', 'width'), 'no width or no height: 1', REFUSED, ''),
    'image without name': (without('images', 'file_name'), 'no file_name', REFUSED, ''),
    'width of text': (image(width='abc'), "has the size 'abc', ", REFUSED, ''),
    'category without id': (without('categories', 'id'), 'have no id', REFUSED, 'has no id'),
    'id twice': (ann(id=2), 'annotation ids come more than once: 2', WARNED, 'more than once'),
    'id list': (ann(id=[1]), "id of entry 0 of 'annotations'", REFUSED, SAME),
    'id text': (ann(id='1'), '', NONE, 'expected whole numbers'),
    'id negative': (ann(id=-1), '', NONE, 'expected whole numbers'),
    'id large': (ann(id=2**60), '', NONE, 'expected whole numbers'),
    'no image_id': (without('annotations', 'image_id'), "no ['image_id']", REFUSED, SAME),
    'image_id object': (ann(image_id={}), "image_id of entry 0 of 'annotations'", REFUSED, SAME),
    'image width null': (image(width=None), 'no width or no height: 1', REFUSED, ''),
    'all of other images': (
        every(lambda a: a.update(image_id=99)), 'of images that are not listed', REFUSED, '',
    ),
    'no category_id': (without('annotations', 'category_id'), "no ['category_id']", REFUSED, SAME),
    'category null': (ann(category_id=None), 'category_id of entry 0', WARNED, SAME),
    'category unknown': (ann(category_id=9), '', NONE, 'category_id 9'),
    'no keypoints': (without('annotations', 'keypoints'), '', NONE, 'has no keypoints'),
    'no keypoints at all': (
        every(lambda a: a.pop('keypoints')), 'no joint is labelled', REFUSED, 'no keypoints',
    ),
    'keypoints 5': (ann(keypoints=5), 'annotation 1', REFUSED, SAME),
    'keypoints null': (ann(keypoints=None), 'are None', REFUSED, SAME),
    'keypoints half nested': (joints([50, 20, 2]), 'list with x, y, visibility', REFUSED, SAME),
    'keypoints nested': (
        every(lambda a: a.update(keypoints=np.reshape(a['keypoints'], (5, 3)).tolist())),
        '', NONE, 'list for each joint',
    ),
    'keypoints nested twice': (
        ann(keypoints=[[[n, n, n]] * 3 for n in KEYPOINTS[:5]]),
        'not all numbers', WARNED, 'list for each joint',
    ),
    'keypoints of two': (ann(keypoints=[1, 2] * 5), 'three for each joint', REFUSED, SAME),
    'pairs': (ann(keypoints=[[1, 2]] * 5), '10 numbers', REFUSED, SAME),
    'keypoints of text': (ann(keypoints=['a'] * 15), 'not all numbers', REFUSED, 'not all finite'),
    'other count': (
        ann(keypoints=KEYPOINTS[:12]), 'another number of joints than the 5 of m', WARNED, '15',
    ),
    'nan': (joints(NAN), 'joints that are NaN or infinite: 1', WARNED, 'not all finite'),
    'visibility': (joints(50, 20, 3), 'visibility other than 0, 1, 2: 1', WARNED, ''),
    'num_keypoints 0': (ann(num_keypoints=0), 'so MMPose leaves them out: 1', WARNED, ''),
    'num_keypoints null': (ann(num_keypoints=None), 'that is no number: 1', WARNED, ''),
    'num_keypoints text': (ann(num_keypoints='5'), 'that is no number: 1', WARNED, ''),
    'no box': (without('annotations', 'bbox'), 'no usable box: 1', WARNED, "no 'bbox'"),
    'box null': (ann(bbox=None), 'no usable box: 1', REFUSED, "no 'bbox'"),
    'box of three': (ann(bbox=[1, 2, 3]), '[1, 2, 3]; expected x, y', REFUSED, "no 'bbox'"),
    'box of text': (ann(bbox=[0, 0, 'a', 1]), 'not all numbers', REFUSED, "no 'bbox'"),
    'box empty': (ann(bbox=[10, 10, 0, 50]), 'no usable box: 1', WARNED, ''),
    'box negative': (ann(bbox=[0, 0, -5, 1]), 'no usable box: 1', WARNED, "no 'bbox'"),
    'box away': (ann(bbox=[900, 900, 50, 50]), 'wholly out of the image: 1', WARNED, ''),
    'no area': (without('annotations', 'area'), '', NONE, '--area bbox'),
    'area text': (ann(area='5'), '', NONE, "no 'area'"),
    'area negative': (ann(area=-5), '', NONE, "no 'area'"),
    'area nan': (ann(area=NAN), '', NONE, "no 'area'"),
    'iscrowd null': (ann(iscrowd=None), '', NONE, 'expected 0 or 1 as iscrowd'),
    'zeros': (ann(id=0, area=0, iscrowd=True), '', NONE, ''),
    'no iscrowd': (without('annotations', 'iscrowd'), '', NONE, ''),
}  # fmt: skip


@pytest.fixture(params=EDITS)
def edited(request, drawn, tmp_path):
    """The file with one edit, and what is said of it."""
    change, *said = EDITS[request.param]
    content = json.loads((drawn / 'train.json').read_text())
    change(content)
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(content))
    return path, *said


def test_check(edited, meta):
    path, said, _, _ = edited
    found = problems(check_part('train', path, None, meta))
    assert bool(found) == bool(said)
    assert sum(said in problem for problem in found) == len(found[:1])


MODES = ['topdown', pytest.param('bottomup', marks=pytest.mark.slow)]


@pytest.mark.parametrize('data_mode', MODES)
def test_build(edited, root, data_mode):
    path, said, built, _ = edited
    metainfo = {'from_file': str(root / 'tests/annotations/puppets_metainfo.py')}

    def build():
        return CocoDataset(ann_file=str(path), metainfo=metainfo, data_mode=data_mode)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter('always')
        if built in (WARNED, NONE):
            assert len(build()) >= 23
        else:
            with pytest.raises(DataError, match=re.escape(str(path))) as error:
                build()
            assert (said if built == REFUSED else built) in str(error.value)
    texts = [str(w.message) for w in warned if str(path) in str(w.message)]
    if built == WARNED:
        # there the other annotations say how many joints there are
        assert any(said.removesuffix(' of m') in text for text in texts)
    elif built == NONE:
        assert texts == []


def test_evaluation(edited, drawn, tmp_path):
    path, checked, _, said = edited
    truth = json.loads((drawn / 'train.json').read_text())['annotations']
    keys = ('image_id', 'category_id', 'keypoints')
    found = [{key: ann[key] for key in keys} | {'score': 0.9} for ann in truth]
    (tmp_path / 'r.json').write_text(json.dumps(found))
    (tmp_path / 'sigmas.json').write_text(json.dumps([0.05] * 5))

    def evaluate():
        files = (tmp_path / 'r.json', path)
        return offline.evaluate_files(*files, str(tmp_path / 'sigmas.json'))[0]['AP']

    if said:
        words = checked if said == SAME else said
        with pytest.raises(UserError, match=re.escape(words)) as error:
            evaluate()
        assert str(path) in str(error.value) or 'r.json' in str(error.value)
    else:
        assert abs(evaluate()) > 0.9  # -1 where there is nobody to find


@pytest.mark.parametrize(('text', 'said'), [
    (None, 'does not exist'),
    ('', 'it is empty'),
    ('{"images": [', 'it is not JSON'),
    ('[1, 2]', 'a JSON list'),
    ('{"images": 3}', 'no list'),
])  # fmt: skip
def test_files_that_are_no_annotations(tmp_path, text, said):
    path = tmp_path / 'train.json'
    if text is not None:
        path.write_text(text)
    report = check_part('train', path)
    assert said in only_problem(report)
    assert str(path) in only_problem(report)
    assert not json.loads(json.dumps(as_json([report])))['ok']
    for reader in (CocoDataset, CocoMetric):
        with pytest.raises(
            DataError if text is not None else MissingFileError, match=said
        ) as error:
            reader(ann_file=str(path))
        assert str(path) in str(error.value)
