"""``rlepose eval``: table, JSON, options, and status 2 for files that cannot be evaluated."""

import json

import numpy as np
import pytest

from rlepose_ext.cli.main import main
from rlepose_ext.evaluation.offline import CROWD_NAMES, NAMES, SIGMAS


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two persons of 17 joints and an exact detection of one: a.json and r.json."""
    monkeypatch.chdir(tmp_path)
    write_files(17)
    return tmp_path


def write_files(joints, **image):
    rng = np.random.default_rng(0)
    truth = {'images': [{'id': 7, **image}], 'categories': [{'id': 1, 'name': 'person'}]}
    truth['annotations'] = []
    for number in (1, 2):
        keypoints = np.column_stack([rng.uniform(0, 200, (joints, 2)), np.full(joints, 2)])
        person = {'id': number, 'image_id': 7, 'category_id': 1, 'num_keypoints': joints}
        person |= {'bbox': [0, 0, 200, 200], 'area': 20000.0, 'iscrowd': 0}
        truth['annotations'].append(person | {'keypoints': keypoints.ravel().tolist()})
    found = {key: truth['annotations'][0][key] for key in ('image_id', 'category_id', 'keypoints')}
    write('a.json', truth)
    write('r.json', [found | {'score': 0.8}])
    return truth


def write(name, content):
    with open(name, 'w') as file:
        json.dump(content, file)


def test_table(files, capsys):
    assert main(['eval', 'r.json', 'a.json']) == 0
    said = capsys.readouterr().out
    assert said.startswith('1 detections on 1 of 1 images\n\n')
    rows = dict(line.rsplit(maxsplit=1) for line in said.splitlines()[2:])
    assert tuple(rows) == NAMES
    # precision 1 up to a recall of one half: 51 of COCO's 101 points
    assert rows['AP'] == f'{51 / 101:.4f}'
    assert rows['AR'] == '0.5000'
    assert rows['AP (M)'] == '-'  # 20000 px^2 is large
    assert main(['eval', 'r.json', 'a.json', '--json']) == 0
    said = capsys.readouterr()
    stats = json.loads(said.out)
    assert tuple(stats) == NAMES
    assert stats['AP'] == pytest.approx(51 / 101)
    assert stats['AP (M)'] == -1
    assert said.err == '1 detections on 1 of 1 images\n'


def test_crowdpose(files, capsys):
    write_files(14, crowdIndex=0.9)
    options = ['--sigmas', 'crowdpose', '--crowd', '--area', 'bbox']
    assert main(['eval', 'r.json', 'a.json', *options, '--json']) == 0
    stats = json.loads(capsys.readouterr().out)
    assert tuple(stats) == CROWD_NAMES
    assert stats['AP(H)'] == pytest.approx(51 / 101, abs=1e-4)
    assert stats['AP(E)'] == -1
    # the same sigmas from a file
    write('sigmas.json', SIGMAS['crowdpose'])
    options[1] = 'sigmas.json'
    assert main(['eval', 'r.json', 'a.json', *options, '--json']) == 0
    assert json.loads(capsys.readouterr().out) == stats


@pytest.mark.parametrize(('arguments', 'message'), [
    (['a.json', 'r.json'], 'swapped'),
    (['a.json', 'a.json'], 'it is no result file'),
    (['r.json', 'none.json'], 'none.json does not exist'),
    (['r.json', 'a.json', '--sigmas', 'crowdpose'], 'expected 42 for 14 sigmas'),
    (['r.json', 'a.json', '--sigmas', 'mpi'], 'neither a data set'),
    (['r.json', 'a.json', '--crowd'], 'crowdIndex'),
    (['text.json', 'a.json'], 'not JSON'),
])  # fmt: skip
def test_what_cannot_be_evaluated_ends_with_status_2(files, capsys, arguments, message):
    """What is wrong within the files is in tests/evaluation/test_coco_results.py."""
    (files / 'text.json').write_text('AP 0.7')
    assert main(['eval', *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith('rlepose: error: ')
    assert message.lower() in said.err.lower()
    assert said.out == ''
