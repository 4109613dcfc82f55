"""Metainfo: the same pairs as MMPose reads, and every mistake named, with the joint."""

from pathlib import Path

import mmpose
import pytest
from metainfo import METAINFO, changed
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from rlepose_ext.annotations.catalogue import CATALOGUE
from rlepose_ext.annotations.coco_file import DataError
from rlepose_ext.annotations.metainfo import _find, load_metainfo, parse, read_metainfo
from rlepose_ext.errors import UserError


def test_pairs_links_and_colours():
    meta = parse(changed('keypoint_info', 1, 'color', value=[1, 2, 3]), 'here')
    assert meta.joints == ('nose', 'left', 'right')
    assert meta.partners == (0, 2, 1)
    assert meta.pairs == [(1, 2)]
    assert meta.links == ((0, 1),)
    assert meta.colors == ((255, 255, 255), (1, 2, 3), (255, 255, 255))
    assert meta.problems == ()


# Where, what stands there, what is said, and whether MMPose can go on.
MISTAKES = [
    (('keypoint_info', 1, 'swap'), 'rigth', "left swaps with 'rigth', which is no joint", False),
    (('keypoint_info', 1, 'swap'), '', "'right' swaps with 'left', but", True),
    (('keypoint_info', 1, 'swap'), 'nose', "'left' swaps with 'nose', but", True),
    (('keypoint_info', 0, 'name'), 'left', 'several joints have the name left', False),
    (('skeleton_info', 0, 'link'), ('nose', 'tail'), "names 'tail', which is no joint", False),
    (('sigmas',), [0.1], 'sigmas has 1 entries for 3 joints', True),
    (('joint_weights',), None, 'joint_weights is missing', True),
]


@pytest.mark.parametrize(('where', 'value', 'problem', 'goes_on'), MISTAKES)
def test_mistakes(where, value, problem, goes_on):
    metainfo = changed(*where, value=value)
    assert any(problem in said for said in parse(metainfo, 'here').problems)
    if goes_on:
        with pytest.warns(UserWarning, match=f'three joints: .*{problem}'):
            assert parse_pose_metainfo(metainfo)['num_keypoints'] == 3
    else:
        with pytest.raises(DataError, match=f'three joints: .*{problem}'):
            parse_pose_metainfo(metainfo)


def test_gaps_in_the_numbering_and_missing_parts():
    metainfo = changed('keypoint_info', 7, value={'name': 'tail', 'id': 7, 'swap': ''})
    with pytest.warns(UserWarning, match=r'\[0, 1, 2, 7\]'):
        parse_pose_metainfo(metainfo)
    with pytest.raises(DataError, match='sigmas is missing'):
        parse_pose_metainfo({key: METAINFO[key] for key in METAINFO if key != 'sigmas'})


def test_metainfo_in_a_file_is_named(tmp_path):
    path = tmp_path / 'dataset.py'
    path.write_text(f'dataset_info = {changed("sigmas", value=[0.1])!r}')
    with pytest.warns(UserWarning, match=r'dataset\.py: sigmas'):
        parse_pose_metainfo({'from_file': str(path)})


@pytest.mark.slow
def test_all_of_mmpose_loads(recwarn):
    folder = Path(mmpose.__file__).parent / '.mim/configs/_base_/datasets'
    files = sorted(folder.glob('*.py'))
    assert len(files) > 40
    for path in files:
        parse_pose_metainfo({'from_file': str(path)})
    # Three of them are wrong: flip pairs of one, the number of joint_weights of two.
    warned = {
        Path(str(w.message).split(':')[0].split()[-1]).name
        for w in recwarn
        if w.category is UserWarning
    }
    assert warned == {'deepfashion2.py', 'coco_aic.py', 'humanart_aic.py'}


@pytest.mark.parametrize(
    'info',
    [{}, {'keypoint_info': []}, {'keypoint_info': {1: {'name': 'a'}}}, {'keypoint_info': {0: {}}}],
)
def test_without_joints_there_is_nothing_to_check(info):
    with pytest.raises(UserError, match='here'):
        parse(info, 'here')


def test_files_that_are_no_metainfo(tmp_path):
    path = tmp_path / 'meta.py'
    for text, said in (
        (None, 'does not exist'),
        ('other = 1\n', 'neither dataset_info nor metainfo'),
        ('dataset_info = dict(\n', 'cannot be read'),
    ):
        if text:
            path.write_text(text)
        with pytest.raises(UserError, match=rf'meta\.py .*{said}'):
            load_metainfo(path)


@pytest.mark.parametrize('known', CATALOGUE.values(), ids=lambda known: known.name)
def test_the_same_pairs_as_mmpose(known):
    meta = load_metainfo(known.metainfo)
    assert meta.problems == ()
    assert len(meta.joints) == known.num_joints
    content = Config.fromfile(_find(known.metainfo))
    theirs = parse_pose_metainfo(content.get('dataset_info') or content.metainfo)
    assert list(meta.partners) == list(theirs['flip_indices'])
    assert list(meta.joints) == [theirs['keypoint_id2name'][k] for k in range(known.num_joints)]
    assert [tuple(link) for link in theirs['skeleton_links']] == list(meta.links)


def test_metainfo_of_a_config(root):
    assert read_metainfo(METAINFO, 'here') == parse(METAINFO, 'here')
    path = str(root / 'tests/annotations/puppets_metainfo.py')
    assert read_metainfo({'from_file': path}, 'here').joints[0] == 'head'
    # MMPose names its own files like this
    coco = read_metainfo({'from_file': 'configs/_base_/datasets/coco.py'}, 'here')
    assert coco.partners[:3] == (0, 2, 1)
