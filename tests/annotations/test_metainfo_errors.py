"""Metainfo that contradicts itself is refused with the joint and the remedy."""

import copy
from pathlib import Path

import mmpose
import pytest
from metainfo import METAINFO, changed
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from rlepose_ext.annotations.coco_file import DataError


@pytest.mark.parametrize(
    ('metainfo', 'words'),
    [
        (changed('keypoint_info', 1, 'swap', value='rigth'), ["'rigth'", 'no joint']),
        (changed('skeleton_info', 0, 'link', value=('nose', 'tail')), ["'tail'"]),
    ],
)
def test_bad_metainfo(metainfo, words):
    with pytest.raises(DataError) as caught:
        parse_pose_metainfo(metainfo)
    for word in ['three joints', *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ('metainfo', 'words'),
    [
        (changed('keypoint_info', 1, 'swap', value=''), "'right' swaps with 'left'"),
        (changed('keypoint_info', 1, 'swap', value='nose'), "'left' swaps with 'nose'"),
        (changed('sigmas', value=[0.1]), 'sigmas has 1 entries.* 3 joints'),
    ],
)
def test_mistakes_that_mmpose_can_go_on_with(metainfo, words):
    with pytest.warns(UserWarning, match=f'three joints: .*{words}'):
        assert parse_pose_metainfo(metainfo)['num_keypoints'] == 3


def test_gaps_in_the_numbering_and_missing_parts():
    metainfo = copy.deepcopy(METAINFO)
    metainfo['keypoint_info'][7] = metainfo['keypoint_info'].pop(2)
    with pytest.warns(UserWarning, match=r'\[0, 1, 7\]'):
        parse_pose_metainfo(metainfo)
    metainfo = changed('keypoint_info', 2, 'swap', value='')
    metainfo['keypoint_info'][1] = metainfo['keypoint_info'][2] | {'id': 1}
    metainfo['skeleton_info'] = {}
    with pytest.warns(UserWarning, match='several joints have the name right'):
        parse_pose_metainfo(metainfo)
    del metainfo['sigmas']
    with pytest.raises(DataError, match='sigmas is missing'):
        parse_pose_metainfo(metainfo)


def test_metainfo_in_a_file_is_named(tmp_path):
    path = tmp_path / 'dataset.py'
    path.write_text(f'dataset_info = {changed("sigmas", value=[0.1])!r}')
    with pytest.warns(UserWarning, match=r'dataset\.py: sigmas'):
        parse_pose_metainfo({'from_file': str(path)})


def test_all_of_mmpose_loads(recwarn):
    folder = Path(mmpose.__file__).parent / '.mim/configs/_base_/datasets'
    files = sorted(folder.glob('*.py'))
    assert len(files) > 40
    for path in files:
        parse_pose_metainfo({'from_file': str(path)})
    # Three of them are wrong: flip pairs of one, the number of joint_weights of two.
    warned = {Path(str(w.message).split(':')[0].split()[-1]).name for w in recwarn}
    assert warned == {'deepfashion2.py', 'coco_aic.py', 'humanart_aic.py'}
