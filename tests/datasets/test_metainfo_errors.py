"""Metainfo that contradicts itself is refused with the joint and the remedy."""

import copy
from pathlib import Path

import mmpose
import pytest
from metainfo import METAINFO, changed
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from rlepose_ext.compat._data_errors import DataError


@pytest.mark.parametrize(
    ('metainfo', 'words'),
    [
        (changed('keypoint_info', 1, 'swap', value='rigth'), ["'rigth'", 'no joint']),
        (changed('keypoint_info', 1, 'swap', value=''), ["'right' swaps with 'left'", 'swap']),
        (changed('keypoint_info', 1, 'swap', value='nose'), ["'left' swaps with 'nose'"]),
        (changed('skeleton_info', 0, 'link', value=('nose', 'tail')), ["'tail'"]),
        (changed('sigmas', value=[0.1]), ['sigmas has 1', '3 joints']),
    ],
)
def test_bad_metainfo(metainfo, words):
    with pytest.raises(DataError) as caught:
        parse_pose_metainfo(metainfo)
    for word in ['three joints', *words]:
        assert word in str(caught.value)


def test_gaps_in_the_numbering_and_missing_parts():
    metainfo = copy.deepcopy(METAINFO)
    metainfo['keypoint_info'][7] = metainfo['keypoint_info'].pop(2)
    with pytest.raises(DataError, match=r'\[0, 1, 7\]'):
        parse_pose_metainfo(metainfo)
    metainfo = changed('keypoint_info', 2, 'swap', value='')
    metainfo['keypoint_info'][1] = metainfo['keypoint_info'][2] | {'id': 1}
    metainfo['skeleton_info'] = {}
    with pytest.raises(DataError, match='2 different names'):
        parse_pose_metainfo(metainfo)
    del metainfo['sigmas']
    with pytest.raises(DataError, match='lacks one of'):
        parse_pose_metainfo(metainfo)


def test_metainfo_in_a_file_is_named(tmp_path):
    path = tmp_path / 'dataset.py'
    path.write_text(f'dataset_info = {changed("sigmas", value=[0.1])!r}')
    with pytest.raises(DataError, match=r'dataset\.py: sigmas'):
        parse_pose_metainfo({'from_file': str(path)})


def test_all_of_mmpose_loads(recwarn):
    folder = Path(mmpose.__file__).parent / '.mim/configs/_base_/datasets'
    files = sorted(folder.glob('*.py'))
    assert len(files) > 40
    for path in files:
        parse_pose_metainfo({'from_file': str(path)})
    # One of them is wrong itself, which is not its user's fault.
    warned = {Path(str(w.message).split(':')[0].split()[-1]).name for w in recwarn}
    assert warned == {'deepfashion2.py'}


def test_a_copy_of_a_wrong_file_of_mmpose_is_the_users(tmp_path):
    name = 'deepfashion2.py'
    folder = Path(mmpose.__file__).parent / '.mim/configs/_base_/datasets'
    (tmp_path / name).write_text((folder / name).read_text())
    with pytest.raises(DataError, match=r"'vest_kpt9' swaps with 'vest_kpt13'"):
        parse_pose_metainfo({'from_file': str(tmp_path / name)})
