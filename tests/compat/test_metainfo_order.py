"""Joints are read by their numbers, also from the config that MMEngine writes beside a run."""

import numpy as np
import pytest
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from rlepose_ext.compat.metainfo_order import with_shipped_file
from rlepose_ext.resources import resource

# Data sets whose metainfo of more than ten joints stands in the config.
BASES = ('lsp_topdown', 'lip_topdown', 'faces68_topdown')


@pytest.mark.slow  # MMEngine takes seconds to write them
@pytest.mark.parametrize('name', BASES)
def test_the_config_beside_a_run_has_the_same_joints(name, tmp_path):
    config = Config.fromfile(resource(f'configs/_base_/datasets/{name}.py'))
    dumped = tmp_path / 'config.py'
    config.dump(dumped)
    again = Config.fromfile(dumped)
    expected = parse_pose_metainfo(config.metainfo)
    found = parse_pose_metainfo(again.metainfo)
    assert len(expected['flip_indices']) > 10
    for key in ('flip_indices', 'keypoint_id2name', 'skeleton_links'):
        assert found[key] == expected[key]
    np.testing.assert_array_equal(found['keypoint_colors'], expected['keypoint_colors'])


def test_mmposes_own_file_is_found_without_a_warning(tmp_path, monkeypatch, recwarn):
    monkeypatch.chdir(tmp_path)
    parsed = parse_pose_metainfo({'from_file': 'configs/_base_/datasets/coco.py'})
    assert parsed['num_keypoints'] == 17
    assert not [w for w in recwarn if 'metainfo config file' in str(w.message)]


def test_only_mmposes_own_path_is_looked_up_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (
        'coco.py',
        'configs/_base_/datasets/mine.py',
        'else/configs/_base_/datasets/coco.py',
    ):
        assert with_shipped_file({'from_file': path}) == {'from_file': path}
    own = tmp_path / 'configs/_base_/datasets/coco.py'
    own.parent.mkdir(parents=True)
    own.write_text('')
    named = {'from_file': 'configs/_base_/datasets/coco.py'}
    assert with_shipped_file(named) == named
