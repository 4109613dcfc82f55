"""MoveNet learns: eight drawn persons by heart, and two drawn pictures of three persons."""

import importlib

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import nn

from rlepose_ext.codecs import MoveNetLabel
from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one

pytestmark = pytest.mark.slow

SIDE = 128


@pytest.fixture(autouse=True)
def _quiet():
    MMLogger.get_current_instance().setLevel('WARNING')


def test_eight_persons(root, monkeypatch):
    monkeypatch.syspath_prepend(root / 'benchmarks')
    harness = importlib.import_module('overfit')
    path = 'movenet/movenet_lightning_8xb64-120e_coco-192x192.py'
    config = harness.load_for_overfit(path)
    result = harness.overfit(config, harness.draw_people(), rates=harness.Rates(3e-3))
    assert result.steps is not None, result.curve
    assert result.error < 0.02


def pictures_of_three(number):
    """Pictures of at least three drawn persons at SIDE px: pixels, joints (N, K, 3), boxes xyxy."""
    drawing = SyntheticPeopleConfig(persons=(0.0, 0.0, 1.0), occlusion=0.0, truncation=0.0)
    found, index = [], 0
    while len(found) < number:
        image, persons = draw_one(0, 'train', index, drawing)
        index += 1
        joints = np.array([p['keypoints'] for p in persons], float).reshape(len(persons), -1, 3)
        if len(persons) != 3 or not (joints[..., 2] > 0).any(-1).all():
            continue
        height, width = image.shape[:2]
        factor = np.array([SIDE / width, SIDE / height])
        boxes = np.array([p['bbox'] for p in persons], float)
        boxes[:, 2:] += boxes[:, :2]
        joints[..., :2] *= factor
        found.append((cv2.resize(image, (SIDE, SIDE)), joints, boxes * np.tile(factor, 2)))
    return found


def test_pictures_of_three(root):
    init_default_scope('mmpose')
    config = Config.fromfile(root / 'configs/movenet/movenet_multipose_8xb16-140e_coco-384x384.py')
    codec = {**config.codec, 'input_size': (SIDE, SIDE), 'heatmap_size': (SIDE // 4, SIDE // 4)}
    config.model.head.decoder = codec
    config.model.backbone.arch = 'lightning'
    config.model.neck.in_channels = (24, 32, 64, 1280)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    label = MoveNetLabel(**{k: v for k, v in codec.items() if k != 'type'})
    pictures, samples = pictures_of_three(2), []
    for _, joints, boxes in pictures:
        encoded = label.encode(joints[..., :2], joints[..., 2], bbox=boxes)
        sample = PoseDataSample()
        sample.gt_fields = PixelData(
            heatmaps=encoded['heatmaps'], centre=encoded['centre']
        ).to_tensor()
        labels = {k: encoded[k] for k in label.label_mapping_table}
        sample.gt_instance_labels = InstanceData(**labels).to_tensor()
        samples.append(sample)
    pixels = np.stack([picture for picture, _, _ in pictures])
    x = torch.from_numpy(pixels[..., ::-1] / 127.5 - 1).float().permute(0, 3, 1, 2)

    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    steps = 400
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    model.train()
    for _ in range(steps):
        losses = model.head.loss(model.extract_feat(x), samples)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    # batch norm with the statistics of these pictures, as in training
    with torch.no_grad():
        poses = model.head.predict(model.extract_feat(x), [], {'score_thr': 0.1, 'nms_thr': 0.7})
    errors = []
    for pose, (_, joints, boxes) in zip(poses, pictures, strict=True):
        assert len(pose.bboxes) == 3
        distance = np.abs(pose.bboxes[:, None] - boxes.clip(0, SIDE)).sum(-1)
        match = distance.argmin(0)
        assert sorted(match) == [0, 1, 2]
        labelled = joints[..., 2] > 0
        off = np.linalg.norm(pose.keypoints[match] - joints[..., :2], axis=-1)
        errors.append(off[labelled].mean() / SIDE)
    assert max(errors) < 0.02
