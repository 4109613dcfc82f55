"""Annotations that cannot be evaluated are refused, with what is wrong and where."""

import pytest
from coco_drawn import scene

from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.coco_files import check_annotations


@pytest.fixture
def truth():
    return scene(crowd=True)[0]


def test_what_is_right_passes(truth):
    check_annotations(truth, 17, 'a.json')
    check_annotations(truth, 17, 'a.json', use_area=False, crowd=True)
    # ids from 0, boxes and areas of nothing, crowds, no iscrowd, images named by text
    truth['annotations'][0].update(id=0, bbox=[1, 2, 0, 0], area=0, iscrowd=True)
    del truth['annotations'][1]['iscrowd']
    for image in truth['images']:
        image['id'] = str(image['id'])
    check_annotations(truth, 17, 'a.json')


def test_what_options_read(truth):
    for ann in truth['annotations']:
        del ann['area'], ann['num_keypoints']
    with pytest.raises(UserError, match=r"annotation 1 in a\.json has no 'area'.*--area bbox"):
        check_annotations(truth, 17, 'a.json')
    check_annotations(truth, 17, 'a.json', use_area=False)
    with pytest.raises(UserError, match=r'51 numbers .* expected 42 .*--sigmas'):
        check_annotations(truth, 14, 'a.json', use_area=False)
    with pytest.raises(UserError, match=r"annotation 1 in a\.json has no 'num_keypoints'"):
        check_annotations(truth, 17, 'a.json', use_area=False, crowd=True)
    truth = scene()[0]
    with pytest.raises(UserError, match=r"image 1 in a\.json has no 'crowdIndex'"):
        check_annotations(truth, 17, 'a.json', crowd=True)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda a: a.pop('bbox'), r"annotation 3 in a\.json has no 'bbox'.* in px, which"),
        (lambda a: a.update(bbox=[1, 2]), r"no 'bbox' of x.* \(it is \[1, 2\]\)"),
        (lambda a: a.update(bbox=None), r"no 'bbox' of x.* \(it is None\)"),
        (lambda a: a.update(bbox=[0, 0, 'a', 1]), r"no 'bbox' of x"),
        (lambda a: a.update(bbox=[0, 0, -5, 1]), r"no 'bbox' of x"),
        (lambda a: a.update(area=None), r"no 'area' that is a number of px\^2 \(it is None\)"),
        (lambda a: a.update(area='5'), r"no 'area' .* \(it is '5'\)"),
        (lambda a: a.update(area=-5), r"no 'area' .* \(it is -5\)"),
        (lambda a: a.update(area=float('nan')), r"no 'area' .* \(it is nan\)"),
        (lambda a: a.pop('keypoints'), 'annotation 3 .* has no keypoints.*instances_val2017'),
        (lambda a: a.update(keypoints=['a'] * 51), 'not all finite numbers'),
        (lambda a: a.update(keypoints=[float('nan')] * 51), 'not all finite numbers'),
        (lambda a: a.update(keypoints=[[1, 2, 2]] * 51), 'not all finite numbers'),
        (lambda a: a.update(iscrowd=None), r'expected 0 or 1 as iscrowd \(it is None\)'),
        (lambda a: a.update(id='3'), 'annotation 3 in .* expected whole numbers from 0 on'),
        (lambda a: a.update(id=-1), 'annotation -1 in .* expected whole numbers'),
        (lambda a: a.update(id=2**60), 'expected whole numbers'),
        (lambda a: a.update(id=2), r'annotation 2 in a\.json comes more than once'),
        (lambda a: a.update(category_id=9), r"the category_id 9, which 'categories' does not have"),
    ],
)
def test_wrong_annotations(truth, change, message):
    change(truth['annotations'][2])
    with pytest.raises(UserError, match=message):
        check_annotations(truth, 17, 'a.json')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda t: t.update(categories=[]), r"a\.json has no 'categories'; add them"),
        (lambda t: t.pop('categories'), "no 'categories'"),
        (lambda t: t['categories'][0].pop('id'), "entry 0 of 'categories' in a\\.json has no id"),
        (lambda t: t['images'][1].pop('id'), "entry 1 of 'images' in a\\.json has no id"),
        (lambda t: t['images'][1].update(id='2'), "ids of 'images' .* partly numbers and partly"),
        (
            lambda t: t['images'][1].update(crowdIndex='0.5'),
            "image 2 .* 'crowdIndex' that is a num",
        ),
    ],
)
def test_wrong_images_and_categories(truth, change, message):
    change(truth)
    with pytest.raises(UserError, match=message):
        check_annotations(truth, 17, 'a.json', crowd=True)
