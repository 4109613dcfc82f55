"""AdaptivePose on bad pictures: they are trained through and tested, and nothing is ever NaN."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS
from torch.nn import functional

from rlepose_ext.models.input_size import at_input_size

WHOLE = np.ones(17)
# height and width, labels of the persons
PICTURES = {
    'smaller than a stride': ((2, 3), [WHOLE]),
    'one pixel': ((1, 1), [WHOLE]),
    'a strip': ((3, 40), [WHOLE, WHOLE]),
    'nobody with labels': ((50, 60), [0 * WHOLE]),
    'a person of one joint beside another': ((50, 60), [np.eye(17)[3], WHOLE]),
}


@pytest.mark.parametrize('case', PICTURES)
def test_bad_pictures(root, case):
    init_default_scope('mmpose')
    path = 'configs/adaptivepose/adaptivepose_hrnet-w32_8xb8-280e_coco-512x512.py'
    config = at_input_size(Config.fromfile(root / path), (64, 64))
    (height, width), visible = PICTURES[case]
    rng = np.random.default_rng(0)
    joints = rng.uniform(0, (width, height), (len(visible), 17, 2)).astype(np.float32)
    results = {
        'img': rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        'img_path': '',
        'img_id': 0,
        'id': list(range(len(visible))),
        'bbox': np.concatenate([joints.min(1), joints.max(1)], 1),
        'keypoints': joints,
        'keypoints_visible': np.float32(visible),
        'area': np.zeros(len(visible), np.float32),
        **parse_pose_metainfo({'from_file': 'configs/_base_/datasets/coco.py'}),
    }
    # each cell sees the mean of its pixels: the backbone is not what is asked here
    head = MODELS.build({**config.model.head, 'in_channels': 3})
    preprocessor = MODELS.build(config.model.data_preprocessor)

    def features(loader):
        samples = [Compose(loader.dataset.pipeline)({**results, 'img': results['img'].copy()})]
        data = preprocessor(pseudo_collate(samples))
        return (functional.avg_pool2d(data['inputs'], 4),), data['data_samples']

    feats, samples = features(config.train_dataloader)
    assert feats[0].shape[-2:] == (16, 16)
    losses = head.loss(feats, samples)
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in head.parameters())

    feats, samples = features(config.test_dataloader)
    with torch.no_grad():
        (found,) = head.predict(feats, samples, {})
    assert np.isfinite(found.keypoints).all()
    assert np.isfinite(found.bboxes).all()
