"""A config in miniature: two iterations, a validation and a test by MMEngine's Runner.

Model, losses, optimizer, schedule, pipelines, hooks and evaluators are those of the config.
What is changed: four samples in batches of two, no worker processes, random weights instead of
downloaded ones, no checkpoint files. At size ``small`` the crop and what depends on it shrink
as well, and of whole pictures two are held out. ``matrix.py`` does this for every config, and
so do the tests.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import rlepose_ext  # noqa: F401  (before anything of OpenMMLab)

# isort: split
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner import Runner
from mmpose.registry import MODELS

from rlepose_ext.errors import UserError
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.input_size import at_input_size, dicts

SIZES = ('full', 'small')
BATCH = 2
ITERATIONS = 2
# Longest side of a small crop, and what its sides must be a multiple of, input px.
LONGEST = 128
STRIDE = 32


class Watch(Hook):
    """What a run showed: losses, which parameters learn, metrics."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []
        self.learning: set[str] = set()
        self.bad_gradients: set[str] = set()
        self.metrics: dict[str, dict[str, float]] = {}

    def before_train(self, runner: Runner) -> None:
        for name, parameter in bare(runner.model).named_parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda grad, name=name: self._note(name, grad))

    def _note(self, name: str, gradient: torch.Tensor) -> None:
        self.learning.add(name)
        if not torch.isfinite(gradient).all():
            self.bad_gradients.add(name)

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append({name: value.item() for name, value in outputs.items()})

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        self.metrics['val'] = dict(metrics or {})

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        self.metrics['test'] = dict(metrics or {})


def bare(model: torch.nn.Module) -> torch.nn.Module:
    """The model without the wrapper of several processes."""
    return model.module if is_model_wrapper(model) else model


def without_downloads(config: Config) -> None:
    """Random weights where the config names a file, in place."""
    config.load_from, config.resume = None, False
    for part in dicts(config.model):
        init = part.get('init_cfg')
        if isinstance(init, (list, tuple)):
            part['init_cfg'] = [one for one in init if one.get('type') != 'Pretrained']
        elif isinstance(init, dict) and init.get('type') == 'Pretrained':
            part.pop('init_cfg')


