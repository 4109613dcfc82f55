"""The RLE configs: totals, one step, two data sets as one, LSP."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS

from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.input_size import dicts

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
RLE = sorted((CONFIGS / 'rle').glob('*.py'))
# hmpretrained differs in the file it starts from, 0.75x in its width
STEPS = [path for path in RLE if 'hmpretrained' not in path.name and '-075' not in path.name]
WIDTHS = {'050': 774_788, '075': 1_442_532, '100': 2_310_980}


def each(paths):
    return pytest.mark.parametrize('path', paths, ids=lambda path: f'rle/{path.stem}')


@pytest.fixture(autouse=True)
def _mmpose_scope():
    init_default_scope('mmpose')


def build_model(config):
    for part in dicts(config.model):
        part.pop('init_cfg', None)  # no download
    return MODELS.build(config.model)


def test_there_are_configs():
    names = {path.name for path in RLE}
    assert 'rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py' in names
    assert len(names) >= 10


@each(RLE)
def test_parameters(path):
    model = build_model(Config.fromfile(path))
    if 'movenet' in path.name:
        # body; pyramid and joints; joints
        both = 92_432 + 4 * 14 * (1280 + 24 * 64 + 1) if 'lsp' in path.name else 4 * 17 * 1281
        expected = 2_223_872 + both
    elif 'lsp' in path.name:
        expected = 687_680 + 4 * 14 * 1281
    elif 'smoothl1' in path.name:
        expected = 23_508_032 + 2 * 17 * 2049
    elif 'res50' in path.name:
        expected = 23_647_364
    elif 'alexnet' in path.name:
        expected = 2_487_172
    elif 'scnet50' in path.name:
        expected = 23_654_916
    elif 'shufflenetv2' in path.name:
        expected = 1_323_304
    else:
        expected = WIDTHS[path.name.split('mobilenetv2-')[1][:3]]
    assert count_parameters(model) == expected
    flow = sum(p.numel() for n, p in model.named_parameters() if 'flow' in n)
    assert flow == (0 if 'smoothl1' in path.name else 53_784)


def test_count_leaves_out_what_only_training_uses():
    model = torch.nn.ModuleDict({'fc': torch.nn.Linear(3, 2)})
    model['loss_module'] = torch.nn.ModuleDict({'net': torch.nn.Linear(9, 9)})
    model['flow'] = torch.nn.Linear(9, 9)
    model['tied'] = model['fc']
    assert count_parameters(model) == 8


@each(STEPS)
def test_one_step_and_one_prediction(path, tmp_path, monkeypatch):
    draw_data(tmp_path)
    monkeypatch.setenv('RLEPOSE_DATA', str(tmp_path))
    config = Config.fromfile(path)
    model = build_model(config)
    model.init_weights()
    train = DATASETS.build(config.train_dataloader.dataset)
    batch = [train[index] for index in (0, -1)]
    width, height = config.codec.input_size
    assert batch[0]['inputs'].shape == (3, height, width)
    data = {key: [sample[key] for sample in batch] for key in batch[0]}
    losses, _ = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
    losses.backward()
    assert torch.isfinite(losses)
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key

    val = DATASETS.build(config.val_dataloader.dataset)
    batch = [val[index] for index in range(2)]
    data = {key: [sample[key] for sample in batch] for key in batch[0]}
    model.eval()
    with torch.no_grad():
        samples = model(**model.data_preprocessor(data, False), mode='predict')
    joints = config.model.head.num_joints
    for sample in samples:
        assert sample.pred_instances.keypoints.shape == (1, joints, 2)
        assert np.isfinite(sample.pred_instances.keypoints).all()


@pytest.mark.parametrize('folder', ['train_20170902', 'train_20170909'])
def test_aic_and_coco_become_one_data_set(tmp_path, monkeypatch, folder):
    draw_data(tmp_path)
    drawn = tmp_path / 'aic/ai_challenger_keypoint_train_20170902'
    drawn.rename(drawn.with_name(f'ai_challenger_keypoint_{folder}'))
    monkeypatch.setenv('RLEPOSE_DATA', str(tmp_path))
    config = Config.fromfile(
        CONFIGS / 'rle' / 'rle_mobilenetv2-050_1xb256-420e_aic-coco-192x192.py'
    )
    config.train_dataloader.dataset.pipeline = [{'type': 'LoadImage'}]
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert len(dataset) == 3 * 3 + 2
    samples = [dataset[index] for index in range(len(dataset))]
    coco, aic = samples[:9], samples[9:]
    assert sorted(sample['id'] for sample in coco) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert sorted(sample['id'] for sample in aic) == [1, 2]
    # AIC's joint j lies at (10 + 3j, 20 + 2j); the order is that of AIC's own names.
    limbs = ('shoulder', 'elbow', 'wrist'), ('hip', 'knee', 'ankle')
    sides = ('right', 'left')
    aic_names = [f'{side}_{joint}' for limb in limbs for side in sides for joint in limb]
    names = dataset.metainfo['keypoint_id2name']
    for sample in aic:
        assert sample['keypoints'].shape == (1, 17, 2)
        visible = sample['keypoints_visible'][0, :, 0]
        for joint in range(17):
            if joint < 5:
                assert visible[joint] == 0
            else:
                j = aic_names.index(names[joint])
                assert sample['keypoints'][0, joint].tolist() == [10 + 3 * j, 20 + 2 * j]
                assert visible[joint] == 1
        assert len(sample['flip_indices']) == 17


def test_second_stage_is_the_milder_one():
    config = Config.fromfile(CONFIGS / 'rle/_base_/rle_aic-coco-192x192.py')
    hook = config.custom_hooks[-1]
    assert hook.type == 'rlepose_ext.PipelineSwitchHook'
    assert hook.switch_epoch == config.train_cfg.max_epochs - 30
    assert hook.switch_pipeline == config.train_pipeline_stage2
    first, second = (
        {step.type: step for step in pipeline}
        for pipeline in (config.train_pipeline, config.train_pipeline_stage2)
    )
    assert list(first) == list(second)
    assert second['RandomBBoxTransform'].shift_factor == 0
    assert (first['rlepose_ext.RandomErase'].prob, second['rlepose_ext.RandomErase'].prob) == (
        1,
        0.5,
    )


def test_lsp_metainfo_is_that_of_its_annotations(shared):
    config = Config.fromfile(CONFIGS / '_base_/datasets/lsp_topdown.py')
    content = json.loads((shared / 'data' / 'lsp' / 'lsp_train.json').read_text())
    category = content['categories'][0]
    names = [config.metainfo.keypoint_info[i].name for i in range(14)]
    assert names == category['keypoints']
    links = {frozenset(link.link) for link in config.metainfo.skeleton_info.values()}
    theirs = {frozenset(names[i - 1] for i in link) for link in category['skeleton']}
    assert theirs == links


def test_lsp_loads_whole(shared, monkeypatch):
    monkeypatch.setenv('RLEPOSE_DATA', str(shared / 'data'))
    config = Config.fromfile(CONFIGS / 'rle' / 'rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py')
    train = DATASETS.build(config.train_dataloader.dataset)
    val = DATASETS.build(config.val_dataloader.dataset)
    assert (len(train), len(val)) == (2357, 396)
    meta = train.metainfo
    for joint, other in enumerate(meta['flip_indices']):
        a, b = meta['keypoint_id2name'][joint], meta['keypoint_id2name'][other]
        swapped = a.replace('left', '#').replace('right', 'left').replace('#', 'right')
        assert b == swapped
    packed = train[0]
    assert packed['inputs'].shape == (3, 192, 192)
    assert packed['data_samples'].gt_instance_labels.keypoint_labels.shape == (1, 14, 2)


def draw_data(folder):
    """Three persons as COCO train and val, two as AIC, two as LSP, on one grey image each."""
    for prefix, names, joints, persons, ann_files in (
        ('coco', ('train2017', 'val2017'), 17, 3, 'annotations/person_keypoints_{}.json'),
        (
            'aic',
            ('ai_challenger_keypoint_train_20170902/keypoint_train_images_20170902',),
            14,
            2,
            'annotations/aic_train.json',
        ),
        ('lsp', ('images',), 14, 2, 'lsp_train.json'),
        ('lsp', ('images',), 14, 2, 'lsp_val.json'),
    ):
        for images in names:
            (folder / prefix / images).mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng(0)
            image = rng.integers(0, 255, (120, 100, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / prefix / images / 'a.jpg'), image)
            keypoints = [v for j in range(joints) for v in (10 + 3 * j, 20 + 2 * j, 2)]
            person = {'image_id': 1, 'category_id': 1, 'iscrowd': 0, 'keypoints': keypoints}
            person |= {'num_keypoints': joints, 'bbox': [5, 10, 60, 70], 'area': 2000}
            content = {
                'images': [{'id': 1, 'file_name': 'a.jpg', 'width': 100, 'height': 120}],
                'annotations': [{**person, 'id': i + 1} for i in range(persons)],
                'categories': [{'id': 1, 'name': 'person'}],
            }
            ann_file = folder / prefix / ann_files.format(images)
            ann_file.parent.mkdir(parents=True, exist_ok=True)
            ann_file.write_text(json.dumps(content))
    boxes = folder / 'coco' / 'person_detection_results'
    boxes.mkdir()
    box = {'image_id': 1, 'category_id': 1, 'bbox': [5, 10, 60, 70], 'score': 0.9}
    (boxes / 'COCO_val2017_detections_AP_H_56_person.json').write_text(json.dumps([box, box]))
