"""The archives of Leeds Sports Pose to COCO: both forms by hand, and what is wrong in them."""

import json

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from rlepose_ext.annotations import lsp
from rlepose_ext.annotations.metainfo import load_metainfo
from rlepose_ext.cli.main import main


@pytest.fixture
def archive(tmp_path):
    """``joints.mat`` and images of 90 x 120 for people of shape (N, 14, 3)."""
    (tmp_path / 'images').mkdir()

    def write(people, order):
        for index in range(len(people)):
            path = tmp_path / f'images/im{index + 1:04d}.jpg'
            cv2.imwrite(str(path), np.zeros((120, 90, 3), np.uint8))
        savemat(tmp_path / 'joints.mat', {'joints': np.transpose(people, order)})
        arguments = [tmp_path / 'joints.mat', tmp_path / 'images', tmp_path]
        return ['convert', 'lsp', *map(str, arguments)]

    return write


def people(number):
    """Joint k of person i at (10 + i + k, 20 + 2 k), with flag 0 but for joint 3."""
    i, k = np.meshgrid(np.arange(number), np.arange(14), indexing='ij')
    return np.stack([10.0 + i + k, 20.0 + 2 * k, k == 3], axis=-1)


def read(folder, split):
    content = json.loads((folder / f'lsp_{split}.json').read_text())
    joints = [np.reshape(each['keypoints'], (14, 3)) for each in content['annotations']]
    return content, np.array(joints)


def test_lsp(archive, tmp_path, capsys):
    assert main(archive(people(4), (2, 1, 0))) == 0
    assert 'lsp_val.json: 2 annotations of 2 images' in capsys.readouterr().out
    content, joints = read(tmp_path, 'val')
    assert [image['file_name'] for image in content['images']] == ['im0003.jpg', 'im0004.jpg']
    assert {(image['width'], image['height']) for image in content['images']} == {(90, 120)}
    np.testing.assert_array_equal(joints[0, :, :2], people(4)[2, :, :2])
    assert joints[0, :, 2].tolist() == [2, 2, 2, 1] + [2] * 10
    # x 12 to 25, y 20 to 46, and a tenth of 26 around them
    assert content['annotations'][0]['bbox'] == [9.4, 17.4, 18.2, 31.2]
    assert content['categories'][0]['keypoints'] == list(lsp.JOINTS)


def test_lsp_extended(archive, tmp_path):
    labelled = people(8)
    labelled[..., 2] = 1 - labelled[..., 2]
    labelled[0, 3] = -50
    labelled[0, 3, 2] = 0
    assert main(archive(labelled, (1, 2, 0))) == 0
    train, joints = read(tmp_path, 'train')
    assert read(tmp_path, 'val')[0]['images'][0]['file_name'] == 'im0007.jpg'
    assert len(train['images']) == 7
    assert joints[0, 3].tolist() == [0, 0, 0]
    assert train['annotations'][0]['num_keypoints'] == 13


def test_the_joints_are_those_of_the_configs():
    metainfo = load_metainfo('ours:lsp_topdown')
    assert metainfo.joints == lsp.JOINTS


def test_what_is_refused(archive, tmp_path, capsys):
    command = archive(people(4), (0, 1, 2))
    assert main(command) == 2
    assert '(4, 14, 3)' in capsys.readouterr().err
    command = archive(people(4), (2, 1, 0))
    image = tmp_path / 'images/im0002.jpg'
    image.write_bytes(b'no image')
    assert main(command) == 2
    assert 'im0002.jpg is broken' in capsys.readouterr().err
    assert main([*command, '--skip-bad']) == 0
    assert 'lsp_train.json: 1 annotations' in capsys.readouterr().out
    assert main(command) == 2
    assert 'lsp_train.json' in capsys.readouterr().err
    image.unlink()
    assert main([*command, '--force']) == 2
    assert '4 persons' in capsys.readouterr().err
    (tmp_path / 'joints.mat').write_text('text')
    assert main([*command, '--force']) == 2
    assert 'Expected joints.mat' in capsys.readouterr().err
