"""MPII as MMPose publishes it, read by the same check."""

import json

import pytest
from reports import only_problem

from rlepose_ext.annotations.check import check_part
from rlepose_ext.annotations.pose_file import read_pose_file

MPII = {
    'image': 'a.jpg', 'center': [300, 200], 'scale': 1.5,
    'joints': [[300 + k, 150 + 4 * k] for k in range(16)], 'joints_vis': [1] * 15 + [0],
}  # fmt: skip


@pytest.mark.parametrize(('entry', 'said'), [
    (5, 'TypeError'),
    ({**MPII, 'scale': None}, 'TypeError'),
    ({**MPII, 'center': [1]}, 'ValueError'),
    ({**MPII, 'joints_vis': [1]}, 'ValueError'),
    ({key: MPII[key] for key in ('center', 'scale')}, "KeyError: 'image'"),
])  # fmt: skip
def test_lists_that_are_not_all_mpii(tmp_path, entry, said):
    path = tmp_path / 'mpii.json'
    path.write_text(json.dumps([MPII, entry]))
    report = check_part('mpii', path, tmp_path, None)
    assert f'entry 1 of {path} is not as MMPose publishes MPII ({said}' in only_problem(report)


def test_mpii_by_hand(tmp_path):
    path = tmp_path / 'mpii.json'
    untold = {key: MPII[key] for key in ('image', 'center', 'scale')}  # as in its test set
    fewer = {**MPII, 'image': 'b.jpg', 'joints': [[1, 2]], 'joints_vis': [1]}
    path.write_text(json.dumps([untold, MPII, fewer]))
    pose_file = read_pose_file(path, 16)
    assert pose_file.names == ['a.jpg', 'b.jpg']
    assert pose_file.total == 3
    assert pose_file.ids == [1]
    assert pose_file.keypoints[0, 15].tolist() == [315, 210, 0]
    assert pose_file.keypoints[0, 3].tolist() == [303, 162, 2]
    assert pose_file.boxes.tolist() == [[150, 50, 300, 300]]
    assert pose_file.other_counts == [(2, 1)]
