"""YOLO-Pose learns two drawn pictures of three persons by heart, boxes and joints.

The loss of a joint is flat where it is far off: a tenth of a box's side away, that of a nose is
0.98 of its largest. Real trainings have hundreds of thousands of persons to get near. Here sigmas
begin :data:`WIDER` times as large and end as they are; the network has half its width.
"""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from test_movenet_overfit import SIDE, pictures_of_three
from torch import nn

from rlepose_ext.models.heads import YOLOPoseHead

pytestmark = pytest.mark.slow

STEPS = 400
WIDER = 8


def test_pictures_of_three(root):
    MMLogger.get_current_instance().setLevel('WARNING')
    init_default_scope('mmpose')
    config = Config.fromfile(
        root / 'configs/yolopose/yolopose_yolov5s6_4xb16-300e_coco-640x640.py'
    ).model
    config.head.decoder.input_size = (SIDE, SIDE)
    config.head.loss.batch_size = 2
    config.backbone.widen_factor /= 2
    config.neck.in_channels = config.head.in_channels = (64, 128, 192, 256)
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.init_weights()
    head: YOLOPoseHead = model.head
    pictures, samples = pictures_of_three(2), []
    for _, joints, boxes in pictures:
        labels = head.decoder.encode(joints[..., :2], joints[..., 2], boxes)
        sample = PoseDataSample()
        sample.gt_instance_labels = InstanceData(**labels).to_tensor()
        samples.append(sample)
    pixels = np.stack([picture[..., ::-1] for picture, _, _ in pictures])
    x = torch.from_numpy(pixels / 255).float().permute(0, 3, 1, 2)

    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=STEPS)
    model.train()
    sigmas = head.loss_module.sigmas.clone()
    for step in range(STEPS):
        wider = WIDER ** max(1 - 1.5 * step / STEPS, 0)
        head.loss_module.sigmas.copy_(sigmas * wider)
        losses = head.loss(model.extract_feat(x), samples)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    # batch norm with the statistics of these pictures, as in training
    with torch.no_grad():
        poses = head.predict(model.extract_feat(x), [], {'score_thr': 0.25, 'nms_thr': 0.6})
    errors = []
    for pose, (_, joints, boxes) in zip(poses, pictures, strict=True):
        assert len(pose.bboxes) == 3
        distance = np.abs(pose.bboxes[:, None] - boxes).sum(-1)
        match = distance.argmin(0)
        assert sorted(match) == [0, 1, 2]
        labelled = joints[..., 2] > 0
        off = np.linalg.norm(pose.keypoints[match] - joints[..., :2], axis=-1)
        errors.append(off[labelled].mean() / SIDE)
    assert max(errors) < 0.02
