#!/usr/bin/env python3
"""Draw docs/images/poseur.jpg: how Poseur finds the joints of a drawn person.

    python tools/draw_poseur.py                # a few minutes on one CPU core
    python tools/draw_poseur.py --steps 20     # a poor model, to see the script work

Poseur with 64 channels behind half of a ResNet-18 learns four drawn persons at 96x128, turned,
scaled and shifted at random, from random weights. Then one of them is shown three times in a crop
that was not among those: with the coarse pose, with the way of each joint through the layers, and
with the points at which one joint's query samples the feature maps in the last layer.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS
from torch import nn

from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one
from rlepose_ext.inference.network import normalise_crops
from rlepose_ext.models.input_size import at_input_size

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/poseur/poseur_res50_8xb32-325e_coco-256x192.py'
SIZE, ZOOM = (96, 128), 4
PERSONS, LR, WARM_UP = 4, 1e-3, 20
JOINT = 9  # left wrist
# of the maps, finest first; BGR
COLOURS = ((60, 60, 230), (40, 160, 250), (90, 190, 60), (230, 130, 40))
META = parse_pose_metainfo({'from_file': 'configs/_base_/datasets/coco.py'})


def small_config() -> Config:
    """The method at 96x128, narrow, and without pretrained weights."""
    config = at_input_size(Config.fromfile(CONFIG), SIZE)
    config.model.backbone.pop('init_cfg')
    config.model.backbone.update(depth=18, base_channels=32, stem_channels=32)
    config.model.neck.update(in_channels=[32, 64, 128, 256], out_channels=64)
    config.model.head.update(in_channels=64, feedforward_channels=128, noisy_groups=1)
    return config


def draw_people() -> list[dict[str, Any]]:
    """Drawn persons as a data set gives them."""
    drawing, people = SyntheticPeopleConfig(persons=(1.0,), occlusion=0.0, truncation=0.0), []
    for index in range(PERSONS):
        image, (person,) = draw_one(0, 'train', index, drawing)
        x, y, width, height = person['bbox']
        joints = np.array(person['keypoints'], np.float32).reshape(1, -1, 3)
        people.append(
            {
                'id': index,
                'img_id': index,
                'img': image,
                'bbox': np.array([[x, y, x + width, y + height]], np.float32),
                'bbox_score': np.ones(1, np.float32),
                'keypoints': joints[..., :2],
                'keypoints_visible': np.minimum(joints[..., 2], 1),
                'flip_indices': META['flip_indices'],
            }
        )
    return people


def train(model: nn.Module, steps: list[dict], people: list[dict[str, Any]], number: int) -> None:
    """Learn the persons, turned, scaled and shifted a little; half a cosine of the rate."""
    moved = {'type': 'RandomBBoxTransform', 'shift_factor': 0.06, 'shift_prob': 1.0}
    moved |= {'scale_factor': (0.95, 1.05), 'rotate_factor': 5.0}
    steps = [each for each in steps if not each['type'].startswith(('Load', 'Random'))]
    pipeline = Compose([steps[0], moved, *steps[1:]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)

    def factor(step: int) -> float:
        return min((step + 1) / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * step / number))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    model.train()
    for step in range(number):
        samples = [pipeline({**person, 'img': person['img'].copy()}) for person in people]
        batch = model.data_preprocessor(pseudo_collate(samples), training=True)
        losses = model(**batch, mode='loss')
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == number - 1:
            print(step, *(f'{k} {v.item():.3f}' for k, v in losses.items()), flush=True)


@torch.no_grad()
def look(model: nn.Module, inputs: torch.Tensor) -> dict[str, np.ndarray]:
    """What the head finds for one crop.

    Returns:
        ``coarse`` (K, 2), ``layers`` (L, K, 2), and of the last layer ``points``
        (K, heads, levels, points, 2) with ``weights`` (K, heads, levels, points); all normalised.
    """
    head = model.eval().head
    attention, seen = head.layers[-1].cross_attention, {}

    def keep(module: nn.Module, args: tuple) -> None:
        query, reference, maps = args
        sizes = [(each.shape[-1], each.shape[-2]) for each in maps]
        weights = module.attention_weights(query).unflatten(-1, (module.shape[0], -1)).softmax(-1)
        seen['points'] = module.locations(query, reference, sizes)[0].numpy()
        seen['weights'] = weights.unflatten(-1, module.shape[1:])[0].numpy()

    hook = attention.register_forward_pre_hook(keep)
    maps = model.extract_feat(inputs)
    coarse = head.find_coarse(maps)[..., :2]
    layers = torch.stack(head.refine(maps, coarse))[:, 0, :, :2]
    hook.remove()
    return {'coarse': coarse[0].numpy(), 'layers': layers.numpy(), **seen}


def skeleton(picture: np.ndarray, joints: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw the bones and joints, px."""
    for a, b in META['skeleton_links']:
        _line(picture, joints[a], joints[b], colour, 3)
    for joint in joints:
        _dot(picture, joint, 5, colour)


