"""Metainfo: the same pairs as MMPose reads, and every mistake listed."""

from copy import deepcopy

import pytest

from rlepose_ext.annotations.catalogue import CATALOGUE
from rlepose_ext.annotations.metainfo import load_metainfo, parse, read_metainfo
from rlepose_ext.errors import UserError

GOOD = {
    'dataset_name': 'two',
    'keypoint_info': {
        0: {'name': 'left', 'swap': 'right', 'color': [1, 2, 3]},
        1: {'name': 'right', 'swap': 'left'},
        2: {'name': 'top', 'swap': ''},
    },
    'skeleton_info': {0: {'link': ('left', 'top')}},
    'joint_weights': [1.0] * 3,
    'sigmas': [],
}


def test_pairs_links_and_colours():
    meta = parse(GOOD, 'here')
    assert meta.joints == ('left', 'right', 'top')
    assert meta.partners == (1, 0, 2)
    assert meta.pairs == [(0, 1)]
    assert meta.links == ((0, 2),)
    assert meta.colors == ((1, 2, 3), (255, 255, 255), (255, 255, 255))
    assert meta.problems == ()


@pytest.mark.parametrize(
    ('where', 'value', 'problem'),
    [
        (('keypoint_info', 1, 'swap'), '', "'left' swaps with 'right', but that one"),
        (('keypoint_info', 1, 'swap'), 'lef', "right swaps with 'lef', which is no joint"),
        (('keypoint_info', 2, 'name'), 'left', 'several joints have the name left'),
        (('skeleton_info', 0, 'link'), ('left', 'up'), "names 'up'"),
        (('sigmas',), [0.1], 'sigmas has 1 entries for 3 joints'),
        (('joint_weights',), None, 'joint_weights is missing'),
    ],
)
def test_mistakes_are_listed(where, value, problem):
    info = deepcopy(GOOD)
    inner = info
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    assert any(problem in said for said in parse(info, 'here').problems)


@pytest.mark.parametrize(
    'info',
    [{}, {'keypoint_info': []}, {'keypoint_info': {1: {'name': 'a'}}}, {'keypoint_info': {0: {}}}],
)
def test_without_joints_there_is_nothing_to_check(info):
    with pytest.raises(UserError, match='here'):
        parse(info, 'here')


def test_files_that_are_no_metainfo(tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        load_metainfo(tmp_path / 'absent.py')
    path = tmp_path / 'meta.py'
    path.write_text('other = 1\n')
    with pytest.raises(UserError, match='neither dataset_info nor metainfo'):
        load_metainfo(path)
    path.write_text('dataset_info = dict(\n')
    with pytest.raises(UserError, match=r'meta\.py cannot be read'):
        load_metainfo(path)


@pytest.mark.parametrize('known', CATALOGUE.values(), ids=lambda known: known.name)
def test_the_same_pairs_as_mmpose(known):
    from mmengine.config import Config
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    from rlepose_ext.annotations.metainfo import _find

    meta = load_metainfo(known.metainfo)
    assert meta.problems == ()
    assert len(meta.joints) == known.num_joints
    content = Config.fromfile(_find(known.metainfo))
    theirs = parse_pose_metainfo(content.get('dataset_info') or content.metainfo)
    assert list(meta.partners) == list(theirs['flip_indices'])
    assert list(meta.joints) == [theirs['keypoint_id2name'][k] for k in range(known.num_joints)]
    assert [tuple(link) for link in theirs['skeleton_links']] == list(meta.links)


def test_metainfo_of_a_config(root):
    assert read_metainfo(GOOD, 'here') == parse(GOOD, 'here')
    path = str(root / 'demo/own_dataset/puppets_metainfo.py')
    assert read_metainfo({'from_file': path}, 'here').joints[0] == 'head'
    # MMPose names its own files like this
    coco = read_metainfo({'from_file': 'configs/_base_/datasets/coco.py'}, 'here')
    assert coco.partners[:3] == (0, 2, 1)
