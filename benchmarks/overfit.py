"""Does each system learn? Eight drawn persons, by heart, in at most 300 steps.

    python benchmarks/overfit.py                    # every system, about half an hour
    python benchmarks/overfit.py --only skps        # those whose name contains this

A network with a broken gradient, a target in the wrong space or a decoder that does not
invert its encoder can have the right number of parameters. It cannot learn eight persons
by heart. The chain is the real one: config, crop, encode, head.loss, optimizer,
head.predict, decode. Only augmentation and pretrained weights are left out.

The error is the mean distance of predicted and labelled joints divided by the side of the
crop (64 px), in evaluation mode, dropout off. Batch norm takes its statistics over the eight
crops; what its running estimates give is recorded beside (see statistics_of).
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _small
from _record import RESULTS, ROOT, WHICH_ROWS, command_line, origin, record
from _small import chosen, dicts, load_small, plain_pipeline  # first: imports rlepose_ext

# isort: split
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
from rlepose_ext.engine.cpu_speed import keep_freed_memory, use_channels_last
from rlepose_ext.models.count import count_parameters

SIZE = 64
PERSONS = 8
STEPS = 300
TARGET = 0.02
WARM_UP = 20
CHECK_EVERY = 10
JOINTS = 17
# Those with a training of their own on the same budget (family_budget.py), and others.
FAMILIES = (*_small.FAMILIES, 'poseur', 'tokenpose')
systems = functools.partial(_small.systems, families=FAMILIES)
# The same network as another one, but for the file that it starts from.
SAME = ('rle_res50-hmpretrained',)
# tokenpose_tiny is tokenpose_t with fewer blocks.
LEFT_OUT = (*SAME, 'tokenpose_tiny')
# Some heads sum their loss over the batch, others average it.
MAX_NORM = 1.0
# Layers whose outputs are logits of bins, up to +-100 for a narrow peak.
CLASSIFIERS = ('final_layer', 'mlp_head_x', 'mlp_head_y')
RESULT = RESULTS / 'overfit.json'
CODE = (
    'rlepose_ext/codecs',
    'rlepose_ext/datasets/synthetic',
    'rlepose_ext/models',
    'benchmarks/_small.py',
    *(f'configs/{family}' for family in FAMILIES),
)


@dataclass(frozen=True)
class Rates:
    """Learning rates.

    Attributes:
        all: the highest one.
        classifiers: factor on it for :data:`CLASSIFIERS`.
    """

    all: float = 1e-3
    classifiers: float = 1.0


# By a part of the name, where the common rate is too high or too low for 300 steps. At a map
# of 2x2, SimCC + RLE has four weights per bin to make a logit from; its own crop gives 36.
RATES = {
    'rle_alexnet': Rates(5e-4),
    'simcc_hrnetlite-sk': Rates(2e-3),
    'simcc-rle': Rates(2e-3, classifiers=20.0),
    'tokenpose_s': Rates(5e-4),
    'tokenpose_l-d24': Rates(5e-4),
}


@dataclass
class Result:
    """What a system reached.

    Attributes:
        steps: steps after which the error was below :data:`TARGET` for the first time,
            ``None`` if it never was.
        error: the last one measured, in crop sizes.
        error_running: the same with batch norm's running statistics as training left them.
        parameters: at this size, without what only training uses.
        seconds: of training and checks.
        curve: (step, error) of every check.
    """

    steps: int | None
    error: float
    error_running: float
    parameters: int
    seconds: float
    curve: list[tuple[int, float]]


def draw_people(number: int = PERSONS, seed: int = 0) -> list[dict[str, Any]]:
    """Drawn persons as a data set gives them: one whole, unhidden person per image."""
    drawing = SyntheticPeopleConfig(persons=(1.0,), occlusion=0.0, truncation=0.0)
    meta = parse_pose_metainfo({'from_file': 'configs/_base_/datasets/coco.py'})
    people = []
    for index in range(number):
        image, (person,) = draw_one(seed, 'train', index, drawing)
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
                'flip_indices': meta['flip_indices'],
            }
        )
    return people


def overfit(
    config: Config,
    people: Sequence[Mapping[str, Any]],
    steps: int = STEPS,
    rates: Rates | None = None,
    seed: int = 0,
    stop: bool = True,
) -> Result:
    """Train on the same persons until they are known.

    AdamW without decay, gradients clipped to norm 1, the whole set in each step, a linear
    warm-up of 20 steps, then half a cosine to 0 at ``steps``.

    Args:
        config: of a top-down system; see :func:`_small.load_small`.
        people: from :func:`draw_people`.
        steps: at most.
        rates: of learning; the common ones if absent.
        seed: of the weights and of dropout.
        stop: end at the first check below :data:`TARGET`.
    """
    init_default_scope('mmpose')
    keep_freed_memory()
    torch.manual_seed(seed)
    model = MODELS.build(config.model)
    model.init_weights()
    use_channels_last(model)
    pipeline = Compose(plain_pipeline(config))
    samples = [pipeline({**person, 'img': person['img'].copy()}) for person in people]
    batch = model.data_preprocessor(pseudo_collate(samples), training=True)

    groups = parameter_groups(model, rates or Rates())
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, steps))
    curve: list[tuple[int, float]] = []
    reached = None
    start = time.perf_counter()
    for step in range(1, steps + 1):
        model.train()
        total, _ = model.parse_losses(model(**batch, mode='loss'))
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        schedule.step()
        if step % CHECK_EVERY == 0 or step == steps:
            running = mean_error(model, batch)
            with statistics_of(model, batch['inputs']):
                curve.append((step, mean_error(model, batch)))
            if reached is None and curve[-1][1] < TARGET:
                reached = step
                if stop:
                    break
    seconds = time.perf_counter() - start
    return Result(reached, curve[-1][1], running, count_parameters(model), seconds, curve)


def load_for_overfit(path: str | Path) -> Config:
    """A system for the drawn persons, with heatmaps that know where in a pixel a joint is.

    MMPose's plain heatmap is painted around the nearest pixel. At 16x16 px that alone costs
    2.5 % of the crop, whatever the network learns; ``unbiased=True`` of the same codec paints
    it around the joint and decodes it by Taylor expansion (DARK, arXiv 1910.06278).
    """
    config = load_small(path, SIZE, JOINTS)
    for part in dicts(config._cfg_dict):
        if part.get('type') == 'MSRAHeatmap':
            part['unbiased'] = True
    return config


def rates_of(name: str) -> Rates:
    """The learning rates for a system."""
    return next((rates for part, rates in RATES.items() if part in name), Rates())


def parameter_groups(model: nn.Module, rates: Rates) -> list[dict[str, Any]]:
    """The model's parameters for an optimizer, classifiers apart."""
    groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for name, parameter in model.named_parameters():
        groups[not set(CLASSIFIERS).isdisjoint(name.split('.'))].append(parameter)
    return [
        {'params': groups[False], 'lr': rates.all},
        {'params': groups[True], 'lr': rates.all * rates.classifiers},
    ]


