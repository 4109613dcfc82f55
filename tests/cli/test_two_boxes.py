"""``rlepose test --boxes``: one model in annotated and in detected boxes."""

import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from rlepose_ext.cli import main, two_boxes
from rlepose_ext.datasets.synthetic import write_dataset

PERSONS = 4
BBOX_FILE = 'test_dataloader.dataset.bbox_file'


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A function that writes a config with some test data set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('RLEPOSE_DATA', raising=False)
    (tmp_path / 'epoch_1.pth').touch()

    def write(**dataset):
        dataset = {'type': 'CocoDataset', 'ann_file': 'val.json', 'data_root': 'data/', **dataset}
        evaluators = dataset.pop('evaluators', ['CocoMetric'])
        evaluators = [{'type': kind} for kind in evaluators]
        (tmp_path / 'config.py').write_text(
            f'model = dict()\ntest_dataloader = dict(dataset={dataset!r})\n'
            f'test_evaluator = {evaluators!r}\n'
        )
        return ['test', 'config.py', '-C', 'epoch_1.pth']

    return write


def commands(capsys):
    return [shlex.split(line) for line in capsys.readouterr().out.splitlines()]


def test_each_kind_is_this_command_with_other_boxes(config, tmp_path, capsys):
    (tmp_path / 'own.json').touch()
    (tmp_path / 'theirs.json').touch()
    command = config(bbox_file='theirs.json')
    assert main.main([*command, '--boxes', 'gt,det,own.json', '--dry-run', '--gpus', '1']) == 0
    found = commands(capsys)
    files = [None, 'theirs.json', str(tmp_path / 'own.json')]
    assert [line[-1] for line in found] == [f'{BBOX_FILE}={file}' for file in files]
    for line in found:
        assert line[1:7] == ['-m', 'rlepose_ext.cli.main', *command]
        assert '--gpus' in line


def test_what_needs_joints_is_left_out(config, tmp_path, capsys, monkeypatch):
    """A detected box has no annotated joints, so a PCK in it says nothing."""
    (tmp_path / 'own.json').write_text('[]')

    def test(command, **_):
        found = {'coco/AP': 0.5, 'PCK': 0.25, 'PCK@0.1/PCK': 0.125, 'EPE': 3.0}
        # the last of several options counts
        last = len(command) - command[::-1].index('--out')
        Path(command[last]).write_text(json.dumps(found))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(two_boxes.subprocess, 'run', test)
    command = config(evaluators=['CocoMetric', 'PCKAccuracy', 'PCKAccuracy', 'EPE'])
    assert main.main([*command, '--boxes', 'gt,own.json', '--out', 'boxes.json']) == 0
    written = json.loads((tmp_path / 'boxes.json').read_text())['boxes']
    assert written['gt']['metrics']['PCK'] == 0.25
    assert written['own.json']['metrics'] == {'coco/AP': 0.5}
    assert 'not of detected boxes' in capsys.readouterr().out
    command = config(evaluators=['PCKAccuracy', 'EPE'])
    assert main.main([*command, '--boxes', 'gt,own.json']) == 2
    assert 'Test with CocoMetric' in capsys.readouterr().err


def test_cocos_file_of_boxes_is_known(config, tmp_path, capsys):
    command = config(ann_file='annotations/person_keypoints_val2017.json', data_root='data/coco/')
    name = 'person_detection_results/COCO_val2017_detections_AP_H_56_person.json'
    assert main.main([*command, '--boxes', 'gt,det', '--dry-run']) == 2
    assert f'data/coco/{name} does not exist' in capsys.readouterr().err
    (tmp_path / 'data/coco' / name).parent.mkdir(parents=True)
    (tmp_path / 'data/coco' / name).touch()
    assert main.main([*command, '--boxes', 'gt,det', '--dry-run']) == 0
    assert commands(capsys)[1][-1].endswith(f'=data/coco/{name}')


@pytest.mark.parametrize(('dataset', 'options', 'message'), [
    ({}, 'gt,det', 'names no file of detected boxes'),
    ({}, 'gt,nowhere.json', 'nowhere.json does not exist'),
    ({'bbox_file': 'nowhere.json'}, 'gt,det', 'nowhere.json does not exist'),
    ({'data_mode': 'bottomup'}, 'gt', "data_mode 'bottomup'"),
    ({}, 'gt --dump out.pkl', '--dump with --boxes'),
    ({}, f'det --cfg-options {BBOX_FILE}=other.json', 'other.json does not exist'),
])  # fmt: skip
def test_what_cannot_be_tested_is_said_before_any_test(config, capsys, dataset, options, message):
    assert main.main([*config(**dataset), '--boxes', *options.split()]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def model(tmp_path, root, monkeypatch):
    """A config, a checkpoint whose poses in annotated boxes are the labels, and all boxes."""
    monkeypatch.setenv('RLEPOSE_DATA', str(tmp_path))
    drawn = write_dataset(tmp_path / 'synthetic', 1, PERSONS, seed=0, config={'persons': (1.0,)})
    path = root / 'configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'
    config = Config.fromfile(path)
    config.work_dir, config.load_from = str(tmp_path / 'work'), None
    runner = Runner.from_cfg(config)
    head = runner.model.eval().head
    with torch.no_grad():
        head.fc.weight.view(17, 4, -1)[:, :2] *= 0.1
        head.fc.bias.view(17, 4)[:, :2] = torch.linspace(0.2, 0.8, 17)[:, None]
        found = [each for batch in runner.test_dataloader for each in runner.model.test_step(batch)]
    torch.save({'state_dict': runner.model.state_dict(), 'meta': {}}, tmp_path / 'start.pth')
    content = json.loads(drawn.val_json.read_text())
    for person, sample in zip(content['annotations'], found, strict=True):
        labels = np.column_stack([sample.pred_instances.keypoints[0], np.full(17, 2)])
        person.update(keypoints=labels.ravel().tolist(), num_keypoints=17)
    drawn.val_json.write_text(json.dumps(content))
    boxes = tmp_path / 'found.json'
    # as `rlepose detect` writes those of a detector, here the annotated ones
    images, val = str(drawn.val_json.parents[1] / 'images/val'), str(drawn.val_json)
    assert main.main(['detect', val, images, '--det', val, '--coco-json', str(boxes)]) == 0
    return str(path), str(tmp_path / 'start.pth'), json.loads(boxes.read_text())


@pytest.mark.slow
def test_side_by_side(model, tmp_path, capfd):
    config, checkpoint, boxes = model
    (tmp_path / 'found.json').write_text(json.dumps(boxes[1:]))  # one person is not found
    out = tmp_path / 'both.json'
    command = ['test', config, '-C', checkpoint, '--work-dir', str(tmp_path / 'work')]
    options = ['--boxes', f'gt,{tmp_path / "found.json"}', '--out', str(out)]
    assert main.main([*command, *options]) == 0
    results = json.loads(out.read_text())['boxes']
    truth, found = results['gt'], results[str(tmp_path / 'found.json')]
    assert truth['bbox_file'] is None
    assert truth['metrics']['coco/AP'] == pytest.approx(1)
    assert found['metrics']['coco/AR'] == pytest.approx(3 / 4)
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert ['coco/AR', '1.0000', '0.7500'] in lines
