"""The figure of docs/adaptivepose.md: AdaptivePose learns drawn pictures of three by heart.

    python tools/draw_adaptivepose.py    # some minutes; docs/images/adaptivepose.jpg
    python tools/draw_adaptivepose.py --out here.jpg --steps 100

The chain is that of a training: config, codec, head.loss, optimizer, head.predict. Only data,
augmentation, sizes and pretrained weights are others: HRNet has one module in each stage, and
channels are fewer.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import Tensor, nn

from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one
from rlepose_ext.engine.cpu_speed import keep_freed_memory, use_channels_last
from rlepose_ext.geometry.spaces import heatmap_to_input
from rlepose_ext.models.heads.adaptive_pose_head import COCO_PARTS

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/adaptivepose/adaptivepose_hrnet-w32_8xb8-280e_coco-512x512.py'
FIGURE = ROOT / 'docs/images/adaptivepose.jpg'
SIDE = 160
PICTURES = 2
STEPS = 120
RATE = 2e-3
ENLARGED = 3
COLOURS = (
    (80, 200, 255), (90, 220, 90), (255, 160, 60), (60, 90, 255),
    (230, 230, 60), (255, 90, 200), (60, 160, 255),
)  # fmt: skip


def draw_pictures(number: int, side: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures of three whole drawn persons: pixels (side, side, 3) BGR, joints (3, 17, 3)."""
    drawing = SyntheticPeopleConfig(
        width=(256, 256), height=(256, 256), persons=(0.0, 0.0, 1.0), occlusion=0.0, truncation=0.0
    )
    found, index = [], 0
    while len(found) < number:
        image, persons = draw_one(0, 'train', index, drawing)
        index += 1
        joints = np.array([p['keypoints'] for p in persons], np.float32).reshape(-1, 17, 3)
        if len(persons) == 3 and ((joints[..., 2] > 0).sum(-1) > 8).all():
            joints[..., :2] *= side / np.array(image.shape[1::-1])
            found.append((cv2.resize(image, (side, side)), joints))
    return found