def factor(step: int, steps: int) -> float:
    """Share of the highest learning rate: linear warm-up, then half a cosine."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(steps - WARM_UP, 1)))


@torch.no_grad()
def mean_error(model: nn.Module, batch: Mapping[str, Any]) -> float:
    """Mean distance over labelled joints, in crop sizes; evaluation mode, no flip test."""
    model.eval()
    samples = batch['data_samples']
    test_cfg = {**(model.test_cfg or {}), 'flip_test': False}
    found = model.head.predict(model.extract_feat(batch['inputs']), samples, test_cfg)
    if isinstance(found, tuple):  # heatmaps come beside
        found = found[0]
    distances = []
    for instances, sample in zip(found, samples, strict=True):
        truth = sample.gt_instances
        labelled = truth.keypoints_visible[0] > 0
        error = instances.keypoints[0] - truth.transformed_keypoints[0]
        distances.append(np.linalg.norm(error, axis=-1)[labelled])
    return float(np.concatenate(distances).mean() / batch['inputs'].shape[-1])


@contextmanager
def statistics_of(model: nn.Module, inputs: torch.Tensor) -> Iterator[None]:
    """Within it every batch norm's running statistics are those over these crops, and no others.

    In training batch norm divides by the biased variance of the batch, and the running
    variance collects the unbiased one. Of a map of 2x2 and eight crops there are 32 values:
    3 % between the two, layer upon layer. The crops of the whole data set are in the batch,
    so the biased variance is the true one. Training finds its own statistics again afterwards.
    """

    def exact(norm: nn.Module, args: tuple[torch.Tensor]) -> None:
        axes = [axis for axis in range(args[0].dim()) if axis != 1]
        norm.running_mean.copy_(args[0].mean(axes))
        norm.running_var.copy_(args[0].var(axes, unbiased=False))

    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    hooks = [norm.register_forward_pre_hook(exact) for norm in norms]
    model.eval()
    with torch.no_grad():
        model.head(model.extract_feat(inputs))
    for hook in hooks:
        hook.remove()
    yield
    with torch.no_grad():
        for norm, (mean, variance) in zip(norms, before, strict=True):
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)


def main() -> None:
    """Train every chosen system; rows are added to the file as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', default=[], help='systems whose name contains it')
    parser.add_argument('--steps', type=int, default=STEPS)
    parser.add_argument('--stop', action='store_true', help='end each at its first success')
    parser.add_argument('--out', type=Path, default=RESULT)
    args = parser.parse_args()
    MMLogger.get_instance('mmengine', log_level='WARNING')
    people = draw_people()
    paths = systems(LEFT_OUT)
    for name in chosen(list(paths), args.only):
        config = load_for_overfit(paths[name])
        rates = rates_of(name)
        result = overfit(config, people, args.steps, rates, stop=args.stop)
        row = {
            'name': name,
            'config': str(paths[name].relative_to(ROOT)),
            'parameters': result.parameters,
            'lr': rates.all,
            'lr_factor_of_classifiers': rates.classifiers,
            'steps_to_limit': result.steps,
            'error': round(result.error, 4),
            'error_running_statistics': round(result.error_running, 4),
            'seconds': round(result.seconds, 1),
        }
        rows = json.loads(args.out.read_text())['rows'] if args.out.exists() else []
        rows = [old for old in rows if old['name'] != name] + [{**row, **origin(CODE)}]
        rows.sort(key=lambda row: list(paths).index(row['name']))
        setting = {'size': SIZE, 'persons': PERSONS, 'steps': args.steps, 'target': TARGET}
        how = {'code': CODE, 'command': command_line(WHICH_ROWS)}
        record(args.out, rows, seed=0, **how, **setting)
        print(row, flush=True)


if __name__ == '__main__':
    main()
