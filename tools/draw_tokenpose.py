#!/usr/bin/env python3
"""Draw docs/images/tokenpose.jpg: which parts of the picture each joint looks at.

    rlepose quickstart
    python tools/draw_tokenpose.py             # a few minutes on one CPU core

The first two stages of quickstart's RLE model, as they are, make the feature map, 12x9 of 32
channels. Its pixels are the visual tokens of a TokenPose of three blocks with two heads and 64
numbers a token, which learns six drawn persons, shifted, scaled and turned, from random weights.
Queries and keys start large: as small as usual all patches get the same for as long as this
trains. Then one of the six is shown, on a page as `rlepose demo --draw-attention` draws it.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS
from torch import Tensor, nn

from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.attention import AttentionSheet
from rlepose_ext.inference.images import read_image

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/tokenpose/tokenpose_tiny_1xb16-8e_synthetic-96x72.py'
PERSONS, CROPS, STEPS, BATCH, LR, WARM_UP, REPORT = 6, 600, 1500, 12, 2e-3, 50, 100


def small_config(quickstart: Path) -> Config:
    """The tiny TokenPose behind two stages of quickstart's model."""
    config = Config.fromfile(CONFIG)
    config.model.backbone.update(
        strides=(1, 2),
        frozen_stages=2,
        init_cfg={
            'type': 'Pretrained',
            'checkpoint': str(quickstart / 'train/epoch_6.pth'),
            'prefix': 'backbone.',
        },
    )
    config.model.head.update(
        in_featuremap_size=(9, 12), patch_size=(1, 1), embed_dims=64, depths=(3,), hidden_dim=128
    )
    config.model.head.num_heads = 2
    data = config.train_dataloader.dataset
    data.update(data_root=str(quickstart / 'data/synthetic'), indices=PERSONS)
    for step in data.pipeline:
        if step.type == 'RandomBBoxTransform':
            step.update(shift_factor=0.2, shift_prob=1.0, scale_factor=[0.8, 1.25])
    return config


def build(config: Config) -> nn.Module:
    """The model with queries and keys of large weights."""
    model = MODELS.build(config.model)
    model.init_weights()
    for name, layer in model.head.named_modules():
        if name.endswith('qkv'):
            nn.init.xavier_uniform_(layer.weight)
            layer.weight.data[: 2 * layer.in_features] *= 2
    return model.eval()


@torch.no_grad()
def collect(model: nn.Module, data: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Feature maps (M, 32, 12, 9), heatmaps (M, K, 24, 18) and weights (M, K) of crops."""
    order = np.random.permutation(CROPS) % len(data)  # noqa: NPY002
    found: list[tuple[Tensor, ...]] = []
    for start in range(0, CROPS, 100):
        samples = pseudo_collate([data[int(k)] for k in order[start : start + 100]])
        batch = model.data_preprocessor(samples)
        labels = batch['data_samples']
        found.append(
            (
                model.extract_feat(batch['inputs'])[0],
                torch.stack([each.gt_fields.heatmaps for each in labels]),
                torch.cat([each.gt_instance_labels.keypoint_weights for each in labels]),
            )
        )
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


def train(head: nn.Module, data: tuple[Tensor, Tensor, Tensor], steps: int) -> None:
    """Learn the crops; half a cosine of the rate."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=LR, weight_decay=1e-4)

    def factor(step: int) -> float:
        return min((step + 1) / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * step / steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    head.train()
    for step in range(steps):
        rows = torch.randint(len(data[0]), (BATCH,))
        maps, heatmaps, weights = (each[rows] for each in data)
        loss = head.loss_module(head([maps]), heatmaps, weights)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % REPORT == 0 or step == steps - 1:
            print(f'{step}: loss {loss.item():.6f}, {spread(head, data[0][:64])}', flush=True)


@torch.no_grad()
def spread(head: nn.Module, maps: Tensor) -> str:
    """How even attention in the last block is: 108 patches where all get the same."""
    shares = head.attention([maps])[:, -1].flatten(2)
    shares = shares / shares.sum(-1, keepdim=True)
    entropy = -(shares * shares.clamp(min=1e-9).log()).sum(-1)
    return f'a joint looks at {entropy.mean().exp():.1f} of {shares.shape[-1]} patches'


def main() -> None:
    """Train, look, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quickstart', type=Path, default=Path('work_dirs/quickstart'))
    parser.add_argument('--steps', type=int, default=STEPS)
    parser.add_argument('--person', type=int, default=0, help=f'which of {PERSONS}')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs/images/tokenpose.jpg')
    args = parser.parse_args()
    init_default_scope('mmpose')
    MMLogger.get_instance('mmengine', log_level='ERROR')
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (MMPose draws from the global generator)
    config = small_config(args.quickstart)
    model, data = build(config), DATASETS.build(config.train_dataloader.dataset)
    train(model.head, collect(model, data), args.steps)

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, 'tokenpose.pth')
        meta = {'dataset_meta': data.metainfo}
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, checkpoint)
        estimate = PoseEstimator(config, checkpoint, device='cpu')
        person = data.get_data_info(args.person)
        image = read_image(Path(person['img_path']))
        found = estimate(image, boxes=person['bbox'])
        page = AttentionSheet(SimpleNamespace(estimator=estimate))(image, found)
    labelled = person['keypoints_visible'] > 0
    distance = np.linalg.norm(found.keypoints - person['keypoints'], axis=-1)[labelled].mean()
    print(f'{labelled.sum()} joints, on average {distance:.1f} px off')
    cv2.imwrite(str(args.out), page, [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(f'{args.out}: {args.out.stat().st_size / 1000:.0f} kB')


if __name__ == '__main__':
    main()
