"""The RLE configs: two data sets as one, the second stage, LSP."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import DATASETS

from rlepose_ext.models.count import count_parameters

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def test_count_leaves_out_what_only_training_uses():
    model = torch.nn.ModuleDict({'fc': torch.nn.Linear(3, 2)})
    model['loss_module'] = torch.nn.ModuleDict({'net': torch.nn.Linear(9, 9)})
    model['flow'] = torch.nn.Linear(9, 9)
    model['tied'] = model['fc']
    assert count_parameters(model) == 8


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
    """Three persons as COCO's training set, two as AIC's, on one grey image each."""
    for images, joints, persons, ann_file in (
        ('coco/train2017', 17, 3, 'coco/annotations/person_keypoints_train2017.json'),
        (
            'aic/ai_challenger_keypoint_train_20170902/keypoint_train_images_20170902',
            14,
            2,
            'aic/annotations/aic_train.json',
        ),
    ):
        (folder / images).mkdir(parents=True)
        cv2.imwrite(str(folder / images / 'a.jpg'), np.full((120, 100, 3), 99, np.uint8))
        keypoints = [v for j in range(joints) for v in (10 + 3 * j, 20 + 2 * j, 2)]
        person = {'image_id': 1, 'category_id': 1, 'iscrowd': 0, 'keypoints': keypoints}
        person |= {'num_keypoints': joints, 'bbox': [5, 10, 60, 70], 'area': 2000}
        content = {
            'images': [{'id': 1, 'file_name': 'a.jpg', 'width': 100, 'height': 120}],
            'annotations': [{**person, 'id': i + 1} for i in range(persons)],
            'categories': [{'id': 1, 'name': 'person'}],
        }
        (folder / ann_file).parent.mkdir(parents=True)
        (folder / ann_file).write_text(json.dumps(content))