def small_model(side: int) -> nn.Module:
    """The config's model at another input size, with a small HRNet."""
    init_default_scope('mmpose')
    config = Config.fromfile(CONFIG)
    codec = {**config.codec, 'input_size': (side, side), 'heatmap_size': (side // 4, side // 4)}
    config.model.head.update(decoder=codec, in_channels=16, feat_channels=64, part_channels=16)
    config.model.backbone.init_cfg = None
    for name, stage in config.model.backbone.extra.items():
        stage.num_modules = 1
        if name != 'stage1':
            stage.num_channels = [channels // 2 for channels in stage.num_channels]
            stage.num_blocks = [2] * stage.num_branches
    return MODELS.build(config.model)


def labelled(model: nn.Module, pictures: Sequence[tuple]) -> tuple[Tensor, list[PoseDataSample]]:
    """The batch of all pictures, as the model takes it."""
    codec = model.head.decoder
    samples = []
    for _, joints in pictures:
        encoded = codec.encode(joints[..., :2], joints[..., 2])
        sample = PoseDataSample()
        fields = {name: encoded[name] for name in codec.field_mapping_table}
        labels = {name: encoded[name] for name in codec.label_mapping_table}
        sample.gt_fields = PixelData(**fields).to_tensor()
        sample.gt_instance_labels = InstanceData(**labels).to_tensor()
        samples.append(sample)
    pixels = [torch.from_numpy(picture).permute(2, 0, 1) for picture, _ in pictures]
    return model.data_preprocessor({'inputs': pixels, 'data_samples': samples})['inputs'], samples


def learn(
    model: nn.Module, x: Tensor, samples: Sequence[PoseDataSample], steps: int, rate: float = RATE
) -> None:
    """Train on the same pictures, all in each step: AdamW without decay, one cycle of its rate."""
    keep_freed_memory()
    use_channels_last(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    model.train()
    for _ in range(steps):
        losses = model.head.loss(model.extract_feat(x), samples)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()


def errors(poses: Sequence[InstanceData], pictures: Sequence[tuple], side: int) -> list[float]:
    """Of each picture the mean distance of labelled joints from those found, in picture sides.

    Of each person the pose found at it is taken; it counts if its score is at least 0.5.
    """
    found = []
    for pose, (_, joints) in zip(poses, pictures, strict=True):
        good = pose.keypoints[pose.bbox_scores >= 0.5]
        distance = np.linalg.norm(good[:, None] - joints[..., :2], axis=-1)  # (M, 3, K)
        seen = joints[..., 2] > 0
        mean = (distance * seen).sum(-1) / seen.sum(-1)
        found.append(float(mean.min(0).mean() / side) if len(good) else np.inf)
    return found


def draw(model: nn.Module, x: Tensor, pictures: Sequence[tuple], side: int) -> np.ndarray:
    """Pictures side by side: centres, adaptive points and joints of those with a score of 0.5."""
    with torch.no_grad():
        maps = model.head(model.extract_feat(x))
        centre, offset = model.head.activate(maps)
    tiles = []
    for i, (picture, _) in enumerate(pictures):
        canvas = cv2.resize(picture, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
        keypoints, scores = model.head.decoder.decode(centre[i], offset[i])
        cells = _cells(centre[i], len(scores))
        for pose, (column, row) in zip(keypoints[scores >= 0.5], cells, strict=False):
            cell = np.array([column, row])
            points = cell + maps.points[i, :, :, row, column].numpy()
            to_input = model.head.decoder.input_size, model.head.decoder.heatmap_size
            _person(
                canvas, heatmap_to_input(cell, *to_input), heatmap_to_input(points, *to_input), pose
            )
        tiles.append(canvas)
    return np.concatenate(tiles, 1)


def _cells(centre: Tensor, number: int) -> list[tuple[int, int]]:
    """Cells (x, y) of the best centres, as the decoder takes them."""
    highest = nn.functional.max_pool2d(centre, 5, 1, 2)
    peaks = torch.where(centre == highest, centre, 0).flatten()
    width = centre.shape[-1]
    return [(int(i) % width, int(i) // width) for i in peaks.topk(number).indices]


def _person(canvas: np.ndarray, centre: np.ndarray, points: np.ndarray, pose: np.ndarray) -> None:
    def at(point: np.ndarray) -> tuple[int, int]:
        x, y = np.round((point + 0.5) * ENLARGED).astype(int)
        return int(x), int(y)

    for part, point, colour in zip(COCO_PARTS, points, COLOURS, strict=True):
        cv2.line(canvas, at(centre), at(point), (255, 255, 255), 1, cv2.LINE_AA)
        for joint in part:
            cv2.line(canvas, at(point), at(pose[joint]), colour, 2, cv2.LINE_AA)
            cv2.circle(canvas, at(pose[joint]), 3, colour, -1, cv2.LINE_AA)
        cv2.circle(canvas, at(point), 6, colour, -1, cv2.LINE_AA)
        cv2.circle(canvas, at(point), 6, (30, 30, 30), 1, cv2.LINE_AA)
    cv2.circle(canvas, at(centre), 7, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.circle(canvas, at(centre), 7, (30, 30, 30), 1, cv2.LINE_AA)


def main() -> None:
    """Learn, say how well, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=STEPS)
    parser.add_argument('--out', type=Path, default=FIGURE)
    args = parser.parse_args()
    MMLogger.get_instance('mmengine', log_level='WARNING')
    torch.manual_seed(0)
    pictures = draw_pictures(PICTURES, SIDE)
    model = small_model(SIDE)
    model.init_weights()
    x, samples = labelled(model, pictures)
    learn(model, x, samples, args.steps)
    with torch.no_grad():
        # batch norm has the statistics of these pictures, as in training
        poses = model.head.predict(model.extract_feat(x), samples)
    print('mean error in picture sides:', [round(e, 4) for e in errors(poses, pictures, SIDE)])
    figure = draw(model, x, pictures, SIDE)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), figure, [cv2.IMWRITE_JPEG_QUALITY, 80])
    print(f'{args.out}: {args.out.stat().st_size} bytes')


if __name__ == '__main__':
    main()
