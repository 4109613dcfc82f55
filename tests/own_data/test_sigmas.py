"""OKS sigmas from two people's labels: closed forms, and AP that grows with them."""

import numpy as np
import pytest
from formats import table
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from rlepose_ext.cli.main import main
from rlepose_ext.own_data.labels import Item
from rlepose_ext.own_data.sigmas import measure

AREA = 0.53 * 100 * 80  # of the boxes


@pytest.fixture
def twice(geckos):
    """Labels of one animal in each of 8 images, and again with something added."""
    joints = [f'joint_{k}' for k in range(5)]
    rng = np.random.default_rng(0)
    places = rng.uniform(30, 100, (8, 5, 2))

    def write(change):
        for name, points in (('a', places), ('b', places + change)):
            items = [
                Item(
                    f'gecko_{i + 1:04d}.png',
                    {j: (*p, 2.0) for j, p in zip(joints, points[i].tolist(), strict=True)},
                    (20, 20, 100, 80),
                )
                for i in range(8)
            ]
            table(geckos, joints, items).rename(geckos / f'{name}.csv')
        return geckos

    return write


def test_a_fixed_distance(twice):
    """5 px apart, each is 5 / sqrt(2) from the truth in the mean square."""
    folder = twice(np.array([3.0, 4.0]))
    joints, sigmas, counts, _ = measure(folder, 'a.csv', 'b.csv')
    np.testing.assert_allclose(sigmas, 5 / np.sqrt(2 * AREA))
    assert counts.tolist() == [8] * 5
    assert joints[0] == 'joint_0'


def test_noise_of_both_people(twice):
    """Errors of standard deviation t an axis: sigma is t sqrt(2) / s, whatever the pairing."""
    spread = np.array([1.0, 1.0, 2.0, 2.0, 4.0])[:, None]
    noise = np.random.default_rng(1).normal(0, 1, (2, 8, 5, 2)) * spread
    _, sigmas, _, ap = measure(twice(noise[0] - noise[1]), 'a.csv', 'b.csv')
    np.testing.assert_allclose(sigmas, spread[:, 0] * np.sqrt(2 / AREA), rtol=0.4)
    assert ap[0.5] < ap[1.0] <= ap[2.0]
    assert ap[2.0] > 0.9


def test_the_command(twice, capsys):
    folder = str(twice(np.array([3.0, 4.0])))
    assert main(['data', 'sigmas', folder, 'a.csv', 'b.csv']) == 0
    said = capsys.readouterr().out
    assert 'sigmas=[0.0543, 0.0543, 0.0543, 0.0543, 0.0543]' in said
    assert 'with 2 times these sigmas' in said
    assert main(['data', 'sigmas', folder, 'a.csv', 'a.csv']) == 2
    assert 'the same labels' in capsys.readouterr().err
    assert main(['data', 'sigmas', folder, 'a.csv', 'labels.json']) == 2
    assert 'other joints' in capsys.readouterr().err


def test_init_writes_them(twice, capsys):
    folder = twice(np.array([3.0, 4.0]))
    words = ['init', str(folder), '--labels', 'a.csv', '--second']
    assert main([*words, 'a.csv']) == 2
    assert 'nothing to measure' in capsys.readouterr().err
    assert main([*words, 'b.csv']) == 0
    assert 'OKS sigmas: 0.054 to 0.054, measured from both labels\n' in capsys.readouterr().out
    meta = parse_pose_metainfo({'from_file': str(folder / 'rlepose/metainfo.py')})
    np.testing.assert_allclose(meta['sigmas'], 0.0543)