def reduced(config: Config) -> tuple[Config, str]:
    """The config at the size of the tests: the longer side of its crop at most 128 px.

    Returns:
        The config, and its input size as ``WxH``; with the reason where it cannot change.
    """
    old = config.get('codec', {}).get('input_size')
    if old is None:
        return config, 'its own: no codec.input_size'
    shrink = next(
        (
            by
            for by in range(math.ceil(max(old) / LONGEST), 1, -1)
            if not any(side % (by * STRIDE) for side in old)
        ),
        1,
    )
    new = tuple(side // shrink for side in old)
    if shrink > 1:
        try:
            config = at_input_size(config, new)
        except UserError as error:
            return config, f'{_text(old)}: {error}'
        _what_at_input_size_leaves(config, old, new, shrink)
    return config, _text(new)


def _what_at_input_size_leaves(
    config: Config, old: Sequence[int], new: Sequence[int], shrink: int
) -> None:
    """Sizes of detectors and vision transformers, in place."""
    for node in dicts(config._cfg_dict):
        for key in ('img_scale', 'img_size'):
            if key in node and tuple(node[key]) in (tuple(old), tuple(old[::-1])):
                node[key] = tuple(new) if tuple(node[key]) == tuple(old) else tuple(new[::-1])
        if 'random_size_range' in node:
            node['random_size_range'] = tuple(side // shrink for side in node['random_size_range'])


def _text(size: Sequence[int]) -> str:
    return 'x'.join(map(str, size))


def shorten(config: Config, work_dir: Path, name: str) -> Config:
    """Two iterations, a validation and nothing written that is large, in place.

    Args:
        config: as loaded.
        work_dir: for logs and for the files that evaluators write.
        name: of the run; MMEngine keeps visualisers and logs by name.
    """
    without_downloads(config)
    if 'quant' in config.model:
        config.model.quant.batches = 1
    for split in ('train', 'val', 'test'):
        loader = config[f'{split}_dataloader']
        # A detector may take one picture at a time in a test.
        loader.update(batch_size=min(BATCH, loader.batch_size) if split != 'train' else BATCH)
        loader.update(num_workers=0, persistent_workers=False)
        loader.pop('prefetch_factor', None)
    _few_samples(config.train_dataloader.dataset, BATCH * ITERATIONS * world_size())
    if config.train_cfg.get('by_epoch', True) and 'max_iters' not in config.train_cfg:
        config.train_cfg.update(max_epochs=1, val_interval=1)
        config.train_cfg.pop('dynamic_intervals', None)
    else:
        config.train_cfg.update(max_iters=ITERATIONS, val_interval=ITERATIONS)
    config.merge_from_dict(
        {
            'default_hooks.checkpoint': None,  # some have hundreds of megabytes
            'default_hooks.logger.type': 'LoggerHook',
            'default_hooks.logger.interval': 1,
            'visualizer.type': 'PoseLocalVisualizer',
            'visualizer.name': name,
            'visualizer.vis_backends': [],
            'randomness.seed': 0,
        }
    )
    for node in dicts(config._cfg_dict):
        if node.get('outfile_prefix'):
            node['outfile_prefix'] = str(work_dir / Path(node['outfile_prefix']).name)
    config.work_dir, config.experiment_name = str(work_dir), name
    config.launcher = 'pytorch' if world_size() > 1 else 'none'
    return config


def _few_samples(dataset: dict[str, Any], number: int) -> None:
    """Let a training set have ``number`` samples, however it is composed."""
    parts = dataset.get('datasets')
    if parts is None:
        dataset.setdefault('indices', number)
        return
    # The mixture stays: with three of one for one of the other, one picture of each will do.
    ratios = dataset.get('sample_ratio_factor') or [1] * len(parts)
    for part in parts:
        part.setdefault('indices', math.ceil(number / sum(ratios)))


def world_size() -> int:
    """Processes of this run, as torchrun tells them."""
    return int(os.environ.get('WORLD_SIZE', '1'))


@contextlib.contextmanager
def quick_start() -> Iterator[None]:
    """MMEngine without what takes seconds: compilers' versions, the config laid out for the log."""
    from mmengine.runner import runner

    environment, text = runner.collect_env, Config.pretty_text
    runner.collect_env, Config.pretty_text = dict, 'not laid out'
    try:
        yield
    finally:
        runner.collect_env, Config.pretty_text = environment, text


def total_parameters(path: Path) -> int:
    """Parameters of the config as it is, at inference."""
    DefaultScope._instance_dict.clear()
    init_default_scope('mmpose')
    config = Config.fromfile(path)
    without_downloads(config)
    try:
        with torch.device('meta'):  # needs no memory
            return count_parameters(MODELS.build(config.model))
    except (RuntimeError, NotImplementedError):  # reads values while it is built
        return count_parameters(MODELS.build(config.model))


def run(path: Path, work_dir: Path, size: str = 'full') -> dict[str, Any]:
    """Train, validate and test a config in this process; ``RLEPOSE_DATA`` is set and filled.

    Args:
        path: the config.
        work_dir: for logs.
        size: ``'full'`` or ``'small'``.

    Returns:
        ``input`` (``WxH``), ``iterations``, ``losses`` (of each iteration), ``terms`` (names),
        ``val`` and ``test`` (metrics), ``not_learning`` (parameters that got no gradient),
        ``seconds``, and ``problems``: what is not as it must be, empty if all is.
    """
    start = time.perf_counter()
    DefaultScope._instance_dict.clear()
    config = Config.fromfile(path)
    wanted_metric = config.get('default_hooks', {}).get('checkpoint', {}).get('save_best')
    if size == 'small':
        config, shape = reduced(config)
        for split in ('val', 'test'):
            held_out = config[f'{split}_dataloader'].dataset
            if held_out.get('data_mode') == 'bottomup':  # several scales of whole pictures
                held_out.setdefault('indices', BATCH)
    else:
        shape = _text(config.get('codec', {}).get('input_size', ('its own',)))
    name = f'{path.stem}_{size}_{time.monotonic_ns()}'
    shorten(config, work_dir, name)
    with quick_start():
        runner = Runner.from_cfg(config)
        watch = Watch()
        runner.register_hook(watch)
        runner.train()
        runner.test()
    trainable = {n for n, p in bare(runner.model).named_parameters() if p.requires_grad}
    result = {
        'input': shape,
        'iterations': runner.iter,
        'losses': [round(terms['loss'], 5) for terms in watch.losses],
        'terms': sorted(set().union(*watch.losses) - {'loss'}),
        'val': numbers(watch.metrics['val']),
        'test': numbers(watch.metrics['test']),
        'not_learning': sorted(trainable - watch.learning),
        'seconds': round(time.perf_counter() - start, 1),
    }
    written = sorted(p.name for p in work_dir.glob('*.json'))
    if written:
        result['written'] = written
    return {**result, 'problems': problems(result, watch, wanted_metric)}


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Metrics as plain, rounded numbers."""
    return {name: round(float(value), 5) for name, value in metrics.items()}


def problems(result: dict[str, Any], watch: Watch, wanted_metric: Any) -> list[str]:
    """What is wrong with a run that ended, in words."""
    found = []
    if result['iterations'] != ITERATIONS:
        found.append(f'{result["iterations"]} iterations instead of {ITERATIONS}')
    for index, terms in enumerate(watch.losses):
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if bad:
            found.append(f'iteration {index + 1}: {", ".join(bad)} not finite')
    if watch.bad_gradients:
        found.append(f'gradients not finite: {_first(sorted(watch.bad_gradients))}')
    for split in ('val', 'test'):
        bad = [name for name, value in result[split].items() if not math.isfinite(value)]
        if bad:
            found.append(f'{split}: {", ".join(bad)} not finite')
    if not result['test'] and not result.get('written'):
        found.append('the test gave neither a metric nor a file')
    if not result['val'] and not result.get('written'):
        found.append('the validation gave neither a metric nor a file')
    wanted = [wanted_metric] if isinstance(wanted_metric, str) else wanted_metric or []
    missing = [name for name in wanted if name != 'auto' and name not in result['val']]
    if missing:
        found.append(f'save_best {missing}: not among the metrics {sorted(result["val"])}')
    return found


def _first(names: Sequence[str], number: int = 5) -> str:
    more = f' and {len(names) - number} more' if len(names) > number else ''
    return ', '.join(names[:number]) + more
