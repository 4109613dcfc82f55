"""A small SimCC + RLE head and its labels."""

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from torch import nn

from rlepose_ext.codecs import SimCCRLELabel
from rlepose_ext.models.heads import SimCCRLEHead

C, K, SIZE, MAP = 12, 5, (48, 64), (6, 8)
FLIP = [0, 2, 1, 4, 3]
ARGS = {'input_size': SIZE, 'in_featuremap_size': MAP, 'deconv_out_channels': None}
CODEC = {'type': 'rlepose_ext.SimCCRLELabel', 'input_size': SIZE}


def make(**kwargs) -> SimCCRLEHead:
    head = SimCCRLEHead(C, K, **{**ARGS, 'decoder': CODEC, **kwargs})
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.15)
    return head


def samples(n: int = 6, codec=None) -> list[PoseDataSample]:
    """Some joints off the crop or unseen."""
    rng = np.random.default_rng(0)
    codec = codec or SimCCRLELabel(SIZE)
    result = []
    for _ in range(n):
        keypoints = rng.uniform((-20, -20), (68, 84), (1, K, 2)).astype(np.float32)
        encoded = codec.encode(keypoints, (rng.random((1, K)) > 0.2).astype(np.float32))
        sample = PoseDataSample(metainfo={'flip_indices': FLIP, 'input_size': SIZE})
        sample.gt_instance_labels = InstanceData(
            **{name: torch.from_numpy(value) for name, value in encoded.items()}
        )
        result.append(sample)
    return result


def features(n: int = 6) -> tuple[torch.Tensor]:
    return (torch.rand(n, C, *reversed(MAP)),)


def total(losses: dict) -> torch.Tensor:
    return losses['loss_simcc'] + losses['loss_rle']