def draw(picture: np.ndarray, found: dict[str, np.ndarray]) -> np.ndarray:
    """The three panels side by side.

    Args:
        picture: the crop, ``ZOOM`` times the size of the input.
        found: of :func:`look`.
    """
    scale = np.array(SIZE) * ZOOM
    pale = cv2.addWeighted(picture, 0.6, np.full_like(picture, 255), 0.4, 0)
    coarse, layers = found['coarse'] * scale, found['layers'] * scale
    panels = [pale.copy() for _ in range(3)]
    skeleton(panels[0], coarse, (40, 40, 200))
    skeleton(panels[1], layers[-1], (90, 150, 40))
    for joint in range(len(coarse)):
        way = [coarse[joint], *layers[:, joint]]
        for a, b in pairwise(way):
            _line(panels[1], a, b, (40, 40, 200), 2)
        _dot(panels[1], way[0], 5, (40, 40, 200))
    weights = found['weights'][JOINT]
    for level in reversed(range(weights.shape[1])):
        for head in range(weights.shape[0]):
            for point in range(weights.shape[2]):
                radius = 2 + round(14 * math.sqrt(weights[head, level, point]))
                where = found['points'][JOINT, head, level, point] * scale
                _dot(panels[2], where, radius, COLOURS[level])
    cv2.drawMarker(panels[2], _px(layers[-1][JOINT]), (0, 0, 0), cv2.MARKER_CROSS, 24, 3)
    gap = np.full((picture.shape[0], 12, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)


def _px(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _line(picture: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple, width: int) -> None:
    cv2.line(picture, _px(a), _px(b), colour, width, cv2.LINE_AA)


def _dot(picture: np.ndarray, point: np.ndarray, radius: int, colour: tuple) -> None:
    cv2.circle(picture, _px(point), radius, colour, -1, cv2.LINE_AA)
    cv2.circle(picture, _px(point), radius, (255, 255, 255), 1, cv2.LINE_AA)


def main() -> None:
    """Train, find, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=200)
    parser.add_argument('--person', type=int, default=0, help=f'which of {PERSONS}')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs/images/poseur.jpg')
    args = parser.parse_args()
    init_default_scope('mmpose')
    MMLogger.get_instance('mmengine', log_level='WARNING')
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (MMPose draws from the global generator)
    config, people = small_config(), draw_people()
    model = MODELS.build(config.model)
    model.init_weights()
    train(model, config.train_dataloader.dataset.pipeline, people, args.steps)

    # a little aside
    person, size = people[args.person], np.array([SIZE[0] * ZOOM, SIZE[1] * ZOOM])
    sides = person['bbox'][0, 2:] - person['bbox'][0, :2]
    person['bbox'] = person['bbox'] + np.tile([0.04, 0.05], 2) * np.tile(sides, 2)
    crop = at_input_size(config, size.tolist()).val_dataloader.dataset.pipeline[1:-1]
    picture = Compose(crop)(dict(person))['img']
    pixels = cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
    inputs = normalise_crops(pixels[None], model.data_preprocessor, torch.device('cpu'))
    drawn = draw(picture, look(model, inputs))
    ok = cv2.imwrite(str(args.out), drawn, [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(f'{args.out}: {args.out.stat().st_size / 1000:.0f} kB' if ok else 'not written')


if __name__ == '__main__':
    main()
