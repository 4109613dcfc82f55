"""What the matrix stands on: drawn data in each format, and a config that is made small."""

import json
import math
import re
from pathlib import Path

import _miniature
import _miniature_data as data
import _miniature_real as real
import cv2
import matrix
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS

LEAVES = matrix.leaves()
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


def test_paths_move_to_the_root():
    root = Path('/elsewhere')
    assert data.place('data/coco/a.json', root) == root / 'coco/a.json'
    assert data.place('/elsewhere/lsp/a.json', root) == root / 'lsp/a.json'


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


@pytest.mark.parametrize(
    ('kind', 'joints'),
    [('AicDataset', 14), ('CrowdPoseDataset', 14), ('OCHumanDataset', 17), ('WFLWDataset', 98)],
)
def test_other_sets_in_the_form_of_coco(kind, joints, tmp_path):
    config = config_of({**COCO, 'type': kind})
    data.draw(config, tmp_path)
    dataset = build(config, tmp_path)
    assert len(dataset) == data.HELD_OUT
    assert dataset.get_data_info(0)['keypoints'].shape == (1, joints, 2)


def test_mpii_has_head_boxes_in_a_mat_file(tmp_path):
    held_out = {**COCO, 'type': 'MpiiDataset', 'data_root': 'data/mpii/'}
    config = config_of({**held_out, 'headbox_file': 'data/mpii/annotations/gt.mat'})
    data.draw(config, tmp_path)
    sample = build(config, tmp_path).get_data_info(1)
    assert sample['keypoints'].shape == (1, 16, 2)
    assert sample['keypoints'].min() >= 30
    # MPII's rule: 0.6 of the diagonal
    assert sample['head_size'].item() == pytest.approx(0.6 * math.hypot(30, 40))


def test_test_dev_has_no_annotations(tmp_path):
    held_out = {**COCO, 'ann_file': 'annotations/image_info_test-dev2017.json'}
    config = config_of({**held_out, 'bbox_file': 'data/coco/boxes.json'})
    data.draw(config, tmp_path)
    path = tmp_path / 'coco/annotations/image_info_test-dev2017.json'
    assert set(json.loads(path.read_text())) == {'images', 'categories'}
    assert len(build(config, tmp_path)) == data.HELD_OUT


def test_training_and_validation_do_not_overwrite_each_other(tmp_path):
    config = config_of({**COCO, 'ann_file': 'annotations/val.json'})
    config.train_dataloader = {'dataset': {**COCO, 'ann_file': 'annotations/train.json'}}
    data.draw(config, tmp_path)
    assert len(list((tmp_path / 'coco/images').iterdir())) == data.NUMBER + data.HELD_OUT


def test_a_few_real_pictures():
    images = [{'id': n, 'file_name': f'{n}.jpg'} for n in (3, 5, 8)]
    people = [
        {'id': n, 'image_id': image, 'keypoints': [1, 1, labelled]}
        for n, (image, labelled) in enumerate([(3, 2), (3, 0), (8, 1)])
    ]
    content = {'images': images, 'annotations': people}
    held_out = real.a_few(content, held_out=True)
    assert [image['id'] for image in held_out['images']] == [3, 8]
    assert [one['id'] for one in held_out['annotations']] == [0, 2]
    training = real.a_few(content, held_out=False)
    assert len(training['images']) == len(training['annotations']) == data.NUMBER
    for key, part in (('images', 'images'), ('annotations', 'annotations')):
        assert len({one['id'] for one in training[part]}) == data.NUMBER, key
    names = {image['id']: image['file_name'] for image in training['images']}
    assert [names[one['image_id']] for one in training['annotations']] == ['3.jpg', '8.jpg'] * 2


def test_samples_of_mmpose_are_used(tmp_path, shared):
    config = config_of({**COCO, 'bbox_file': 'data/coco/boxes.json'})
    assert real.copy_real(config, tmp_path, shared) == ['coco']
    dataset = build(config, tmp_path)
    assert len(dataset) == real.MOST
    assert Path(dataset.get_data_info(0)['img_path']).is_file()


def test_a_mixture_stays_a_mixture():
    mixed = {'datasets': [{}, {}], 'sample_ratio_factor': [3.0, 1.0]}
    _miniature._few_samples(mixed, 4)
    assert [part['indices'] for part in mixed['datasets']] == [1, 1]
    plain = {'datasets': [{}, {}]}
    _miniature._few_samples(plain, 4)
    assert [part['indices'] for part in plain['datasets']] == [2, 2]


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ((192, 256), '96x128'),
        ((288, 384), '96x128'),
        ((192, 192), '96x96'),
        ((512, 512), '128x128'),
        ((640, 640), '128x128'),
        ((64, 64), '64x64'),
        ((72, 96), '72x96'),
    ],
)
def test_small_size(old, new):
    config = Config({'codec': {'input_size': old}, 'model': {'head': {}}})
    small, text = _miniature.reduced(config)
    assert text == new
    assert 'x'.join(map(str, small.codec.input_size)) == new


def test_small_size_reaches_detectors_and_transformers():
    config = Config(
        {
            'codec': {'input_size': (192, 256)},
            'model': {
                'backbone': {'img_size': (256, 192)},
                'head': {},
                'augments': [{'random_size_range': (480, 800)}],
            },
            'pipeline': [{'img_scale': (192, 256)}],
        }
    )
    small, _ = _miniature.reduced(config)
    assert small.model.backbone.img_size == (128, 96)
    assert small.pipeline[0].img_scale == (96, 128)
    assert small.model.augments[0].random_size_range == (240, 400)


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


def test_a_run_without_problems():
    assert _miniature.problems(*finished(), 'coco/AP') == []
    submission = finished(val={}, test={}, written=['results.keypoints.json'])
    assert _miniature.problems(*submission, None) == []


@pytest.mark.parametrize(
    ('changes', 'losses', 'word'),
    [
        ({'iterations': 6}, None, '6 iterations instead of 2'),
        ({'val': {'coco/AP': math.nan}}, None, 'val: coco/AP not finite'),
        ({'test': {}}, None, 'neither a metric nor a file'),
        ({'val': {'AP': 0.1}}, None, r"save_best \['coco/AP'\]: not among the metrics \['AP'\]"),
        ({}, [{'loss': math.inf}], 'iteration 1: loss not finite'),
    ],
)
def test_problems_are_named(changes, losses, word):
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
