"""What the matrix stands on: drawn data in each format, and a config that is made small."""

import json
import math
import re

import _miniature
import _miniature_data as data
import cv2
import matrix
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS

COCO = {
    'type': 'CocoDataset',
    'data_root': 'data/coco/',
    'ann_file': 'annotations/a.json',
    'data_prefix': {'img': 'images/'},
}


def config_of(held_out, evaluator=None):
    loader = {'dataset': {**held_out, 'test_mode': True}}
    return Config({'val_dataloader': loader, 'val_evaluator': evaluator or {'type': 'CocoMetric'}})


def build(config, root):
    """The validation set of a config whose paths are moved to ``root``."""
    init_default_scope('mmpose')
    dataset = dict(config.val_dataloader.dataset)
    for key in ('data_root', 'bbox_file', 'headbox_file'):
        if key in dataset:
            dataset[key] = str(data.place(dataset[key], root))
    return DATASETS.build(dataset)


def test_coco(tmp_path):
    boxes = 'data/coco/boxes.json'
    evaluator = {'type': 'CocoMetric', 'ann_file': 'data/coco/annotations/part.json'}
    config = config_of({**COCO, 'bbox_file': boxes}, evaluator)
    data.draw(config, tmp_path)
    dataset = build(config, tmp_path)
    assert len(dataset) == data.HELD_OUT  # one detected box for each
    del config.val_dataloader.dataset['bbox_file']
    labelled = build(config, tmp_path)
    assert len(labelled) == data.HELD_OUT  # and the person without labels is left out
    content = json.loads((tmp_path / 'coco/annotations/a.json').read_text())
    assert len(content['annotations']) == data.HELD_OUT + 1
    assert json.loads((tmp_path / 'coco/annotations/part.json').read_text()) == content
    # the dots are where the labels are
    sample = labelled.get_data_info(0)
    image = cv2.imread(sample['img_path'])
    x, y = sample['keypoints'][0, 0].round().astype(int)
    assert abs(image[y, x].astype(int) - 90).max() > 40


def test_mpii_has_head_boxes_in_a_mat_file(tmp_path):
    held_out = {**COCO, 'type': 'MpiiDataset', 'data_root': 'data/mpii/'}
    config = config_of({**held_out, 'headbox_file': 'data/mpii/annotations/gt.mat'})
    data.draw(config, tmp_path)
    sample = build(config, tmp_path).get_data_info(1)
    assert sample['keypoints'].shape == (1, 16, 2)
    assert sample['keypoints'].min() >= 30
    # MPII's rule: 0.6 of the diagonal
    assert sample['head_size'].item() == pytest.approx(0.6 * math.hypot(30, 40))


def test_nothing_is_downloaded():
    pretrained = {'type': 'Pretrained', 'checkpoint': 'https://example.org/a.pth'}
    normal = {'type': 'Normal', 'layer': 'Conv2d'}
    model = {'init_cfg': pretrained, 'neck': {'init_cfg': normal}}
    config = Config({'model': {**model, 'head': {'init_cfg': [normal, pretrained]}}})
    config.load_from = 'https://example.org/b.pth'
    _miniature.without_downloads(config)
    assert 'example.org' not in str(config)
    assert config.model.neck.init_cfg == normal
    assert config.model.head.init_cfg == [normal]


def finished(**changes):
    watch = _miniature.Watch()
    watch.losses = [{'loss': 1.0, 'loss_kpt': 1.0}] * 2
    result = {'iterations': 2, 'val': {'coco/AP': 0.0}, 'test': {'coco/AP': 0.0}}
    return {**result, **changes}, watch


@pytest.mark.parametrize(('changes', 'losses', 'word'), [
    ({'iterations': 6}, None, '6 iterations instead of 2'),
    ({'val': {'coco/AP': math.nan}}, None, 'val: coco/AP not finite'),
    ({'test': {}}, None, 'neither a metric nor a file'),
    ({'val': {'AP': 0.1}}, None, r"save_best \['coco/AP'\]: not among the metrics \['AP'\]"),
    ({}, [{'loss': math.inf}], 'iteration 1: loss not finite'),
])  # fmt: skip
def test_problems_are_named(changes, losses, word):
    assert _miniature.problems(*finished(), 'coco/AP') == []
    result, watch = finished(**changes)
    watch.losses = losses or watch.losses
    (problem,) = _miniature.problems(result, watch, 'coco/AP')
    assert re.search(word, problem)


def test_bad_gradients_and_idle_parameters_are_seen():
    model = torch.nn.ModuleDict({'used': torch.nn.Linear(1, 1), 'idle': torch.nn.Linear(1, 1)})
    watch = _miniature.Watch()
    watch.before_train(type('Runner', (), {'model': model}))
    (model['used'](torch.zeros(1)) * math.inf).sum().backward()
    assert watch.learning == {'used.weight', 'used.bias'}
    assert 'used.bias' in watch.bad_gradients


def test_a_digest_follows_the_bases_and_not_the_folder(tmp_path, monkeypatch):
    base, leaf = tmp_path / 'base.py', tmp_path / 'leaf.py'
    base.write_text("root = '{{$RLEPOSE_DATA:data}}/coco'\nlr = 1\n")
    leaf.write_text("_base_ = ['./base.py']\n")
    first = matrix.digest(leaf)
    monkeypatch.setenv('RLEPOSE_DATA', '/elsewhere')
    assert matrix.digest(leaf) == first
    base.write_text("root = '{{$RLEPOSE_DATA:data}}/coco'\nlr = 2\n")
    assert matrix.digest(leaf) != first


def test_a_process_that_fails_gets_a_row(monkeypatch):
    # the interpreter's own word for a script that is not there
    monkeypatch.setattr(matrix, '__file__', 'nowhere.py')
    row = matrix.in_own_process('any', [], 1, 100)
    assert row['status'] == 'failed'
    assert re.match(r'exit status 2: .*nowhere\.py', row['problems'][0])
    row = matrix.in_own_process('any', [], 1, 0)
    assert row['problems'] == ['not done after 0 s']
